"""Time stamps: requests read strictly, tokens built and signed (RFC 3161, RFC 5816, ETSI EN 319 422; CP-2.2)."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from asn1crypto import algos, cms, core, tsp, x509

from kepil.pki.clock import Clock, ClockError
from kepil.pki.credential import Credential, CredentialError
from kepil.pki.digest import DigestIdentifier

IMPRINT_LENGTHS = {
    "2.16.840.1.101.3.4.2.1": 32,  # SHA-256
    "2.16.840.1.101.3.4.2.2": 48,  # SHA-384
    "2.16.840.1.101.3.4.2.3": 64,  # SHA-512
    "2.16.840.1.101.3.4.2.8": 32,  # SHA3-256
    "2.16.840.1.101.3.4.2.9": 48,  # SHA3-384
    "2.16.840.1.101.3.4.2.10": 64,  # SHA3-512
    "1.2.643.7.1.1.2.2": 32,  # Streebog-256
    "1.2.643.7.1.1.2.3": 64,  # Streebog-512
}
"""Accepted hash algorithms and the octets of their values. SHA-1 and MD5 have collisions and are refused."""

_DIGEST_WITH_PURE_SIGNATURES = "sha512"  # RFC 8419 section 3.1 (Ed25519), RFC 9882 section 3.3 (ML-DSA)


class RejectionError(Exception):
    """No token. `failure` is a PKIFailureInfo in asn1crypto's words; the message goes to the requester."""

    failure = "system_failure"


class BadAlgorithmError(RejectionError):
    """The hash algorithm is unknown or too weak."""

    failure = "bad_alg"


class BadRequestError(RejectionError):
    """The version is not supported."""

    failure = "bad_request"


class BadDataFormatError(RejectionError):
    """The request is not a TimeStampReq, or its imprint has the wrong length."""

    failure = "bad_data_format"


class TimeNotAvailableError(RejectionError):
    """The clock is not known to be within the stated accuracy."""

    failure = "time_not_available"


class UnacceptedPolicyError(RejectionError):
    """No unit here stamps under the requested policy."""

    failure = "unaccepted_policy"


class UnacceptedExtensionError(RejectionError):
    """RFC 3161 section 2.4.1: an extension that is not recognised, critical or not."""

    failure = "unaccepted_extensions"


@dataclass(frozen=True)
class StampRequest:
    """What a requester wants stamped, and how."""

    digest: DigestIdentifier
    imprint: bytes
    policy: str | None
    nonce: int | None
    certificates: bool


def read_request(encoded: bytes) -> StampRequest:
    """Decode and check a TimeStampReq (RFC 3161 section 2.4.1). Raises RejectionError."""
    try:
        request = tsp.TimeStampReq.load(encoded, strict=True)
        request.native  # noqa: B018 - asn1crypto decodes lazily: what is broken anywhere shall be found here
    except Exception as error:  # asn1crypto raises many types on hostile bytes; they all mean the same
        raise BadDataFormatError("this is not a TimeStampReq") from error
    if request["version"].native != "v1":
        raise BadRequestError("only version 1 exists")
    imprint = request["message_imprint"]
    try:
        digest = DigestIdentifier.read(imprint["hash_algorithm"])
        length = IMPRINT_LENGTHS[digest.oid]
    except (ValueError, KeyError) as error:
        reason = "hash algorithm not accepted; use SHA-2, SHA-3 or Streebog of 256 bits or more"
        raise BadAlgorithmError(reason) from error
    if len(imprint["hashed_message"].native) != length:
        raise BadDataFormatError(f"the imprint must have {length} octets under its algorithm")
    if len(request["extensions"]):
        raise UnacceptedExtensionError("no extension is recognised here")
    return StampRequest(
        digest,
        imprint["hashed_message"].native,
        request["req_policy"].dotted if request["req_policy"].native else None,
        request["nonce"].native,
        bool(request["cert_req"].native),
    )


class Response(core.Sequence):  # type: ignore[misc]
    """TimeStampResp (RFC 3161 section 2.4.2). asn1crypto's own does not let a rejection go without a token."""

    _fields = [  # noqa: RUF012 - asn1crypto's way to declare a structure
        ("status", tsp.PKIStatusInfo),
        ("time_stamp_token", cms.ContentInfo, {"optional": True}),
    ]


def new_serial(at: datetime) -> int:
    """A serial number that no other node can give: microseconds of the time, then 64 random bits (127 bits in all)."""
    microseconds = int(at.timestamp() * 1_000_000)
    return microseconds << 64 | secrets.randbits(64)


def rejection(error: RejectionError) -> bytes:
    """The TimeStampResp that says no (RFC 3161 section 2.4.2)."""
    status = {"status": "rejection", "status_string": [str(error)], "fail_info": {error.failure}}
    return bytes(Response({"status": status}).dump())


class StampingUnit:
    """A time-stamping unit: one key, one certificate, one policy, one stated accuracy."""

    def __init__(
        self,
        policy: str,
        credential: Credential,
        chain: Sequence[x509.Certificate],
        clock: Clock,
        accuracy: timedelta,
        *,
        milliseconds: bool = True,
    ) -> None:
        self.policy = policy
        self.certificate = credential.certificate
        self._signer = credential.signer
        self._certificates = [self.certificate, *chain]
        self._clock = clock
        self._accuracy = accuracy
        self._resolution = timedelta(milliseconds=1) if milliseconds else timedelta(seconds=1)
        self._algorithm = algos.SignedDigestAlgorithm.load(self._signer.signature_algorithm)
        self._digest = self._signer.digest or _DIGEST_WITH_PURE_SIGNATURES
        if self._digest not in hashlib.algorithms_available:
            raise CredentialError(f"digest {self._digest} of policy {policy} is not available; choose another digest")
        self._signing_certificate = _signing_certificate(self.certificate)

    def time(self) -> datetime:
        """The time to stamp, cut to the stated resolution. Raises TimeNotAvailableError (EN 319 421 section 7.7.2)."""
        try:
            error = timedelta(seconds=self._clock.maximum_error_seconds())
        except ClockError as cause:
            raise TimeNotAvailableError("the clock is not synchronised") from cause
        if error + self._resolution > self._accuracy:
            raise TimeNotAvailableError("the clock may be off by more than the stated accuracy")
        now = self._clock.now()
        return now - timedelta(microseconds=now.microsecond % (self._resolution // timedelta(microseconds=1)))

    def stamp(self, request: StampRequest) -> bytes:
        """The TimeStampResp with a token. Raises TimeNotAvailableError, SignerError."""
        token = self._sign(self._statement(request, self.time()), certificates=request.certificates)
        return bytes(Response({"status": {"status": "granted"}, "time_stamp_token": token}).dump())

    def _statement(self, request: StampRequest, at: datetime) -> bytes:
        statement: dict[str, Any] = {
            "version": "v1",
            "policy": self.policy,
            "message_imprint": {"hash_algorithm": request.digest.encode(), "hashed_message": request.imprint},
            "serial_number": new_serial(at),
            "gen_time": at,
            "accuracy": _encode_accuracy(self._accuracy),
        }
        if request.nonce is not None:
            statement["nonce"] = request.nonce
        return bytes(tsp.TSTInfo(statement).dump())

    def _sign(self, statement: bytes, *, certificates: bool) -> cms.ContentInfo:
        digest_algorithm = {"algorithm": self._digest}
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "message_digest", "values": [hashlib.new(self._digest, statement).digest()]},
                {"type": "signing_certificate_v2", "values": [self._signing_certificate]},
            ]
        )
        signed = cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [digest_algorithm],
                "encap_content_info": {
                    "content_type": "tst_info",
                    "content": core.ParsableOctetString(statement),
                },
                "signer_infos": [
                    {
                        "version": "v1",
                        "sid": cms.SignerIdentifier(
                            name="issuer_and_serial_number",
                            value={
                                "issuer": self.certificate.issuer,
                                "serial_number": self.certificate.serial_number,
                            },
                        ),
                        "digest_algorithm": digest_algorithm,
                        "signed_attrs": attributes,
                        "signature_algorithm": self._algorithm,
                        # RFC 5652 section 5.4: signed as the SET OF that they are, not under the tag they travel with
                        "signature": self._signer.sign(attributes.dump()),
                    }
                ],
            }
        )
        if certificates:
            signed["certificates"] = self._certificates
        return cms.ContentInfo({"content_type": "signed_data", "content": signed})


def choose_unit(units: Sequence[StampingUnit], policy: str | None) -> StampingUnit:
    """The unit of the policy, or the first when the requester names none. Raises UnacceptedPolicyError."""
    for unit in units:
        if policy in (None, unit.policy):
            return unit
    raise UnacceptedPolicyError(f"policies here: {', '.join(unit.policy for unit in units)}")


def _encode_accuracy(accuracy: timedelta) -> tsp.Accuracy:
    seconds, milliseconds = divmod(accuracy // timedelta(milliseconds=1), 1000)
    parts = {"seconds": seconds, "millis": milliseconds}
    return tsp.Accuracy({name: value for name, value in parts.items() if value})


def _signing_certificate(certificate: x509.Certificate) -> tsp.SigningCertificateV2:
    """ESSCertIDv2 with SHA-256, the default, which DER therefore leaves out (RFC 5816 section 2.2.1)."""
    issuer = x509.GeneralName(name="directory_name", value=certificate.issuer)
    return tsp.SigningCertificateV2(
        {
            "certs": [
                {
                    "cert_hash": hashlib.sha256(certificate.dump()).digest(),
                    "issuer_serial": {"issuer": [issuer], "serial_number": certificate.serial_number},
                }
            ]
        }
    )
