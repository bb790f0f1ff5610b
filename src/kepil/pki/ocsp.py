"""OCSP: requests read strictly, responses built and signed (RFC 6960, RFC 5019, RFC 9654; CP-7.2).

Nothing here waits or looks anything up; `kepil.pki.web.ocsp` brings status, threads and HTTP.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asn1crypto import algos, core, crl, ocsp, x509

from kepil.pki.credential import Credential
from kepil.pki.digest import DigestIdentifier
from kepil.pki.status import CertificateStatus

CERT_ID_DIGESTS = {name: algos.DigestAlgorithmId(name).dotted for name in ("sha1", "sha256", "sha384", "sha512")}
"""Hash algorithms by which a requester may name the issuer. SHA-1 only names here; no signature rests on it."""

NONCE_LENGTHS = range(1, 129)
"""RFC 9654 section 2.1, in octets."""

_UNSPECIFIED = 0

IssuerId = tuple[str, bytes, bytes]
"""Hash algorithm (dotted), hash of the issuer's name, hash of its key."""


class OcspError(Exception):
    """The request gets an error instead of statuses. `status` is an OCSPResponseStatus in asn1crypto's words."""

    status = "internal_error"


class MalformedRequestError(OcspError):
    """RFC 6960 section 2.3: the request does not conform to the syntax, or demands an extension not known here."""

    status = "malformed_request"


class UnauthorizedError(OcspError):
    """RFC 5019 section 2.2.3: this responder has no authoritative record of the issuer."""

    status = "unauthorized"


class TryLaterError(OcspError):
    """RFC 6960 section 2.3: the responder is operational but cannot tell the status now."""

    status = "try_later"


@dataclass(frozen=True)
class CertificateId:
    """The certificate asked about (RFC 6960 section 4.1.1): its serial, and its issuer by hashes of name and key."""

    digest: DigestIdentifier
    name_hash: bytes
    key_hash: bytes
    serial: int

    @property
    def issuer(self) -> IssuerId:
        """What identifies the issuer."""
        return self.digest.oid, self.name_hash, self.key_hash

    def encode(self) -> ocsp.CertId:
        """The structure as the response repeats it."""
        return ocsp.CertId(
            {
                "hash_algorithm": self.digest.encode(),
                "issuer_name_hash": self.name_hash,
                "issuer_key_hash": self.key_hash,
                "serial_number": self.serial,
            }
        )


@dataclass(frozen=True)
class OcspRequest:
    """What a requester asks: certificates in order, and the nonce if there is one."""

    certificates: tuple[CertificateId, ...]
    nonce: bytes | None


def read_request(encoded: bytes) -> OcspRequest:
    """Decode an OCSPRequest. A requester's signature is not needed and not looked at. Raises MalformedRequestError."""
    try:
        request = ocsp.OCSPRequest.load(encoded, strict=True)
        request.native  # noqa: B018 - asn1crypto decodes lazily: what is broken anywhere shall be found here
    except Exception as error:  # asn1crypto raises many types on hostile bytes; they all mean the same
        raise MalformedRequestError(f"not an OCSPRequest: {error}") from error
    body = request["tbs_request"]
    if body["version"].native != "v1":
        raise MalformedRequestError(f"version {body['version'].native}, only v1 exists")
    certificates = []
    for single in body["request_list"]:
        _read_extensions(single["single_request_extensions"], known=())
        certificates.append(_read_certificate_id(single["req_cert"]))
    if not certificates:
        raise MalformedRequestError("no certificate is asked about")
    extensions = _read_extensions(
        body["request_extensions"], known=("nonce", "acceptable_responses", "preferred_signature_algorithms")
    )
    nonce = extensions["nonce"].parsed.native if "nonce" in extensions else None
    if nonce is not None and len(nonce) not in NONCE_LENGTHS:
        raise MalformedRequestError(f"nonce of {len(nonce)} octets")
    return OcspRequest(tuple(certificates), nonce)


def _read_certificate_id(encoded: ocsp.CertId) -> CertificateId:
    try:
        digest = DigestIdentifier.read(encoded["hash_algorithm"])
    except ValueError as error:
        raise MalformedRequestError(str(error)) from error
    return CertificateId(
        digest, encoded["issuer_name_hash"].native, encoded["issuer_key_hash"].native, encoded["serial_number"].native
    )


def _read_extensions(extensions: Any, known: tuple[str, ...]) -> dict[str, Any]:
    """The values of the known extensions. Unknown ones are ignored unless critical (RFC 6960 section 4.4)."""
    found: dict[str, Any] = {}
    for extension in extensions:
        name = extension["extn_id"].native
        if name in found:
            raise MalformedRequestError(f"extension {name} twice")
        if name not in known and extension["critical"].native:
            raise MalformedRequestError(f"critical extension {name} is not known")
        found[name] = extension["extn_value"]
    return found


@dataclass(frozen=True)
class SignedResponse:
    """An OCSPResponse and the period for which it speaks."""

    encoded: bytes
    this_update: datetime
    next_update: datetime


class Responder:
    """A delegated responder (RFC 6960 section 2.6): it signs the statuses of one authority's certificates."""

    def __init__(self, authority: str, issuer: x509.Certificate, credential: Credential, validity: timedelta) -> None:
        self.authority = authority
        self.certificate = credential.certificate
        self._signer = credential.signer
        self._validity = validity
        self._id = ocsp.ResponderId(name="by_key", value=hashlib.sha1(_key(self.certificate)).digest())  # noqa: S324 - RFC 6960 4.2.1 names by SHA-1
        self._algorithm = algos.SignedDigestAlgorithm.load(self._signer.signature_algorithm)
        self.issuer_ids = frozenset(
            (oid, hashlib.new(name, issuer.subject.dump()).digest(), hashlib.new(name, _key(issuer)).digest())
            for name, oid in CERT_ID_DIGESTS.items()
        )

    def respond(
        self, request: OcspRequest, statuses: Mapping[int, CertificateStatus], produced_at: datetime
    ) -> SignedResponse:
        """Build and sign the response; a serial without a status is `unknown`. Raises SignerError."""
        this_update = produced_at.replace(microsecond=0)
        next_update = this_update + self._validity
        data = ocsp.ResponseData(
            {
                "responder_id": self._id,
                "produced_at": this_update,
                "responses": [
                    {
                        "cert_id": certificate.encode(),
                        "cert_status": _encode_status(statuses.get(certificate.serial)),
                        "this_update": this_update,
                        "next_update": next_update,
                    }
                    for certificate in request.certificates
                ],
            }
        )
        if request.nonce is not None:
            data["response_extensions"] = [{"extn_id": "nonce", "extn_value": core.OctetString(request.nonce)}]
        basic = ocsp.BasicOCSPResponse(
            {
                "tbs_response_data": data,
                "signature_algorithm": self._algorithm,
                "signature": self._signer.sign(data.dump()),
                "certs": [self.certificate],
            }
        )
        response = ocsp.OCSPResponse(
            {
                "response_status": "successful",
                "response_bytes": {"response_type": "basic_ocsp_response", "response": basic},
            }
        )
        return SignedResponse(response.dump(), this_update, next_update)


def find_responder(responders: Mapping[IssuerId, Responder], request: OcspRequest) -> Responder:
    """The one responder that may speak for all certificates of the request. Raises UnauthorizedError.

    `responders` maps each of `Responder.issuer_ids` to its responder. A response has one signature, and a delegated
    responder speaks for its own issuer only, so a request across issuers has no answer (RFC 6960 section 4.2.2.2).
    """
    found = {responders.get(certificate.issuer) for certificate in request.certificates}
    responder = found.pop()
    if responder is None or found:
        raise UnauthorizedError("no responder for this issuer, or issuers, here")
    return responder


def error_response(status: str) -> bytes:
    """An OCSPResponse without statuses (RFC 6960 section 4.2.1): errors are not signed."""
    return bytes(ocsp.OCSPResponse({"response_status": status}).dump())


def _key(certificate: x509.Certificate) -> bytes:
    return bytes(certificate.public_key["public_key"].contents[1:])  # without the count of unused bits (RFC 6960 4.1.1)


def _encode_status(status: CertificateStatus | None) -> ocsp.CertStatus:
    if status is None:
        return ocsp.CertStatus(name="unknown", value=ocsp.StatusUnknown())
    if status.revoked_at is None:
        return ocsp.CertStatus(name="good", value=ocsp.StatusGood())
    revoked = ocsp.RevokedInfo({"revocation_time": status.revoked_at.replace(microsecond=0)})
    if status.reason not in (None, _UNSPECIFIED):
        revoked["revocation_reason"] = crl.CRLReason(status.reason)
    return ocsp.CertStatus(name="revoked", value=revoked)
