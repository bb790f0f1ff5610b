"""Keys that anyone may break are refused (BR 6.1.1.3, 6.1.5, 6.1.6)."""

import hashlib
import math
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from asn1crypto import core, keys

from kepil.pki.public_key import PublicKeyError, WeakKeyError, read_public_key
from kepil.pki.signer import Signer
from kepil.pki.weak_key import (
    Blocklist,
    BlocklistError,
    check_ed25519,
    check_rsa,
    check_strength,
    has_close_factors,
    has_roca_fingerprint,
)

RANDOM = random.Random(1)  # noqa: S311 -- examples, not secrets
FIRST_39_PRIMES = [number for number in range(2, 168) if all(number % below for below in range(2, number))]


def prime(candidates: Callable[[], int]) -> int:
    """The first of the candidates that Fermat's test takes for a prime."""
    return next(number for number in iter(candidates, None) if pow(2, number - 1, number) == 1)


def ordinary_prime() -> int:
    command = ["openssl", "prime", "-generate", "-bits", "1024", "-hex"]
    return int(subprocess.run(command, check=True, capture_output=True).stdout, 16)


def infineon_prime() -> int:
    """As the library makes them: k M + (65537**a mod M), M the product of the first 126 primes for 2048 bits."""
    product = math.prod(number for number in range(2, 702) if all(number % below for below in range(2, number)))
    return prime(
        lambda: (
            (RANDOM.getrandbits(1024) | 3 << 1022) // product * product + pow(65537, RANDOM.getrandbits(64), product)
        )
    )


@pytest.fixture(scope="module")
def modulus() -> int:
    """A sound one."""
    return ordinary_prime() * ordinary_prime()


def test_a_sound_key_passes(modulus: int) -> None:
    check_rsa(modulus, 65537)


def test_roca() -> None:
    """Threat: CVE-2017-15361, the smart cards on which a state's own identity cards once kept their keys."""
    with pytest.raises(WeakKeyError, match="ROCA"):
        check_rsa(infineon_prime() * infineon_prime(), 65537)


def test_the_roca_fingerprint_rests_on_every_telling_prime(modulus: int) -> None:
    """One residue out of place, and it is not the fingerprint."""
    broken = infineon_prime() * infineon_prime()
    generated = {pow(65537, exponent, 11) for exponent in range(11)}
    assert has_roca_fingerprint(broken)
    others = math.prod(number for number in FIRST_39_PRIMES if number != 11)
    while broken % 11 in generated:
        broken += others * 2
    assert not has_roca_fingerprint(broken)


@pytest.mark.parametrize("factor", [3, 5, 7, 743, 751])
def test_small_factors(factor: int) -> None:
    modulus = (3 << 2046) // factor * factor
    modulus += factor if modulus % 2 == 0 else 0
    with pytest.raises(WeakKeyError, match="small factor"):
        check_rsa(modulus, 65537)


@pytest.mark.parametrize("distance", [0, 2**16, 2**500])
def test_close_factors(distance: int) -> None:
    """Threat: CVE-2022-26320, a generator that takes the next prime after the first for the second."""
    first = ordinary_prime()
    second = first if distance == 0 else first + distance | 1
    while distance and pow(2, second - 1, second) != 1:
        second += 2
    with pytest.raises(WeakKeyError, match="close together"):
        check_rsa(first * second, 65537)


def test_fermat_needs_all_its_rounds() -> None:
    """Of factors a - b and a + b, the method finds a after a - ceil(sqrt(n)) rounds."""
    middle, rounds = 2**1023, []
    for half in (2**512, 2**515, 2**516):
        product = (middle - half - 1) * (middle + half + 1)
        rounds.append((middle - math.isqrt(product), has_close_factors(product)))
    assert [found for _, found in rounds] == [number <= 100 for number, _ in rounds]
    assert {found for _, found in rounds} == {True, False}


@pytest.mark.parametrize("exponent", [1, 2, 3, 65535, 65536, 65538, 2**256 + 1, -65537])
def test_exponents(modulus: int, exponent: int) -> None:
    with pytest.raises(WeakKeyError, match="exponent"):
        check_rsa(modulus, exponent)


@pytest.mark.parametrize("bits", [1024, 2047, 2049, 2052, 8200])
def test_lengths(bits: int) -> None:
    with pytest.raises(WeakKeyError, match=f"{bits} bits"):
        check_rsa(1 << bits - 1 | 1, 65537)


def test_a_listed_key_is_refused(modulus: int, tmp_path: Path) -> None:
    """The list's form is that of Debian's openssl-blacklist: the end of the SHA-1 of what `openssl rsa` prints."""
    info = keys.PublicKeyInfo.wrap(keys.RSAPublicKey({"modulus": modulus, "public_exponent": 65537}), "rsa").dump()
    command = ["openssl", "rsa", "-pubin", "-inform", "DER", "-modulus", "-noout"]
    printed = subprocess.run(command, input=info, check=True, capture_output=True).stdout
    digest = hashlib.sha1(printed, usedforsecurity=False).hexdigest()
    (tmp_path / "blacklist.RSA-2048").write_text(f"# of 2048 bits\n{digest[20:]}\n", "ascii")
    with pytest.raises(WeakKeyError, match="CVE-2008-0166"):
        check_strength(read_public_key(info), Blocklist.read(tmp_path / "blacklist.RSA-2048"))
    check_strength(read_public_key(info))


@pytest.mark.parametrize("text", ["zz" * 10, "00" * 9, "00" * 20])
def test_a_damaged_list_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text, "ascii")
    with pytest.raises(BlocklistError, match="list: "):
        Blocklist.read(tmp_path / "list")


# The eight points of small order have five y between them; the other two here are not reduced modulo 2**255 - 19.
@pytest.mark.parametrize(
    "y",
    [
        *(0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18),
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    ],
)
@pytest.mark.parametrize("sign", [0, 2**255])
def test_ed25519_points_of_small_order(y: int, sign: int) -> None:
    """Threat: a key under which every signature, or one in eight, is valid whoever made it."""
    with pytest.raises(WeakKeyError):
        check_ed25519((y | sign).to_bytes(32, "little"))


def test_a_sound_ed25519_key_passes(signer: Callable[..., Signer]) -> None:
    check_strength(read_public_key(signer("ed25519").public_key_info))


@pytest.mark.parametrize("kind", ["rsa2048", "p256", "p384", "ed25519"])
def test_every_octet_of_a_key_counts(signer: Callable[..., Signer], kind: str) -> None:
    """A key with octets left out or added, or bits unused, is none (CP-3.3: each key has one form)."""
    info = signer(kind).public_key_info
    assert read_public_key(info).info == info
    key = keys.PublicKeyInfo.load(info)
    bits = key["public_key"].contents[1:]
    for changed in (bits[:-1], bits + b"\0"):
        damaged = info.replace(bits, changed)
        with pytest.raises(PublicKeyError):
            read_public_key(damaged)


@pytest.mark.parametrize(
    ("kind", "curve"), [("gost2012_256", "1.2.643.2.2.35.1"), ("gost2012_512", "1.2.643.7.1.2.1.2.1")]
)
def test_both_forms_of_a_gost_key_are_one_key(kind: str, curve: str) -> None:
    """Threat: with and without the digest's identifier (RFC 9215) one key has two encodings, and two certificates."""
    size = int(kind[-3:]) // 4
    digest = {"gost2012_256": "1.2.643.7.1.1.2.2", "gost2012_512": "1.2.643.7.1.1.2.3"}
    point = bytes((0x04, 0x81, 0x80) if size == 128 else (0x04, size)) + bytes(range(size))

    def info(*parameters: str) -> bytes:
        class Parameters(core.SequenceOf):  # type: ignore[misc]
            _child_spec = core.ObjectIdentifier

        return bytes(
            keys.PublicKeyInfo(
                {
                    "algorithm": {"algorithm": kind, "parameters": Parameters(list(parameters))},
                    "public_key": core.OctetBitString(point),
                }
            ).dump()
        )

    short, long = read_public_key(info(curve)), read_public_key(info(curve, digest[kind]))
    assert short.info != long.info
    assert short.sha256 == long.sha256
    with pytest.raises(WeakKeyError, match="another digest"):
        read_public_key(info(curve, "1.2.643.2.2.9"))
