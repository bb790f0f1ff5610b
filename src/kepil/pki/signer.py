"""Keys that sign, wherever they live: in a file or behind PKCS #11, opened by URI through OpenSSL's OSSL_STORE.

CP-6.1, CP-6.4: the key never leaves its module, and is opened with activation data that only the caller's file holds.
"""

import ctypes
import random
import re
import threading
import time
from ctypes import byref, c_char_p, c_size_t, c_void_p
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

from kepil.errors import KepilError
from kepil.pki import algorithm
from kepil.pki.openssl import (
    LARGEST_DIGEST,
    STORE_INFO_PKEY,
    Context,
    OpenSSLError,
    PasswordCallback,
    check,
    freed,
    lib,
    take_errors,
)

_PAUSES_SECONDS: Final = (0.0, 0.2, 1.0)
_REMEDY: Final = "check the URI, the activation file, and that the HSM partition is reachable"


class SignerError(KepilError):
    """A key could not be opened or used; the message names the key, what OpenSSL says, and what to check."""


class _Key:
    """A private key opened in an OpenSSL context of its own; both are freed when the last thread has let go of them."""

    def __init__(self, uri: str, config: Path | None, activation: Path | None) -> None:
        self.context = Context(config)
        self.pointer: int = _load(self.context, uri, activation)

    def __del__(self) -> None:
        if pointer := getattr(self, "pointer", None):
            lib.EVP_PKEY_free(pointer)

    def public_key_info(self) -> bytes:
        encoded = c_void_p()
        length = check(lib.i2d_PUBKEY(self.pointer, byref(encoded)), "reading the public key")
        with freed(encoded.value or 0, lambda pointer: lib.CRYPTO_free(pointer, b"", 0)):
            return ctypes.string_at(encoded.value or 0, length)

    def sign(self, message: bytes, how: algorithm.SignatureAlgorithm) -> bytes:
        # Hashing here, not in the token, saves two round trips a signature and shipping the whole message there.
        return self._sign_digest(message, how) if how.digest else self._sign_message(message)

    def _sign_digest(self, message: bytes, how: algorithm.SignatureAlgorithm) -> bytes:
        name = how.openssl_digest.encode()
        digest, size = ctypes.create_string_buffer(LARGEST_DIGEST), c_size_t()
        hashed = lib.EVP_Q_digest(self.context.pointer, name, None, message, len(message), digest, byref(size))
        check(hashed, f"hashing with {how.openssl_digest}")
        new = check(lib.EVP_PKEY_CTX_new_from_pkey(self.context.pointer, self.pointer, None), "preparing to sign")
        with freed(new, lib.EVP_PKEY_CTX_free) as operation:
            check(lib.EVP_PKEY_sign_init(operation), "preparing to sign")
            if how.key == "rsa":
                check(lib.EVP_PKEY_CTX_ctrl_str(operation, b"rsa_padding_mode", b"pkcs1"), "choosing PKCS #1 v1.5")
            check(lib.EVP_PKEY_CTX_ctrl_str(operation, b"digest", name), f"choosing {how.openssl_digest}")
            hashed_bytes = digest.raw[: size.value]
            check(lib.EVP_PKEY_sign(operation, None, byref(size), hashed_bytes, len(hashed_bytes)), "signing")
            signature = ctypes.create_string_buffer(size.value)
            check(lib.EVP_PKEY_sign(operation, signature, byref(size), hashed_bytes, len(hashed_bytes)), "signing")
        return signature.raw[: size.value]

    def _sign_message(self, message: bytes) -> bytes:
        with freed(check(lib.EVP_MD_CTX_new(), "preparing to sign"), lib.EVP_MD_CTX_free) as operation:
            started = lib.EVP_DigestSignInit_ex(operation, None, None, self.context.pointer, None, self.pointer, None)
            check(started, "preparing to sign")
            size = c_size_t()
            check(lib.EVP_DigestSign(operation, None, byref(size), message, len(message)), "signing")
            signature = ctypes.create_string_buffer(size.value)
            check(lib.EVP_DigestSign(operation, signature, byref(size), message, len(message)), "signing")
        return signature.raw[: size.value]


def _load(context: Context, uri: str, activation: Path | None) -> int:
    secret = activation.read_bytes().rstrip(b"\r\n") if activation else None

    def give_secret(buffer: int, size: int, _writing: int, _data: int) -> int:
        if secret is None or len(secret) > size:
            return -1
        ctypes.memmove(buffer, secret, len(secret))
        return len(secret)

    callback = PasswordCallback(give_secret)  # a name keeps it alive while OpenSSL may call it
    dialogue = check(lib.UI_UTIL_wrap_read_pem_callback(callback, 0), "preparing the activation dialogue")
    with freed(dialogue, lib.UI_destroy_method):
        opened = lib.OSSL_STORE_open_ex(uri.encode(), context.pointer, None, dialogue, None, None, None, None)
        with freed(check(opened, "opening the key store"), lib.OSSL_STORE_close) as store:
            check(lib.OSSL_STORE_expect(store, STORE_INFO_PKEY), "asking for a private key")
            while not (lib.OSSL_STORE_eof(store) or lib.OSSL_STORE_error(store)):
                info = lib.OSSL_STORE_load(store)
                if not info:
                    continue
                with freed(info, lib.OSSL_STORE_INFO_free):
                    if lib.OSSL_STORE_INFO_get_type(info) == STORE_INFO_PKEY:
                        return int(check(lib.OSSL_STORE_INFO_get1_PKEY(info), "taking the private key"))
    raise OpenSSLError(f"no private key there: {take_errors()}")


class Signer:
    """One private key that signs; safe to share between threads.

    When signing fails, as it does for ever once the connection to an HSM has been lost, the OpenSSL context is thrown
    away and the key opened anew, a few times with growing pauses. Made by `Signer.open`.
    """

    def __init__(self, uri: str, config: Path | None, activation: Path | None, digest: str) -> None:
        self.uri = re.sub(r"([?&;]pin-(?:value|source)=)[^&;]*", r"\1…", uri)
        self._open_key = partial(_Key, uri, config, activation)
        self._lock = threading.Lock()
        try:
            self._key = self._open_key()
            self.public_key_info: bytes = self._key.public_key_info()
            self._how = algorithm.by_key(algorithm.key_type(self.public_key_info), digest)
        except (OpenSSLError, OSError, algorithm.UnknownAlgorithmError) as error:
            raise SignerError(f"key {self.uri}: {error}; {_REMEDY}") from error
        self.digest: str = self._how.digest
        self.signature_algorithm: bytes = self._how.identifier

    @classmethod
    def open(
        cls, uri: str, *, config: Path | None = None, activation: Path | None = None, digest: str = "sha256"
    ) -> "Signer":
        """Open the private key at `uri`: a file's path, `file:` or `pkcs11:` (RFC 7512).

        `config` is an openssl.cnf that activates the providers that the key needs; `activation` a file that holds the
        PIN or passphrase (a newline at its end does not count); `digest` what to hash with before signing, ignored for
        keys whose algorithm hashes by itself.

        Raises SignerError when the key cannot be opened or cannot sign with `digest`.
        """
        return cls(uri, config, activation, digest)

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`, encoded as `signature_algorithm` says.

        Raises SignerError when the key stays unusable after re-opening it.
        """
        key = self._key
        failure: Exception | None = None
        for pause in (None, *_PAUSES_SECONDS):
            try:
                if pause is not None:
                    key = self._replace(key, pause)
                return key.sign(message, self._how)
            except (OpenSSLError, OSError) as error:
                failure = error
        raise SignerError(f"key {self.uri} does not sign: {failure}; {_REMEDY}") from failure

    def _replace(self, failed: _Key, pause: float) -> _Key:
        """Open the key anew, unless another thread has done so since `failed` was taken."""
        with self._lock:
            if self._key is failed:
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, not a secret
                self._key = self._open_key()
            return self._key


@lru_cache(maxsize=8)
def _verifier(config: Path | None) -> Context:
    return Context(config)


def verify(public_key_info: bytes, message: bytes, signature: bytes, digest: str, config: Path | None = None) -> bool:
    """Tell whether `signature` of `message` was made by the key of a DER SubjectPublicKeyInfo.

    `config` is an openssl.cnf with the providers that the algorithm needs (GOST). A key that OpenSSL cannot read, a
    point off its curve for one, verifies nothing.

    Raises SignerError when the configuration cannot be loaded, UnknownAlgorithmError when such a key does not go with
    `digest`, ValueError when `public_key_info` is no SubjectPublicKeyInfo.
    """
    how = algorithm.by_key(algorithm.key_type(public_key_info), digest)
    try:
        context = _verifier(config)
    except OpenSSLError as error:
        raise SignerError(f"cannot verify: {error}") from error
    name = how.openssl_digest.encode() or None
    lib.ERR_clear_error()
    try:
        encoded = byref(c_char_p(public_key_info))
        key = lib.d2i_PUBKEY_ex(None, encoded, len(public_key_info), context.pointer, None)
        if not key:
            return False
        with (
            freed(key, lib.EVP_PKEY_free),
            freed(check(lib.EVP_MD_CTX_new(), "preparing to verify"), lib.EVP_MD_CTX_free) as operation,
        ):
            started = lib.EVP_DigestVerifyInit_ex(operation, None, name, context.pointer, None, key, None)
            if started != 1:
                return False
            return bool(lib.EVP_DigestVerify(operation, signature, len(signature), message, len(message)) == 1)
    finally:
        lib.ERR_clear_error()
