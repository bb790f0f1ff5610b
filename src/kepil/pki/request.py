"""Certification requests (PKCS #10, RFC 2986): read strictly, then checked before anything is issued (CP-3.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asn1crypto import core, pem, x509

from kepil.errors import KepilError
from kepil.pki import der
from kepil.pki.algorithm import UnknownAlgorithmError, by_identifier
from kepil.pki.name import DistinguishedName, DistinguishedNameError
from kepil.pki.profile import NameNotAllowedError, Profile
from kepil.pki.public_key import PublicKey, WeakKeyError, read_public_key
from kepil.pki.verifier import Verifier
from kepil.pki.weak_key import NOTHING_KNOWN, Blocklist, check_strength

LONGEST = 64 * 1024
MOST_HOST_NAMES = 100
_HOST_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_EXTENSION_REQUEST: Final = bytes.fromhex("2a864886f70d01090e")
_SUBJECT_ALT_NAME: Final = bytes(x509.ExtensionId("subject_alt_name").contents)
_UNHEEDED: Final = frozenset(
    bytes(x509.ExtensionId(name).contents)
    for name in ("key_usage", "extended_key_usage", "basic_constraints", "key_identifier")
)
"""Extensions that common tools put into requests; the profile decides what they decide."""
_DNS_NAME: Final = 0x82


class RequestError(KepilError):
    """The request is refused; `code` is stable, for programs."""

    code = "malformed-request"


class MalformedRequestError(RequestError):
    """No certification request, or one that is not encoded as RFC 2986 says."""


class ProofOfPossessionError(RequestError):
    """The request is not signed by the key that it asks a certificate for."""

    code = "proof-of-possession-failed"


@dataclass(frozen=True)
class CertificationRequest:
    """A request that was read. All but `extensions` are DER; `signed` is what `signature` is made over."""

    der: bytes
    signed: bytes
    subject: bytes
    public_key_info: bytes
    extensions: tuple[tuple[bytes, bytes], ...]
    algorithm: bytes
    signature: bytes


@dataclass(frozen=True)
class Asked:
    """What is taken from a request, and nothing else is."""

    subject: DistinguishedName
    public_key: PublicKey
    dns_names: tuple[str, ...]


def read_request(encoded: bytes) -> CertificationRequest:
    """Read a request, DER or PEM, to the last byte. Raises MalformedRequestError.

    A request holds nothing that is not looked at, so that nothing secret rides in it (CP-4.12): no attribute but for
    extensions, such as a challenge password, and no extension that no profile knows.
    """
    if len(encoded) > LONGEST:
        raise MalformedRequestError(f"{len(encoded)} bytes are no request: send PKCS #10 of at most {LONGEST}")
    if b"-----BEGIN" in encoded:
        encoded = _unarmoured(encoded)
    try:
        return _read(encoded)
    except der.DerError as error:
        raise MalformedRequestError(f"no certification request (PKCS #10) in DER: {error}") from error


def check(
    request: CertificationRequest,
    profile: Profile,
    *,
    subject: DistinguishedName | None = None,
    config: Path | None = None,
    known: Blocklist = NOTHING_KNOWN,
) -> Asked:
    """Check possession, key and names of a request against a profile; `subject` stands in for the request's own.

    `known` lists keys that are refused. Raises RequestError, PublicKeyError, WeakKeyError, NameNotAllowedError.
    """
    public_key = read_public_key(request.public_key_info)
    if public_key.kind not in profile.key_types:
        raise WeakKeyError(
            f"keys of type {public_key.kind} are not certified by this profile: use {', '.join(profile.key_types)}"
        )
    check_strength(public_key, known)
    _check_possession(request, public_key, config)
    if subject is None:
        try:
            subject = DistinguishedName.decode(request.subject)
        except DistinguishedNameError as error:
            raise NameNotAllowedError(f"subject: {error}") from error
        if profile.subject is not None:
            profile.subject.check(subject)
    dns_names = _dns_names(request)
    if "dns" not in profile.subject_alt_names:
        if dns_names:
            raise NameNotAllowedError("subjectAltName: this profile certifies no host names, leave it out")
        return Asked(subject, public_key, ())
    if (subject.common_name or "") not in ("", *dns_names) or not dns_names:
        raise NameNotAllowedError("subjectAltName: name the hosts, and with them the common name's (BR 7.1.4.3)")
    return Asked(subject, public_key, dns_names)


def _unarmoured(encoded: bytes) -> bytes:
    if encoded.count(b"-----BEGIN") != 1:
        raise MalformedRequestError("PEM holds several things: send one CERTIFICATE REQUEST and nothing else")
    try:
        label, _, encoded = pem.unarmor(encoded)
    except ValueError as error:
        raise MalformedRequestError(f"no PEM: {error}") from error
    if label not in ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"):
        raise MalformedRequestError(f"PEM holds a {label}: send a CERTIFICATE REQUEST")
    return encoded


def _read(encoded: bytes) -> CertificationRequest:
    reader = der.Reader(encoded)
    outer = reader.enter(der.SEQUENCE)
    reader.finish()
    signed = outer.whole(der.SEQUENCE)
    algorithm, signature = outer.whole(der.SEQUENCE), outer.contents(der.BIT_STRING)
    outer.finish()
    if signature[:1] != b"\0":
        raise der.DerError("the signature is not of whole octets")
    info = der.Reader(signed).enter(der.SEQUENCE)
    if info.integer() != 0:
        raise der.DerError("the version is not 1")
    subject, public_key_info = info.whole(der.SEQUENCE), info.whole(der.SEQUENCE)
    extensions = _extensions(info.enter(der.EXPLICIT)) if info.more() else ()
    info.finish()
    return CertificationRequest(encoded, signed, subject, public_key_info, extensions, algorithm, signature[1:])


def _extensions(attributes: der.Reader) -> tuple[tuple[bytes, bytes], ...]:
    """Identifier and value of each extension that is asked for."""
    found: dict[bytes, bytes] = {}
    while attributes.more():
        attribute = attributes.enter(der.SEQUENCE)
        if (kind := attribute.object_identifier()) != _EXTENSION_REQUEST:
            raise der.DerError(f"attribute {_dotted(kind)} has no place here, leave it out")
        values = attribute.enter(der.SET)
        attribute.finish()
        extensions = values.enter(der.SEQUENCE)
        values.finish()
        while extensions.more():
            extension = extensions.enter(der.SEQUENCE)
            kind = extension.object_identifier()
            if kind in found or kind not in {_SUBJECT_ALT_NAME, *_UNHEEDED}:
                raise der.DerError(f"extension {_dotted(kind)} has no place here or is there twice, leave it out")
            if extension.is_next(der.BOOLEAN):
                extension.boolean()
            found[kind] = extension.contents(der.OCTET_STRING)
            extension.finish()
    return tuple(found.items())


def _check_possession(request: CertificationRequest, public_key: PublicKey, config: Path | None) -> None:
    try:
        how = by_identifier(request.algorithm)
    except (UnknownAlgorithmError, ValueError, TypeError, KeyError) as error:
        raise ProofOfPossessionError(str(error)) from error
    if how.key != public_key.kind:
        raise ProofOfPossessionError(f"the request is signed by {how.name}, which does not go with its key")
    if not Verifier(request.public_key_info, how.digest, config).verify(request.signed, request.signature):
        raise ProofOfPossessionError("the request's signature is not by the key in it: make the request anew")


def _dns_names(request: CertificationRequest) -> tuple[str, ...]:
    """Host names that the request asks for. Raises NameNotAllowedError at any other kind of name."""
    names = dict[str, None]()
    try:
        for kind, value in request.extensions:
            if kind == _SUBJECT_ALT_NAME:
                reader = der.Reader(value)
                inside = reader.enter(der.SEQUENCE)
                reader.finish()
                while inside.more():
                    names[_host_name(inside)] = None
    except der.DerError as error:
        raise MalformedRequestError(f"subjectAltName: {error}") from error
    if len(names) > MOST_HOST_NAMES:
        raise NameNotAllowedError(f"subjectAltName: {len(names)} names are too many: send at most {MOST_HOST_NAMES}")
    return tuple(names)


def _host_name(names: der.Reader) -> str:
    if not names.is_next(_DNS_NAME):
        raise NameNotAllowedError("subjectAltName: only names of hosts are certified")
    name = names.contents(_DNS_NAME).decode("latin-1")
    if not _HOST_NAME.fullmatch(name):
        raise NameNotAllowedError(f"subjectAltName: {name!r} is no host name")
    return name


def _dotted(identifier: bytes) -> str:
    return str(core.ObjectIdentifier(contents=identifier).dotted)
