"""The table of signature algorithms, against OpenSSL's and the RFCs' encodings."""

import pytest
from asn1crypto import keys

from kepil.pki.algorithm import SIGNATURE_ALGORITHMS, SignatureAlgorithm, UnknownAlgorithmError, by_identifier, by_key


@pytest.mark.parametrize("row", SIGNATURE_ALGORITHMS, ids=lambda row: row.name)
def test_an_identifier_finds_its_row_again(row: SignatureAlgorithm) -> None:
    assert by_identifier(row.identifier) is row
    assert by_key(row.key, row.digest) is row


@pytest.mark.parametrize(
    ("key", "digest", "expected"),
    [
        ("rsa", "sha256", "300d06092a864886f70d01010b0500"),  # RFC 4055: NULL
        ("ec", "sha256", "300a06082a8648ce3d040302"),  # RFC 5758: absent
        ("ed25519", "", "300506032b6570"),  # RFC 8410: absent
        ("gost2012_256", "streebog256", "300a06082a85030701010302"),  # RFC 9215: absent
    ],
)
def test_encodings(key: str, digest: str, expected: str) -> None:
    assert by_key(key, digest).identifier.hex() == expected


def test_gost_signatures_are_known_as_openssl_writes_them() -> None:
    """gostprov gives requests a NULL parameter; what is signed here has none (RFC 9215)."""
    assert by_identifier(bytes.fromhex("300c06082a850307010103030500")).name == "streebog512_gost2012_512"
    with pytest.raises(UnknownAlgorithmError):
        by_identifier(bytes.fromhex("300c06082a8648ce3d0403020500"))  # ECDSA with NULL (RFC 5758)


def test_sha1_is_unknown() -> None:
    with pytest.raises(UnknownAlgorithmError, match="sha1_rsa"):
        by_identifier(bytes.fromhex("300d06092a864886f70d0101050500"))


def test_a_gost_key_is_read() -> None:
    """RFC 9215: the key is an OCTET STRING in the bit string; nothing here looks inside it."""
    key = keys.PublicKeyInfo({"algorithm": {"algorithm": "gost2012_256"}, "public_key": b"\x04\x40" + bytes(64)})
    assert keys.PublicKeyInfo.load(key.dump()).native["algorithm"]["algorithm"] == "gost2012_256"
