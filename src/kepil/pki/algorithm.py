"""The kinds of key and the signature algorithms of the estate, as data.

A kind whose keys and signatures OpenSSL makes and whose identifiers are bare is a line in KEY_KINDS; all else follows.
RFC 4055 (RSA, PKCS #1 v1.5), RFC 5758 (ECDSA), RFC 8410 (Ed25519), RFC 9215 (GOST R 34.10-2012), RFC 9881 (ML-DSA).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from asn1crypto import algos, core, keys

from kepil.pki import der


class UnknownAlgorithmError(Exception):
    """The table has no such combination of key type and digest; the message lists what it has."""


@dataclass(frozen=True)
class SignatureAlgorithm:
    """How keys of one type sign with one digest.

    `key` is the key type by asn1crypto's name, `digest` the hash made before signing ("" when the algorithm hashes by
    itself), `name` asn1crypto's name of the pair, `oid` its identifier, `openssl_digest` what OpenSSL calls the digest.
    """

    key: str
    digest: str
    name: str
    oid: str
    openssl_digest: str = ""

    @property
    def identifier(self) -> bytes:
        """DER AlgorithmIdentifier of signatures made this way; asn1crypto adds the NULL that RFC 4055 wants for RSA."""
        return bytes(algos.SignedDigestAlgorithm({"algorithm": self.oid}).dump())

    @property
    def accepted(self) -> tuple[bytes, ...]:
        """The identifiers that others' signatures may carry: gostprov adds a NULL that RFC 9215 leaves out."""
        if not self.key.startswith("gost"):
            return (self.identifier,)
        with_null = algos.SignedDigestAlgorithm({"algorithm": self.oid, "parameters": core.Null()})
        return self.identifier, bytes(with_null.dump())


_ECDSA: Final = "1.2.840.10045.4.3"
_RSA: Final = "1.2.840.113549.1.1"
_ML_DSA: Final = "2.16.840.1.101.3.4.3"
_GOST: Final = "1.2.643.7.1.1"


@dataclass(frozen=True)
class KeyKind:
    """Keys of one type; `{bits}` and `{curve}` stand for what the key's data says.

    `openssl` is the algorithm by `openssl genpkey`'s name, `option` what it needs beside it, `trial` the same for a key
    that nobody relies on, where that is another; `pkcs11` the key type by `pkcs11-tool`'s name ("" where it has none).
    `called` is what people call them, `bits` how long a public key is where the type says so, `settings` what else
    papers tell of them. `oid` identifies keys that asn1crypto does not know, or that are `bare`: the identifier has no
    parameters, the key is `bits` long to the octet, and signatures, which hash by themselves, have the same identifier.
    """

    openssl: str
    called: str
    settings: str
    option: str = ""
    trial: str = ""
    pkcs11: str = ""
    bits: int | None = None
    oid: str = ""
    bare: bool = False


KEY_KINDS: Final = {
    "rsa": KeyKind(
        "RSA",
        "RSA",
        "public exponent 65537",
        option="rsa_keygen_bits:{bits}",
        trial="rsa_keygen_bits:1024",
        pkcs11="rsa:{bits}",
    ),
    "ec": KeyKind(
        "EC",
        "ECDSA",
        "named curve",
        option="ec_paramgen_curve:{curve}",
        trial="ec_paramgen_curve:P-256",
        pkcs11="EC:{curve}",
    ),
    "ed25519": KeyKind("ED25519", "Ed25519", "edwards25519", bits=256, oid="1.3.101.112", bare=True),
    # The first of the parameter sets that RFC 9215 leaves without a digest's.
    "gost2012_256": KeyKind(
        "gost2012_256",
        "GOST R 34.10-2012",
        "paramset A",
        option="paramset:TCA",
        pkcs11="GOSTR3410-2012-256:A",
        bits=256,
        oid=f"{_GOST}.1.1",
    ),
    "gost2012_512": KeyKind(
        "gost2012_512",
        "GOST R 34.10-2012",
        "paramset A",
        option="paramset:A",
        pkcs11="GOSTR3410-2012-512:A",
        bits=512,
        oid=f"{_GOST}.1.2",
    ),
    "ml_dsa_44": KeyKind("ML-DSA-44", "ML-DSA-44", "FIPS 204", bits=10496, oid=f"{_ML_DSA}.17", bare=True),
    "ml_dsa_65": KeyKind("ML-DSA-65", "ML-DSA-65", "FIPS 204", bits=15616, oid=f"{_ML_DSA}.18", bare=True),
    "ml_dsa_87": KeyKind("ML-DSA-87", "ML-DSA-87", "FIPS 204", bits=20736, oid=f"{_ML_DSA}.19", bare=True),
}
"""By the names of the signature table's `key` column."""

SIGNATURE_ALGORITHMS: Final = (
    SignatureAlgorithm("rsa", "sha256", "sha256_rsa", f"{_RSA}.11", openssl_digest="SHA256"),
    SignatureAlgorithm("rsa", "sha384", "sha384_rsa", f"{_RSA}.12", openssl_digest="SHA384"),
    SignatureAlgorithm("rsa", "sha512", "sha512_rsa", f"{_RSA}.13", openssl_digest="SHA512"),
    SignatureAlgorithm("ec", "sha256", "sha256_ecdsa", f"{_ECDSA}.2", openssl_digest="SHA256"),
    SignatureAlgorithm("ec", "sha384", "sha384_ecdsa", f"{_ECDSA}.3", openssl_digest="SHA384"),
    SignatureAlgorithm("ec", "sha512", "sha512_ecdsa", f"{_ECDSA}.4", openssl_digest="SHA512"),
    SignatureAlgorithm(
        "gost2012_256", "streebog256", "streebog256_gost2012_256", f"{_GOST}.3.2", openssl_digest="md_gost12_256"
    ),
    SignatureAlgorithm(
        "gost2012_512", "streebog512", "streebog512_gost2012_512", f"{_GOST}.3.3", openssl_digest="md_gost12_512"
    ),
    *(SignatureAlgorithm(name, "", name, kind.oid) for name, kind in KEY_KINDS.items() if kind.bare),
)


_KEY_OIDS: Final = {
    name: kind.oid for name, kind in KEY_KINDS.items() if kind.oid and kind.oid not in keys.PublicKeyAlgorithmId._map
}
"""What asn1crypto 1.5 does not know yet."""
_DIGEST_OIDS: Final = {"streebog256": f"{_GOST}.2.2", "streebog512": f"{_GOST}.2.3"}


def _teach_asn1crypto() -> None:
    """Give asn1crypto the names of the table; their public keys stay opaque bit strings to it."""

    def learn(identifiers: Any, names: dict[str, str]) -> None:
        identifiers._map.update({oid: name for name, oid in names.items()})
        identifiers._reverse_map = None  # asn1crypto makes it again from the map when it is next asked

    learn(keys.PublicKeyAlgorithmId, _KEY_OIDS)
    learn(algos.DigestAlgorithmId, _DIGEST_OIDS)
    for row in SIGNATURE_ALGORITHMS:
        algos.SignedDigestAlgorithmId._map[row.oid] = row.name
        algos.SignedDigestAlgorithmId._reverse_map[row.name] = row.oid

    known_key = keys.PublicKeyInfo._public_key_spec

    def public_key(info: Any) -> Any:
        return (core.OctetBitString, None) if info["algorithm"]["algorithm"].native in _KEY_OIDS else known_key(info)

    keys.PublicKeyInfo._public_key_spec = public_key
    keys.PublicKeyInfo._spec_callbacks["public_key"] = public_key


_teach_asn1crypto()


def key_type(public_key_info: bytes) -> str:
    """Return the type of a DER SubjectPublicKeyInfo, by the names in the table's `key` column.

    Raises ValueError when the bytes are no SubjectPublicKeyInfo.
    """
    return _key_type(der.Reader(public_key_info).enter(der.SEQUENCE).whole(der.SEQUENCE))


@lru_cache(maxsize=64)
def _key_type(identifier: bytes) -> str:
    return str(keys.PublicKeyAlgorithm.load(identifier, strict=True)["algorithm"].native)


def by_key(key: str, digest: str) -> SignatureAlgorithm:
    """Return how keys of type `key` sign with `digest`; algorithms that hash by themselves ignore the digest.

    Raises UnknownAlgorithmError when the table has no such pair.
    """
    for row in SIGNATURE_ALGORITHMS:
        if row.key == key and row.digest in ("", digest):
            return row
    allowed = ", ".join(row.digest for row in SIGNATURE_ALGORITHMS if row.key == key)
    raise UnknownAlgorithmError(
        f"a key of type {key!r} cannot sign with digest {digest!r}; "
        + (f"digests for this key: {allowed}" if allowed else f"key types: {', '.join(sorted(key_types()))}")
    )


@lru_cache(maxsize=64)
def by_identifier(identifier: bytes) -> SignatureAlgorithm:
    """Return the table's row for a DER AlgorithmIdentifier of a signature; it must match an `accepted` one to the byte.

    Raises UnknownAlgorithmError when no row has it, as with SHA-1, MD5 and RSA-PSS.
    """
    for row in SIGNATURE_ALGORITHMS:
        if identifier in row.accepted:
            return row
    name = algos.SignedDigestAlgorithm.load(identifier)["algorithm"].native
    allowed = ", ".join(row.name for row in SIGNATURE_ALGORITHMS)
    raise UnknownAlgorithmError(f"signature algorithm {name} is not accepted; accepted: {allowed}")


def key_types() -> frozenset[str]:
    """Return the key types that the table knows."""
    return frozenset(row.key for row in SIGNATURE_ALGORITHMS)
