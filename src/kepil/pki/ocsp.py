"""OCSP: requests read strictly, responses built and signed (RFC 6960, RFC 5019, RFC 9654; CP-7.2).

Nothing here waits or looks anything up; `kepil.pki.web.ocsp` brings status, threads and HTTP.

A certificate that was never issued is `unknown`. The other answer that RFC 6960 section 2.2 allows, `revoked` with the
extension extended-revoke, is not given: it tells a reader of the signed bytes that something exists which does not.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from asn1crypto import algos, core, ocsp, x509

from kepil.pki import der
from kepil.pki.credential import Credential
from kepil.pki.der import Reader, Template
from kepil.pki.digest import Digest, DigestError, read_identifier
from kepil.pki.status import CertificateStatus

CERT_ID_DIGESTS: Final = ("sha1", "sha256", "sha384", "sha512", "streebog256", "streebog512")
"""Hash algorithms by which a requester may name the issuer. SHA-1 only names here; no signature rests on it."""

NONCE_LENGTHS = range(1, 129)
"""RFC 9654 section 2.1, in octets."""

_UNSPECIFIED = 0

_EXTENSIONS: Final = {
    name: core.ObjectIdentifier(ocsp.TBSRequestExtensionId.unmap(name)).contents
    for name in ("nonce", "acceptable_responses", "preferred_signature_algorithms")
}

IssuerId = bytes
"""Hash algorithm, hash of the issuer's name and hash of its key, as they stand encoded in a CertID."""


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


class ExpiredError(OcspError):
    """The responder's certificate has expired: nobody may accept what it would sign (RFC 6960 section 3.2)."""


class CertificateId(NamedTuple):
    """The certificate asked about (RFC 6960 section 4.1.1): its serial, and its issuer by hashes of name and key.

    Since only DER is read, the same question has the same `encoded`, the CertID as the response repeats it.
    """

    encoded: bytes
    issuer: IssuerId
    serial: int


class OcspRequest(NamedTuple):
    """What a requester asks: certificates in order, and the nonce if there is one."""

    certificates: tuple[CertificateId, ...]
    nonce: bytes | None


def read_request(encoded: bytes) -> OcspRequest:
    """Decode an OCSPRequest. A requester's signature is not needed and not looked at. Raises MalformedRequestError."""
    try:
        reader = Reader(encoded)
        outer = reader.enter(der.SEQUENCE)
        reader.finish()
        body = outer.enter(der.SEQUENCE)
        if outer.more():
            outer.contents(der.EXPLICIT)  # optionalSignature
            outer.finish()
        return _read_body(body)
    except der.DerError as error:
        raise MalformedRequestError(f"not an OCSPRequest: {error}") from error


def _read_body(body: Reader) -> OcspRequest:
    if body.is_next(der.EXPLICIT):
        version = body.enter(der.EXPLICIT)
        if version.integer() != 0:
            raise MalformedRequestError("only version 1 exists")
        version.finish()
    if body.is_next(der.EXPLICIT + 1):  # requestorName
        body.skip()
    certificates = tuple(_read_certificates(body.enter(der.SEQUENCE)))
    if not certificates:
        raise MalformedRequestError("no certificate is asked about")
    extensions = _read_extensions(body, der.EXPLICIT + 2, known=tuple(_EXTENSIONS.values()))
    body.finish()
    return OcspRequest(certificates, _read_nonce(extensions.get(_EXTENSIONS["nonce"])))


def _read_certificates(requests: Reader) -> Iterator[CertificateId]:
    while requests.more():
        request = requests.enter(der.SEQUENCE)
        encoded = request.whole(der.SEQUENCE)
        fields = Reader(encoded).enter(der.SEQUENCE)
        algorithm = fields.whole(der.SEQUENCE)
        _check_identifier(algorithm)
        issuer = algorithm + fields.whole(der.OCTET_STRING) + fields.whole(der.OCTET_STRING)
        serial = fields.integer()
        fields.finish()
        _read_extensions(request, der.EXPLICIT, known=())
        request.finish()
        yield CertificateId(encoded, issuer, serial)


@lru_cache(64)  # few algorithms name all issuers
def _check_identifier(encoded: bytes) -> None:
    read_identifier(Reader(encoded).enter(der.SEQUENCE))


def _read_extensions(holder: Reader, tag: int, known: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """The values of the extensions under the tag. Unknown ones are ignored unless critical (RFC 6960 section 4.4)."""
    found: dict[bytes, bytes] = {}
    if not holder.is_next(tag):
        return found
    explicit = holder.enter(tag)
    extensions = explicit.enter(der.SEQUENCE)
    explicit.finish()
    while extensions.more():
        extension = extensions.enter(der.SEQUENCE)
        oid = extension.object_identifier()
        critical = extension.is_next(der.BOOLEAN) and extension.boolean()
        value = extension.contents(der.OCTET_STRING)
        extension.finish()
        if oid in found:
            raise MalformedRequestError(f"extension {_dotted(oid)} twice")
        if critical and oid not in known:
            raise MalformedRequestError(f"critical extension {_dotted(oid)} is not known")
        found[oid] = value
    return found


def _read_nonce(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    reader = Reader(value)
    nonce = reader.contents(der.OCTET_STRING)
    reader.finish()
    if len(nonce) not in NONCE_LENGTHS:
        raise MalformedRequestError(f"nonce of {len(nonce)} octets")
    return nonce


def _dotted(oid: bytes) -> str:
    return str(core.ObjectIdentifier(contents=oid).dotted)


class SignedResponse(NamedTuple):
    """An OCSPResponse, the period for which it speaks, and when it was made."""

    encoded: bytes
    this_update: datetime
    next_update: datetime
    produced_at: datetime


class Responder:
    """A delegated responder (RFC 6960 section 2.6): it signs the statuses of one authority's certificates."""

    def __init__(self, authority: str, issuer: x509.Certificate, credential: Credential, validity: timedelta) -> None:
        self.authority = authority
        self.certificate = credential.certificate
        self.ends: datetime = credential.certificate.not_valid_after
        self._signer = credential.signer
        self.in_process = credential.signer.in_process
        self._validity = validity
        self._data, self._response = _templates(credential)
        self.issuer_ids = frozenset(_issuer_ids(issuer, credential))

    def respond(
        self,
        request: OcspRequest,
        statuses: Mapping[int, CertificateStatus],
        produced_at: datetime,
        known_at: datetime | None = None,
    ) -> SignedResponse:
        """Build and sign the response; a serial without a status is `unknown`. Raises SignerError, ExpiredError.

        `known_at` is when the statuses were known to be right, if not now; thisUpdate says so (RFC 6960 section 2.4).
        The response is valid from its making, however old that is: without the primary it is still the best there is.
        It ends no later than the certificate by which it is verified.
        """
        produced_at = produced_at.replace(microsecond=0)
        this_update = min(produced_at, known_at.replace(microsecond=0)) if known_at else produced_at
        if produced_at >= self.ends:
            raise ExpiredError(f"the responder certificate of {self.authority} expired at {self.ends.isoformat()}")
        next_update = min(produced_at + self._validity, self.ends)
        produced, period = _encode_times(produced_at, this_update, next_update)
        singles = [
            der.wrap(der.SEQUENCE, certificate.encoded, _encode_status(statuses.get(certificate.serial)), period)
            for certificate in request.certificates
        ]
        nonce = b"" if request.nonce is None else _encode_nonce(request.nonce)
        data = self._data.fill(produced, der.wrap(der.SEQUENCE, *singles), nonce)
        encoded = self._response.fill(data, der.bit_string(self._signer.sign(data)))
        return SignedResponse(encoded, this_update, next_update, produced_at)


def _templates(credential: Credential) -> tuple[Template, Template]:
    """A ResponseData with holes for producedAt, responses and extensions; an OCSPResponse with holes for that and the
    signature."""
    hash_of_key = Digest("sha1")(_key(credential.certificate))  # RFC 6960 section 4.2.1 names by SHA-1
    moment = datetime(2000, 1, 1, tzinfo=UTC)
    named = {
        "hash_algorithm": {"algorithm": "sha1"},
        "issuer_name_hash": b"",
        "issuer_key_hash": b"",
        "serial_number": 1,
    }
    single = {"cert_id": named, "cert_status": ocsp.CertStatus(name="good", value=ocsp.StatusGood())}
    data = ocsp.ResponseData(
        {
            "responder_id": ocsp.ResponderId(name="by_key", value=hash_of_key),
            "produced_at": moment,
            "responses": [{**single, "this_update": moment + timedelta(days=1)}],
            "response_extensions": [{"extn_id": "nonce", "extn_value": core.OctetString(b"a nonce")}],
        }
    )
    basic = ocsp.BasicOCSPResponse(
        {
            "tbs_response_data": data,
            "signature_algorithm": algos.SignedDigestAlgorithm.load(credential.signer.signature_algorithm),
            "signature": b"a signature",
            "certs": [credential.certificate],
        }
    )
    response = ocsp.OCSPResponse(
        {
            "response_status": "successful",
            "response_bytes": {"response_type": "basic_ocsp_response", "response": basic},
        }
    )
    holes = der.generalized_time(moment), data["responses"].dump(), _encode_nonce(b"a nonce")
    return (
        Template(data.dump(), *holes),
        Template(response.dump(), data.dump(), der.bit_string(b"a signature")),
    )


def _issuer_ids(issuer: x509.Certificate, credential: Credential) -> Iterator[IssuerId]:
    """Every way to name the issuer: by each hash that OpenSSL has here, its parameters NULL or absent."""
    for name in CERT_ID_DIGESTS:
        try:
            digest = Digest(name, credential.signer.openssl_config)
        except DigestError:  # Streebog, where no GOST provider is loaded
            continue
        hashes = [der.wrap(der.OCTET_STRING, digest(each)) for each in (issuer.subject.dump(), _key(issuer))]
        oid = core.ObjectIdentifier(algos.DigestAlgorithmId(name).dotted).dump()
        for parameters in (der.wrap(der.NULL), b""):
            yield der.wrap(der.SEQUENCE, oid, parameters) + b"".join(hashes)


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


def _encode_nonce(nonce: bytes) -> bytes:
    """ResponseExtensions with their tag [1]."""
    return _before_nonce(len(nonce)) + nonce


@lru_cache(len(NONCE_LENGTHS))
def _before_nonce(octets: int) -> bytes:
    """The encoding of ResponseExtensions up to the nonce, which is last, of so many octets."""
    nonce = bytes(octets)
    value = der.wrap(der.OCTET_STRING, der.wrap(der.OCTET_STRING, nonce))
    extension = der.wrap(der.SEQUENCE, der.wrap(der.OBJECT_IDENTIFIER, _EXTENSIONS["nonce"]), value)
    return der.wrap(der.EXPLICIT + 1, der.wrap(der.SEQUENCE, extension)).removesuffix(nonce)


@lru_cache(16)  # all that is answered within a second has the same
def _encode_times(produced_at: datetime, this_update: datetime, next_update: datetime) -> tuple[bytes, bytes]:
    """producedAt; thisUpdate and nextUpdate, as a SingleResponse has them."""
    period = der.generalized_time(this_update) + der.wrap(der.EXPLICIT, der.generalized_time(next_update))
    return der.generalized_time(produced_at), period


_GOOD: Final[bytes] = ocsp.CertStatus(name="good", value=ocsp.StatusGood()).dump()
_UNKNOWN: Final[bytes] = ocsp.CertStatus(name="unknown", value=ocsp.StatusUnknown()).dump()


def _encode_status(status: CertificateStatus | None) -> bytes:
    if status is None:
        return _UNKNOWN
    if status.revoked_at is None:
        return _GOOD
    at = der.generalized_time(status.revoked_at.astimezone(UTC).replace(microsecond=0))
    if status.reason in (None, _UNSPECIFIED):
        return der.wrap(der.EXPLICIT + 1, at)
    return der.wrap(der.EXPLICIT + 1, at, der.wrap(der.EXPLICIT, der.wrap(der.ENUMERATED, bytes((status.reason,)))))
