"""Time stamps: requests read strictly, tokens built and signed (RFC 3161, RFC 5816, ETSI EN 319 422; CP-2.2)."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from asn1crypto import algos, cms, core, tsp, x509

from kepil.pki import der
from kepil.pki.clock import Clock, ClockError
from kepil.pki.credential import Credential
from kepil.pki.der import Reader, Template
from kepil.pki.digest import Digest, read_identifier

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

_LENGTHS: Final = {core.ObjectIdentifier(dotted).contents: length for dotted, length in IMPRINT_LENGTHS.items()}
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


class ExpiredError(RejectionError):
    """The unit's certificate has expired, and with it the key's life (EN 319 421 section 7.6)."""


class UnacceptedPolicyError(RejectionError):
    """No unit here stamps under the requested policy."""

    failure = "unaccepted_policy"


class UnacceptedExtensionError(RejectionError):
    """RFC 3161 section 2.4.1: an extension that is not recognised, critical or not."""

    failure = "unaccepted_extensions"


class StampRequest(NamedTuple):
    """What a requester wants stamped, and how."""

    imprint: bytes
    """The MessageImprint, encoded: the token repeats it to the octet, since simple clients compare so."""
    policy: bytes | None
    """The contents of the OID."""
    nonce: bytes
    """The INTEGER, encoded; empty when there is none."""
    certificates: bool


def read_request(encoded: bytes) -> StampRequest:
    """Decode and check a TimeStampReq (RFC 3161 section 2.4.1). Raises RejectionError."""
    try:
        reader = Reader(encoded)
        request = reader.enter(der.SEQUENCE)
        reader.finish()
        if request.integer() != 1:
            raise BadRequestError("only version 1 exists")
        imprint = request.whole(der.SEQUENCE)
        _check_imprint(Reader(imprint).enter(der.SEQUENCE))
        policy = request.object_identifier() if request.is_next(der.OBJECT_IDENTIFIER) else None
        nonce = der.integer(request.integer()) if request.is_next(der.INTEGER) else b""
        certificates = request.is_next(der.BOOLEAN) and request.boolean()
        if request.is_next(der.EXPLICIT) and request.contents(der.EXPLICIT):
            raise UnacceptedExtensionError("no extension is recognised here")
        request.finish()
    except der.DerError as error:
        raise BadDataFormatError("this is not a TimeStampReq") from error
    return StampRequest(imprint, policy, nonce, certificates)


def _check_imprint(imprint: Reader) -> None:
    identifier = imprint.enter(der.SEQUENCE)
    hashed = imprint.contents(der.OCTET_STRING)
    imprint.finish()
    try:
        length = _LENGTHS[read_identifier(identifier)]
    except (der.DerError, KeyError) as error:
        reason = "hash algorithm not accepted; use SHA-2, SHA-3 or Streebog of 256 bits or more"
        raise BadAlgorithmError(reason) from error
    if len(hashed) != length:
        raise BadDataFormatError(f"the imprint must have {length} octets under its algorithm")


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
        self.policy_oid: bytes = core.ObjectIdentifier(policy).contents
        self.certificate = credential.certificate
        self.ends: datetime = credential.certificate.not_valid_after
        self._signer = credential.signer
        self.in_process = credential.signer.in_process
        self._clock = clock
        self._accuracy = accuracy
        self._resolution = timedelta(milliseconds=1) if milliseconds else timedelta(seconds=1)
        self._digest = self._signer.hash or Digest(_DIGEST_WITH_PURE_SIGNATURES)
        self._statement = _statement_template(policy, accuracy)
        self._attributes = _attributes_template(self.certificate, self._digest)
        self._response, self._certificates = _response_template(credential, self._digest, chain)

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
        """The TimeStampResp with a token. Raises TimeNotAvailableError, ExpiredError, SignerError."""
        at = self.time()
        if at > self.ends:
            raise ExpiredError("the certificate of this unit has expired")
        serial, time = der.integer(new_serial(at)), der.generalized_time(at)
        statement = self._statement.fill(request.imprint, serial, time, request.nonce)
        attributes = self._attributes.fill(der.wrap(der.OCTET_STRING, self._digest(statement)))
        # RFC 5652 section 5.4: signed as the SET OF that they are, not under the tag they travel with
        signature = der.wrap(der.OCTET_STRING, self._signer.sign(attributes))
        certificates = self._certificates if request.certificates else b""
        return self._response.fill(statement, certificates, _travelling(attributes), signature)


_EXAMPLE: Final = b"an example of an octet string"


def _statement_template(policy: str, accuracy: timedelta) -> Template:
    """A TSTInfo with holes for messageImprint, serialNumber, genTime and nonce."""
    moment, serial, nonce = datetime(2000, 1, 1, tzinfo=UTC), 2**120 + 1, 2**120 + 2
    example = tsp.TSTInfo(
        {
            "version": "v1",
            "policy": policy,
            "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": _EXAMPLE},
            "serial_number": serial,
            "gen_time": moment,
            "accuracy": _encode_accuracy(accuracy),
            "nonce": nonce,
        }
    )
    holes = der.integer(serial), der.generalized_time(moment), der.integer(nonce)
    return Template(example.dump(), example["message_imprint"].dump(), *holes)


def _attributes_template(certificate: x509.Certificate, digest: Digest) -> Template:
    """The signed attributes, a SET OF in DER's order, with a hole for the message digest."""
    hashed = _EXAMPLE.ljust(digest.size)[: digest.size]
    example = cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["tst_info"]},
            {"type": "message_digest", "values": [hashed]},
            {"type": "signing_certificate_v2", "values": [_signing_certificate(certificate)]},
        ]
    )
    return Template(example.dump(), der.wrap(der.OCTET_STRING, hashed))


def _response_template(
    credential: Credential, digest: Digest, chain: Sequence[x509.Certificate]
) -> tuple[Template, bytes]:
    """A TimeStampResp with holes for TSTInfo, certificates, signed attributes and signature; and the certificates."""
    certificate = credential.certificate
    attributes = cms.CMSAttributes([{"type": "message_digest", "values": [_EXAMPLE + b"'s hash"]}])
    statement = der.wrap(der.SEQUENCE, der.wrap(der.OCTET_STRING, _EXAMPLE))
    issuer_and_serial = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
    signed = cms.SignedData(
        {
            "version": "v3",
            "digest_algorithms": [{"algorithm": digest.name}],
            "encap_content_info": {"content_type": "tst_info", "content": core.ParsableOctetString(statement)},
            "certificates": [certificate, *chain],
            "signer_infos": [
                {
                    "version": "v1",
                    "sid": cms.SignerIdentifier(name="issuer_and_serial_number", value=issuer_and_serial),
                    "digest_algorithm": {"algorithm": digest.name},
                    "signed_attrs": attributes,
                    "signature_algorithm": algos.SignedDigestAlgorithm.load(credential.signer.signature_algorithm),
                    "signature": _EXAMPLE + b"'s signature",
                }
            ],
        }
    )
    token = cms.ContentInfo({"content_type": "signed_data", "content": signed})
    example = Response({"status": {"status": "granted"}, "time_stamp_token": token})
    certificates = bytes(signed["certificates"].dump())
    signature = der.wrap(der.OCTET_STRING, _EXAMPLE + b"'s signature")
    holes = statement, certificates, _travelling(attributes.dump()), signature
    return Template(example.dump(), *holes), certificates


def _travelling(attributes: bytes) -> bytes:
    """Signed attributes under the tag [0] with which a SignerInfo carries them."""
    return bytes((der.EXPLICIT,)) + attributes[1:]


def choose_unit(units: Sequence[StampingUnit], policy: bytes | None) -> StampingUnit:
    """The unit of the policy (an OID's contents), or the first when none is asked for. Raises UnacceptedPolicyError."""
    for unit in units:
        if policy in (None, unit.policy_oid):
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
                    "cert_hash": Digest("sha256")(certificate.dump()),
                    "issuer_serial": {"issuer": [issuer], "serial_number": certificate.serial_number},
                }
            ]
        }
    )
