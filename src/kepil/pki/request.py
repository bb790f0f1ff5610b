"""Certification requests (PKCS #10, RFC 2986): read strictly, then checked before anything is issued (CP-3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from asn1crypto import core, csr, pem, x509

from kepil.errors import KepilError
from kepil.pki.algorithm import UnknownAlgorithmError, by_identifier, key_type
from kepil.pki.name import DistinguishedName, DistinguishedNameError
from kepil.pki.profile import NameNotAllowedError, Profile
from kepil.pki.signer import verify

LONGEST = 64 * 1024
SMALLEST_RSA, LARGEST_RSA = 2048, 8192
SMALLEST_EXPONENT = 65537
CURVES = ("secp256r1", "secp384r1", "secp521r1")
_HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class RequestError(KepilError):
    """The request is refused; `code` is stable, for programs."""

    code = "malformed-request"


class MalformedRequestError(RequestError):
    """No certification request, or one that is not encoded as RFC 2986 says."""


class ProofOfPossessionError(RequestError):
    """The request is not signed by the key that it asks a certificate for."""

    code = "proof-of-possession-failed"


class WeakKeyError(RequestError):
    """The key is too weak, or of a kind that is not accepted (BR 6.1.5, 6.1.6)."""

    code = "weak-key"


@dataclass(frozen=True)
class Asked:
    """What is taken from a request, and nothing else is."""

    subject: DistinguishedName
    public_key_info: bytes
    dns_names: tuple[str, ...]


def read_request(encoded: bytes) -> csr.CertificationRequest:
    """Read a request, DER or PEM, to the last byte. Raises MalformedRequestError."""
    if len(encoded) > LONGEST:
        raise MalformedRequestError(f"{len(encoded)} bytes are no request: send PKCS #10 of at most {LONGEST}")
    try:
        if pem.detect(encoded):
            label, _, encoded = pem.unarmor(encoded)
            if label not in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
                raise MalformedRequestError(f"PEM holds a {label}: send a CERTIFICATE REQUEST")
        request = csr.CertificationRequest.load(encoded, strict=True)
        request.native  # noqa: B018 - asn1crypto decodes lazily: a damaged request shall be found here
        if request.dump(force=True) != encoded:
            raise MalformedRequestError("the request is not in DER: make it anew, for example with openssl req")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise MalformedRequestError(f"no certification request (PKCS #10): {str(error).splitlines()[0]}") from error
    return request


def check(
    request: csr.CertificationRequest,
    profile: Profile,
    *,
    subject: DistinguishedName | None = None,
    config: Path | None = None,
) -> Asked:
    """Check possession, key and names of a request against a profile; `subject` stands in for the request's own.

    Raises RequestError, NameNotAllowedError.
    """
    info = request["certification_request_info"]
    public_key_info = bytes(info["subject_pk_info"].dump())
    check_encoding(public_key_info)
    check_key(public_key_info)
    _check_possession(request, public_key_info, config)
    if subject is None:
        try:
            subject = DistinguishedName.from_name(info["subject"])
        except DistinguishedNameError as error:
            raise NameNotAllowedError(f"subject: {error}") from error
        if profile.subject is not None:
            profile.subject.check(subject)
    return Asked(subject, public_key_info, _dns_names(info) if "dns" in profile.subject_alt_names else ())


def check_encoding(public_key_info: bytes) -> None:
    """Raise MalformedRequestError unless the key is in its one usual form (BR 7.1.3.1).

    In another form a key seen before would not be recognised (CP-3.3).
    """
    public = x509.PublicKeyInfo.load(public_key_info)
    kind = key_type(public_key_info)
    if kind == "rsa" and not isinstance(public["algorithm"]["parameters"], core.Null):
        raise MalformedRequestError("the RSA key's algorithm parameters are not NULL (RFC 3279 section 2.3.1)")
    if kind == "ec" and public["public_key"].native[:1] != b"\x04":
        raise MalformedRequestError("the curve point is compressed: send it uncompressed (RFC 5480 section 2.2)")


def check_key(public_key_info: bytes) -> None:
    """Raise WeakKeyError unless certificates are issued for such keys."""
    kind = key_type(public_key_info)
    public = x509.PublicKeyInfo.load(public_key_info)
    if kind == "rsa":
        bits, exponent = public.bit_size, public["public_key"].parsed["public_exponent"].native
        if not SMALLEST_RSA <= bits <= LARGEST_RSA:
            raise WeakKeyError(f"RSA key of {bits} bits: make one of {SMALLEST_RSA} to {LARGEST_RSA}")
        if exponent < SMALLEST_EXPONENT or exponent % 2 == 0:
            raise WeakKeyError(f"RSA public exponent {exponent}: use {SMALLEST_EXPONENT}")
    elif kind == "ec":
        if public.curve[0] != "named" or public.curve[1] not in CURVES:
            raise WeakKeyError(f"elliptic curve {public.curve[1]}: use one of {', '.join(CURVES)}")
    elif kind not in ("ed25519", "gost2012_256", "gost2012_512"):
        raise WeakKeyError(f"keys of type {kind} are not certified here")


def _check_possession(request: csr.CertificationRequest, public_key_info: bytes, config: Path | None) -> None:
    try:
        how = by_identifier(request["signature_algorithm"].dump())
    except UnknownAlgorithmError as error:
        raise ProofOfPossessionError(str(error)) from error
    if how.key != key_type(public_key_info):
        raise ProofOfPossessionError(f"the request is signed by {how.name}, which does not go with its key")
    message = request["certification_request_info"].dump()
    if not verify(public_key_info, message, request["signature"].native, how.digest, config):
        raise ProofOfPossessionError("the request's signature is not by the key in it: make the request anew")


def _dns_names(info: csr.CertificationRequestInfo) -> tuple[str, ...]:
    """Host names that the request asks for. Raises NameNotAllowedError at any other kind of name."""
    names: list[str] = []
    for attribute in info["attributes"]:
        if attribute["type"].native != "extension_request":
            continue
        for extension in attribute["values"][0]:
            if extension["extn_id"].native != "subject_alt_name":
                continue
            for name in extension["extn_value"].parsed:
                if name.name != "dns_name" or not _HOST_NAME.fullmatch(name.native):
                    raise NameNotAllowedError(f"subjectAltName: {name.native!r} is no host name")
                names.append(name.native)
    return tuple(dict.fromkeys(names))
