"""Activation data, split between custodians (CP-6.4): SLIP-39 shares, each encrypted to its custodian (CMS, RFC 5652).

Nothing here touches a disk: secrets pass through memory and pipes. A custodian's decryption key may lie on a smart
card; OpenSSL reaches it by its `pkcs11:` URI.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

from kepil.errors import KepilError

LENGTH: Final = 16
"""Octets of activation data: 128 bits, typed by nobody."""

HARDENING: Final = 0
"""SLIP-39's iteration exponent. It slows guessing a passphrase down; there is none, and the secret is random."""


class ActivationError(KepilError):
    """Activation data cannot be split, encrypted or recovered. The message never holds any of it."""


def new_secret() -> bytes:
    """Fresh activation data, from the operating system's generator."""
    return secrets.token_bytes(LENGTH)


def pin(secret: bytes) -> str:
    """The PIN that a token is told: the secret in hexadecimal digits."""
    return secret.hex()


def split(secret: bytes, threshold: int, holders: int) -> list[str]:
    """A share for each holder, as words; any `threshold` of them give the secret again, fewer tell nothing of it.

    Raises ActivationError, and hands nothing out, unless every sufficient subset recovers it and no smaller one does.
    """
    from shamir_mnemonic import MnemonicError, generate_mnemonics  # noqa: PLC0415 -- only hosts of ceremonies have it

    if not 1 < threshold <= holders:
        raise ActivationError(f"{threshold} of {holders}: at least two shares are needed, and at most all of them")
    try:
        shares: list[str] = generate_mnemonics(1, [(threshold, holders)], secret, iteration_exponent=HARDENING)[0]
    except (MnemonicError, ValueError) as error:
        raise ActivationError(f"{threshold} of {holders}: {error}") from error
    rehearse(shares, threshold, secret)
    return shares


def rehearse(shares: Sequence[str], threshold: int, secret: bytes) -> None:
    """Raise ActivationError unless every subset of `threshold` shares recovers the secret, and none that is smaller."""
    for chosen in combinations(range(len(shares)), threshold):
        if recover([shares[number] for number in chosen]) != secret:
            raise ActivationError(f"shares {', '.join(str(n + 1) for n in chosen)} recover something else: split anew")
    for chosen in combinations(range(len(shares)), threshold - 1):
        try:
            recover([shares[number] for number in chosen])
        except ActivationError:
            continue
        raise ActivationError(f"{threshold - 1} shares were enough: split anew")


def recover(shares: Sequence[str]) -> bytes:
    """The secret; raises ActivationError where the shares are too few, belong to different secrets, or are misspelt."""
    from shamir_mnemonic import MnemonicError, combine_mnemonics  # noqa: PLC0415 -- as above

    try:
        secret: bytes = combine_mnemonics(shares)
    except MnemonicError as error:
        raise ActivationError(f"{len(shares)} shares do not open it: {_without_words(str(error), shares)}") from error
    return secret


def _without_words(message: str, shares: Sequence[str]) -> str:
    """The library's reason, unless it tells any word of a share."""
    told = set(message.lower().replace('"', " ").replace("'", " ").replace(".", " ").split())
    words = {word for share in shares for word in share.split()}
    return "a share is not as it was handed out" if told & words else message


def encrypt(share: str, certificate: str) -> bytes:
    """A share for the holder of a certificate (PEM): CMS AuthEnvelopedData in DER, AES-256-GCM (RFC 5083, 5084).

    RSA keys get OAEP with SHA-256, elliptic curves ephemeral Diffie-Hellman. Raises ActivationError.
    """
    with tempfile.TemporaryDirectory(prefix="kepil-custodian-") as folder:
        file = Path(folder, "certificate.pem")  # public
        file.write_text(certificate, encoding="ascii")
        padding = _oaep(file)
        words = ["cms", "-encrypt", "-binary", "-aes-256-gcm", "-outform", "DER", "-recip", str(file), *padding]
        return _openssl(words, share.encode("ascii"))


def decrypt(encrypted: bytes, key: str, *, config: Path | None = None) -> str:
    """A share, with its custodian's key: a file, or `pkcs11:…` with an openssl.cnf. Raises ActivationError."""
    with tempfile.TemporaryDirectory(prefix="kepil-custodian-") as folder:
        file = Path(folder, "share.cms")  # encrypted
        file.write_bytes(encrypted)
        words = ["cms", "-decrypt", "-binary", "-inform", "DER", "-in", str(file), "-inkey", key]
        return _openssl(words, b"", config).decode("ascii")


def _oaep(certificate: Path) -> list[str]:
    text = _openssl(["x509", "-in", str(certificate), "-noout", "-text", "-certopt", "no_sigdump"], b"")
    if b"rsaEncryption" not in text:
        return []
    return ["-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha256"]


def _openssl(words: Sequence[str], content: bytes, config: Path | None = None) -> bytes:
    environment = os.environ | {"LC_ALL": "C"} | ({"OPENSSL_CONF": str(config)} if config else {})
    done = subprocess.run(["openssl", *words], input=content, capture_output=True, check=False, env=environment)
    if done.returncode != 0:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise ActivationError(f"openssl {words[0]} {words[1]}: {reason}")
    return done.stdout
