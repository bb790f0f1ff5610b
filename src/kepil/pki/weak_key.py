"""Public keys that anyone may break, known by their form (BR 6.1.1.3, 6.1.5, 6.1.6; NIST SP 800-89 section 5.3.3).

Found are: RSA keys of Infineon's library (ROCA, CVE-2017-15361), of small or close factors, of an unfit length or
exponent; keys of Debian's broken generator (CVE-2008-0166) as far as a blocklist of them is given; Ed25519 points of
small order. Two keys that share a factor are not looked for.
"""

from __future__ import annotations

import hashlib
import math
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final, Self

from kepil.errors import KepilError
from kepil.pki.public_key import PublicKey, WeakKeyError

SMALLEST_RSA, LARGEST_RSA = 2048, 8192
SMALLEST_EXPONENT, LARGEST_EXPONENT = 65537, 2**256 - 1
_ROUNDS: Final = 100
"""Of Fermat's method, as BR 6.1.1.3 asks."""
_DIGEST_TAIL: Final = 10
"""Octets of a SHA-1 that the blocklist keeps."""
_ED25519: Final = 2**255 - 19


class BlocklistError(KepilError):
    """A blocklist cannot be read; the message names the file, the line and the remedy."""


class Blocklist:
    """RSA keys that are known, in the form of Debian's package openssl-blacklist.

    A line is the last 20 hexadecimal digits of the SHA-1 of `Modulus=`, the modulus in upper-case hexadecimal, and a
    line feed: what `openssl rsa -modulus` prints. Empty lines and those that begin with `#` say nothing.
    """

    def __init__(self, tails: frozenset[bytes] = frozenset()) -> None:
        self._tails = tails

    @classmethod
    def read(cls, *paths: Path) -> Self:
        """Read files. Raises BlocklistError."""
        return cls(frozenset(tail for path in paths for tail in _tails(path)))

    def __contains__(self, modulus: int) -> bool:
        line = f"Modulus={modulus:X}\n".encode()
        return hashlib.sha1(line, usedforsecurity=False).digest()[-_DIGEST_TAIL:] in self._tails


NOTHING_KNOWN: Final = Blocklist()


def check_strength(key: PublicKey, known: Blocklist = NOTHING_KNOWN) -> None:
    """Raise WeakKeyError unless the key is fit to be certified. Whether a point is on its curve OpenSSL tells."""
    if key.kind == "rsa":
        check_rsa(*key.rsa, known)
    elif key.kind == "ed25519":
        check_ed25519(key.octets)


def check_rsa(modulus: int, exponent: int, known: Blocklist = NOTHING_KNOWN) -> None:
    """Raise WeakKeyError for a key that is unfit or known."""
    bits = modulus.bit_length()
    if not SMALLEST_RSA <= bits <= LARGEST_RSA or bits % 8:
        raise WeakKeyError(
            f"RSA key of {bits} bits: make one of {SMALLEST_RSA} to {LARGEST_RSA}, a multiple of 8 (BR 6.1.5)"
        )
    if not SMALLEST_EXPONENT <= exponent <= LARGEST_EXPONENT or exponent % 2 == 0:
        raise WeakKeyError(f"RSA public exponent {exponent:#x}: use {SMALLEST_EXPONENT} (BR 6.1.6)")
    if math.gcd(modulus, _small_factors()) > 1:
        raise WeakKeyError("the RSA modulus has a small factor: its generator is broken, use another")
    if has_roca_fingerprint(modulus):
        raise WeakKeyError("the RSA key is of a generator that ROCA breaks (CVE-2017-15361): make it in another device")
    if has_close_factors(modulus):
        raise WeakKeyError("the RSA modulus has factors close together: its generator is broken, use another")
    if modulus in known:
        raise WeakKeyError("the RSA key is a known one (CVE-2008-0166): make it anew with a mended OpenSSL")


def has_roca_fingerprint(modulus: int) -> bool:
    """Tell whether the modulus is a power of 65537 modulo each of the first odd primes, as ROCA's are and no others."""
    return all(modulus % prime in powers for prime, powers in _powers())


def has_close_factors(modulus: int) -> bool:
    """Tell whether Fermat's method factors an odd modulus, or finds it a square, within 100 rounds."""
    middle = math.isqrt(modulus - 1) + 1
    rest = middle * middle - modulus
    for _ in range(_ROUNDS):
        if rest & 15 in (0, 1, 4, 9) and math.isqrt(rest) ** 2 == rest:
            return True
        rest += 2 * middle + 1
        middle += 1
    return False


def check_ed25519(point: bytes) -> None:
    """Raise WeakKeyError for a point of small order, under which anyone can sign, or one not reduced (RFC 8032)."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    if y >= _ED25519 or y in _small_order():
        raise WeakKeyError("the Ed25519 key is no key that a generator makes: make it anew")


def _tails(path: Path) -> list[bytes]:
    tails = []
    try:
        for number, line in enumerate(path.read_text("ascii").splitlines(), start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            tails.append(bytes.fromhex(text))
            if len(tails[-1]) != _DIGEST_TAIL:
                raise ValueError(f"line {number} is not {2 * _DIGEST_TAIL} hexadecimal digits")
    except (OSError, ValueError) as error:
        raise BlocklistError(f"{path}: {error}; give a file as openssl-blacklist has them") from error
    return tails


def _primes(below: int) -> list[int]:
    sieve = bytearray([1]) * below
    sieve[:2] = b"\0\0"
    for number in range(2, math.isqrt(below) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, below, number)))
    return [number for number in range(below) if sieve[number]]


@cache
def _small_factors() -> int:
    """The product of the primes below 752 (SP 800-89)."""
    return math.prod(_primes(752))


@cache
def _powers() -> tuple[tuple[int, frozenset[int]], ...]:
    """For each odd prime up to 167 where that tells anything, the powers of 65537; the most telling first.

    ROCA's primes are a power of 65537 modulo the product of the first 39 primes, for every size of key.
    """
    table = []
    for prime in islice(_primes(168), 1, None):
        powers = frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))
        if len(powers) < prime - 1:
            table.append((prime, powers))
    return tuple(sorted(table, key=lambda row: len(row[1]) / row[0]))


@cache
def _small_order() -> frozenset[int]:
    """The y of the points of order 1, 2, 4 and 8 on edwards25519: 1, -1, 0, and the roots of d y^4 + 2 y^2 = 1."""
    p = _ED25519
    d = -121665 * pow(121666, -1, p) % p
    root = _square_root(1 + d)
    squares = [(sign * root - 1) * pow(d, -1, p) % p for sign in (1, -1)]
    eighths = [_square_root(square) for square in squares if pow(square, (p - 1) // 2, p) == 1]
    return frozenset({0, 1, p - 1, *eighths, *(p - y for y in eighths)})


def _square_root(square: int) -> int:
    """A square root modulo 2**255 - 19 (RFC 8032 section 5.1.3), of a number that has one."""
    p = _ED25519
    root = pow(square, (p + 3) // 8, p)
    return root if root * root % p == square % p else root * pow(2, (p - 1) // 4, p) % p
