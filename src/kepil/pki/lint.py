"""A certificate read by other code than made it, and held against what was asked (RFC 5280 section 4, CP-7.1).

It is signed by a throw-away key then; the authority's own key signs only what was found in order. pkilint, which needs
libraries that hosts do not have, checks every profile in the tests instead (docs/adr).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from asn1crypto import core, x509

from kepil.errors import KepilError
from kepil.pki import der
from kepil.pki.certificate import Urls
from kepil.pki.name import DistinguishedName, read_attributes
from kepil.pki.profile import Profile
from kepil.pki.request import Asked

_URI, _DNS_NAME, _KEY_IDENTIFIER = 0x86, 0x82, 0x80
_SHORTEST_SERIAL_BITS, _LONGEST_SERIAL_OCTETS = 64, 20
_TIME: Final = re.compile(r"[0-9]{14}Z")
_KEY_USAGE: Final = (
    *("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement"),
    *("keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"),
)
_PURPOSES: Final = {
    "1.3.6.1.5.5.7.3.1": "id-kp-serverAuth",
    "1.3.6.1.5.5.7.3.2": "id-kp-clientAuth",
    "1.3.6.1.5.5.7.3.3": "id-kp-codeSigning",
    "1.3.6.1.5.5.7.3.4": "id-kp-emailProtection",
    "1.3.6.1.5.5.7.3.8": "id-kp-timeStamping",
    "1.3.6.1.5.5.7.3.9": "id-kp-OCSPSigning",
}
_OCSP, _CA_ISSUERS = "1.3.6.1.5.5.7.48.1", "1.3.6.1.5.5.7.48.2"
_ENCIPHERING: Final = frozenset({"keyEncipherment", "dataEncipherment"})

Extensions = dict[str, tuple[bool, Any]]
"""By object identifier: whether it is critical, and what it says."""


class LintError(KepilError):
    """A certificate is not what it should be; nothing was signed. The message lists what was found."""

    code = "lint-failed"


@dataclass(frozen=True)
class Authority:
    """What every certificate of an authority must repeat: read from its own certificate once."""

    name: bytes
    key_identifier: bytes
    signature_algorithm: bytes
    not_before: datetime
    not_after: datetime
    urls: Urls

    @classmethod
    def of(cls, certificate: x509.Certificate, signature_algorithm: bytes, urls: Urls) -> Authority:
        """Take it from the authority's certificate."""
        begin, end = certificate.not_valid_before, certificate.not_valid_after
        return cls(certificate.subject.dump(), certificate.key_identifier, signature_algorithm, begin, end, urls)


def lint(certificate: bytes, profile: Profile, asked: Asked, authority: Authority, days: int | None = None) -> None:
    """Raise LintError unless the certificate is in strict DER, and says what `profile` and `asked` say and no more."""
    try:
        findings = list(_findings(certificate, profile, asked, authority, days or profile.days))
    except (der.DerError, ValueError, KepilError) as error:
        findings = [str(error)]
    if findings:
        raise LintError(f"the certificate was not signed: {'; '.join(findings)}; this is a fault of the software")


def _findings(certificate: bytes, profile: Profile, asked: Asked, authority: Authority, days: int) -> Iterator[str]:
    reader = der.Reader(certificate)
    outer = reader.enter(der.SEQUENCE)
    reader.finish()
    tbs = outer.enter(der.SEQUENCE)
    algorithm, signature = outer.whole(der.SEQUENCE), outer.contents(der.BIT_STRING)
    outer.finish()
    version = tbs.enter(der.EXPLICIT)
    if version.integer() != 2 or version.more():  # noqa: PLR2004 - v3
        yield "the version is not 3"
    serial = tbs.integer()
    if not _SHORTEST_SERIAL_BITS < serial.bit_length() <= 8 * _LONGEST_SERIAL_OCTETS - 1 or serial < 0:
        yield f"serial number {serial:x} is negative, too short or too long"
    if not (tbs.whole(der.SEQUENCE) == algorithm == authority.signature_algorithm) or len(signature) < _KEY_OCTETS:
        yield "the signature algorithms are not the authority's, or there is no signature"
    if tbs.whole(der.SEQUENCE) != authority.name:
        yield "the issuer is not the authority, to the byte"
    yield from _validity(tbs.enter(der.SEQUENCE), authority, days)
    yield from _subject(tbs.whole(der.SEQUENCE), asked.subject)
    yield from _key(tbs.whole(der.SEQUENCE), profile, asked)
    wrapped = tbs.enter(der.EXPLICIT + 3)
    tbs.finish()
    extensions = wrapped.enter(der.SEQUENCE)
    wrapped.finish()
    yield from _differences(_read_extensions(extensions), _expected(profile, asked, authority))


_KEY_OCTETS: Final = 32
"""No signature is shorter."""


def _validity(validity: der.Reader, authority: Authority, days: int) -> Iterator[str]:
    begin, end = _moment(validity), _moment(validity)
    validity.finish()
    if (end - begin).total_seconds() + 1 != days * 86400:
        yield f"validity from {begin} to {end} is not {days} days"
    if begin < authority.not_before or end > authority.not_after:
        yield f"validity from {begin} to {end} is not within the authority's"


def _moment(validity: der.Reader) -> datetime:
    """A time in the one form that its year has (RFC 5280 section 4.1.2.5)."""
    if validity.is_next(der.UTC_TIME):
        text = "20" + validity.contents(der.UTC_TIME).decode("ascii")
    elif (text := validity.contents(der.GENERALIZED_TIME).decode("ascii")) < "2050":
        raise der.DerError(f"{text} is a GeneralizedTime before 2050")
    if not _TIME.fullmatch(text):
        raise der.DerError(f"{text} is no time to the second in UTC")
    return datetime(int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2)), tzinfo=UTC)  # type: ignore[arg-type,misc]


def _subject(encoded: bytes, subject: DistinguishedName) -> Iterator[str]:
    if read_attributes(encoded) != subject.attributes or encoded != subject.encode() or not subject.attributes:
        yield "the subject is empty or another than was asked for"


def _key(encoded: bytes, profile: Profile, asked: Asked) -> Iterator[str]:
    if encoded != asked.public_key.info:
        yield "the key is another than was asked for"
    if asked.public_key.kind != "rsa" and _ENCIPHERING & set(profile.key_usage):
        yield f"a key of type {asked.public_key.kind} enciphers nothing (RFC 5480 section 3, RFC 8410 section 5)"


def _differences(found: Extensions, expected: Extensions) -> Iterator[str]:
    for oid in sorted(found.keys() | expected.keys()):
        if oid not in expected:
            yield f"extension {oid} has no place there"
        elif oid not in found:
            yield f"extension {oid} is missing"
        elif found[oid] != expected[oid]:
            yield f"extension {oid} holds {found[oid]} and not {expected[oid]}"


def _expected(profile: Profile, asked: Asked, authority: Authority) -> Extensions:
    """What section 4.2 and the profile make of it."""
    urls, wanted = authority.urls, profile.status_urls
    extensions: Extensions = {
        "2.5.29.14": (False, hashlib.sha256(asked.public_key.octets).digest()[:20]),  # RFC 7093 section 2, method 1
        "2.5.29.15": (True, frozenset(profile.key_usage)),
        "2.5.29.35": (False, authority.key_identifier),
    }
    if profile.ca:
        extensions["2.5.29.19"] = (True, (True, profile.path_length))
    if profile.extended_key_usage:
        extensions["2.5.29.37"] = (profile.extended_key_usage_critical, profile.extended_key_usage)
    if profile.policies:
        extensions["2.5.29.32"] = (False, profile.policies)
    if asked.dns_names:
        extensions["2.5.29.17"] = (False, asked.dns_names)
    if "crl" in wanted:
        extensions["2.5.29.31"] = (False, urls.crl)
    if "delta_crl" in wanted:
        extensions["2.5.29.46"] = (False, urls.delta_crl)
    places = (("ocsp", _OCSP, urls.ocsp), ("issuer", _CA_ISSUERS, urls.issuer))
    if access := tuple((method, url) for name, method, url in places if name in wanted):
        extensions["1.3.6.1.5.5.7.1.1"] = (False, access)
    if profile.ocsp_no_check:
        extensions["1.3.6.1.5.5.7.48.1.5"] = (False, b"")
    return extensions


def _read_extensions(extensions: der.Reader) -> Extensions:
    found: Extensions = {}
    while extensions.more():
        extension = extensions.enter(der.SEQUENCE)
        oid = _dotted(extension.object_identifier())
        critical = extension.is_next(der.BOOLEAN) and extension.boolean()
        value = extension.contents(der.OCTET_STRING)
        extension.finish()
        if oid in found or oid not in _VALUES:
            raise der.DerError(f"extension {oid} is there twice or has no place there")
        found[oid] = (critical, _value(oid, value))
    return found


@lru_cache(maxsize=1024)
def _value(oid: str, encoded: bytes) -> Any:
    """What an extension says. Most say the same in each certificate, and are read once."""
    reader = der.Reader(encoded)
    value = _VALUES[oid](reader)
    reader.finish()
    return value


def _basic_constraints(value: der.Reader) -> tuple[bool, int | None]:
    inside = value.enter(der.SEQUENCE)
    ca = inside.is_next(der.BOOLEAN) and inside.boolean()
    length = inside.integer() if inside.more() else None
    inside.finish()
    return ca, length


def _key_usage(value: der.Reader) -> frozenset[str]:
    unused, *octets = value.contents(der.BIT_STRING) or b"\0"
    bits = "".join(f"{octet:08b}" for octet in octets)
    if not octets or unused != len(bits) - len(bits.rstrip("0")):
        raise der.DerError("key usage is empty, or has needless bits or ones that are not zero (X.690 section 11.2)")
    return frozenset(name for name, bit in zip(_KEY_USAGE, bits, strict=False) if bit == "1")


def _purposes(value: der.Reader) -> tuple[str, ...]:
    inside = value.enter(der.SEQUENCE)
    return tuple(_PURPOSES.get(oid, oid) for oid in _identifiers(inside))


def _policies(value: der.Reader) -> tuple[str, ...]:
    inside, found = value.enter(der.SEQUENCE), []
    while inside.more():
        found.extend(_identifiers(inside.enter(der.SEQUENCE)))
    return tuple(found)


def _identifiers(inside: der.Reader) -> list[str]:
    found = []
    while inside.more():
        found.append(_dotted(inside.object_identifier()))
    return found


def _authority_key(value: der.Reader) -> bytes:
    inside = value.enter(der.SEQUENCE)
    identifier = inside.contents(_KEY_IDENTIFIER)
    inside.finish()
    return identifier


def _host_names(value: der.Reader) -> tuple[str, ...]:
    inside, found = value.enter(der.SEQUENCE), []
    while inside.more():
        found.append(inside.contents(_DNS_NAME).decode("ascii"))
    return tuple(found)


def _access(value: der.Reader) -> tuple[tuple[str, str], ...]:
    inside, found = value.enter(der.SEQUENCE), []
    while inside.more():
        description = inside.enter(der.SEQUENCE)
        found.append((_dotted(description.object_identifier()), description.contents(_URI).decode("ascii")))
        description.finish()
    return tuple(found)


def _distribution_point(value: der.Reader) -> str:
    """The one URL of the one distribution point: SEQUENCE { SEQUENCE { [0] { [0] { [6] URL } } } }."""
    url, levels = value, []
    for tag in (der.SEQUENCE, der.SEQUENCE, der.EXPLICIT, der.EXPLICIT):
        url = url.enter(tag)
        levels.append(url)
    text = url.contents(_URI).decode("ascii")
    for level in levels:
        level.finish()
    return text


@lru_cache(maxsize=256)
def _dotted(identifier: bytes) -> str:
    return str(core.ObjectIdentifier(contents=identifier).dotted)


_VALUES: Final[dict[str, Callable[[der.Reader], Any]]] = {
    "2.5.29.14": lambda value: value.contents(der.OCTET_STRING),
    "2.5.29.15": _key_usage,
    "2.5.29.17": _host_names,
    "2.5.29.19": _basic_constraints,
    "2.5.29.31": _distribution_point,
    "2.5.29.32": _policies,
    "2.5.29.35": _authority_key,
    "2.5.29.37": _purposes,
    "2.5.29.46": _distribution_point,
    "1.3.6.1.5.5.7.1.1": _access,
    "1.3.6.1.5.5.7.48.1.5": lambda value: value.contents(der.NULL),
}
"""How each extension that a profile may have is read."""
