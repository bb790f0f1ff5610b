"""Public keys as requests bring them, each type in one form only (RFC 3279, 5480, 8410, 9215, 9881; BR 7.1.3.1).

A key in another form would have another digest, and pass for one not seen before (CP-3.3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from asn1crypto import algos, core, keys

from kepil.errors import KepilError
from kepil.pki import der
from kepil.pki.algorithm import KEY_KINDS

CURVES: Final = {"secp256r1": 32, "secp384r1": 48, "secp521r1": 66}
"""The curves whose keys are certified, and the octets of a coordinate on each."""

_UNCOMPRESSED: Final = b"\x04"


class PublicKeyError(KepilError):
    """The key is damaged, or not in its one form."""

    code = "malformed-request"


class WeakKeyError(KepilError):
    """The key is too weak, or of a kind that is not accepted."""

    code = "weak-key"


@dataclass(frozen=True)
class PublicKey:
    """A SubjectPublicKeyInfo that was read: `info` is its DER, `octets` the key itself.

    `kind` is the type by the names of `kepil.pki.algorithm`; `sha256` is what two certificates never share.
    """

    kind: str
    info: bytes
    octets: bytes
    sha256: bytes

    @property
    def rsa(self) -> tuple[int, int]:
        """Modulus and public exponent of an RSA key. Raises PublicKeyError."""
        try:
            reader = der.Reader(self.octets)
            key = reader.enter(der.SEQUENCE)
            modulus, exponent = key.integer(), key.integer()
            key.finish()
            reader.finish()
        except der.DerError as error:
            raise PublicKeyError(f"the RSA key is no RSAPublicKey: {error}") from error
        return modulus, exponent


def read_public_key(info: bytes) -> PublicKey:
    """Read a DER SubjectPublicKeyInfo. Raises PublicKeyError, WeakKeyError for a type or curve that is not accepted."""
    try:
        reader = der.Reader(info)
        outer = reader.enter(der.SEQUENCE)
        identifier, bits = outer.whole(der.SEQUENCE), outer.contents(der.BIT_STRING)
        outer.finish()
        reader.finish()
        kind, curve = _FORMS.get(identifier) or _gost(identifier)
    except der.DerError as error:
        raise PublicKeyError(f"no public key: {error}") from error
    octets = bits[1:]
    if bits[:1] != b"\0":
        raise PublicKeyError("the public key is not of whole octets")
    if kind == "ec" and (octets[:1] != _UNCOMPRESSED or len(octets) != 1 + 2 * CURVES[curve]):
        raise PublicKeyError("the curve point is compressed: send it uncompressed (RFC 5480 section 2.2)")
    row = KEY_KINDS[kind]
    if row.bare and row.bits != 8 * len(octets):
        raise PublicKeyError(f"a key of type {row.called} has {row.bits} bits, this one {8 * len(octets)}")
    # GOST allows two forms, with and without the digest's identifier; the digest is that of the latter.
    form = info if kind not in _GOST_KINDS.values() else der.wrap(der.SEQUENCE, curve.encode(), bits)
    return PublicKey(kind, info, octets, hashlib.sha256(form).digest())


def _gost(identifier: bytes) -> tuple[str, str]:
    """Type and parameter set of a GOST R 34.10-2012 key (RFC 9215 section 4.2)."""
    inside = der.Reader(identifier).enter(der.SEQUENCE)
    oid = inside.object_identifier()
    if oid not in _GOST_KINDS:
        raise _not_accepted(oid, inside)
    kind = _GOST_KINDS[oid]
    parameters = inside.enter(der.SEQUENCE)
    inside.finish()
    parameter_set = parameters.object_identifier()
    if parameters.more() and parameters.object_identifier() != _GOST_DIGESTS[kind]:
        raise WeakKeyError("the GOST key names another digest than Streebog of its length (RFC 9215 section 4.2)")
    parameters.finish()
    return kind, parameter_set.hex()


def _not_accepted(oid: bytes, parameters: der.Reader) -> KepilError:
    name = keys.PublicKeyAlgorithmId(contents=oid).native
    if name == "rsa":
        return PublicKeyError("the RSA key's algorithm parameters are not NULL (RFC 3279 section 2.3.1)")
    if name == "ec" and parameters.is_next(der.OBJECT_IDENTIFIER):
        curve = keys.NamedCurve(contents=parameters.object_identifier()).native
        return WeakKeyError(f"elliptic curve {curve}: use one of {', '.join(CURVES)}")
    return WeakKeyError(f"keys of type {name} are not certified here")


def _identifier(name: str, parameters: object = None) -> bytes:
    return bytes(keys.PublicKeyAlgorithm({"algorithm": name, "parameters": parameters}).dump())


_FORMS: Final = {
    _identifier("rsa", core.Null()): ("rsa", ""),
    **{_identifier("ec", keys.ECDomainParameters("named", curve)): ("ec", curve) for curve in CURVES},
    **{_identifier(name): (name, "") for name, kind in KEY_KINDS.items() if kind.bare},
}
_GOST_KINDS: Final = {
    bytes(keys.PublicKeyAlgorithmId(kind).contents): kind for kind in ("gost2012_256", "gost2012_512")
}
_GOST_DIGESTS: Final = {
    "gost2012_256": bytes(algos.DigestAlgorithmId("streebog256").contents),
    "gost2012_512": bytes(algos.DigestAlgorithmId("streebog512").contents),
}
