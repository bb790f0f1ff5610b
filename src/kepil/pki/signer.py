"""Keys that sign, wherever they live: in a file or behind PKCS #11, opened by URI through OpenSSL's OSSL_STORE.

CP-6.1, CP-6.4: the key never leaves its module, and is opened with activation data that only the caller's file holds.
"""

import ctypes
import random
import re
import threading
import time
from collections.abc import Callable, Iterable
from ctypes import byref, c_size_t, c_void_p
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from kepil.errors import KepilError
from kepil.pki import algorithm
from kepil.pki.digest import Digest, DigestError
from kepil.pki.openssl import (
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
_MESSAGES_ONLY: Final = frozenset({"gost2012_256", "gost2012_512"})  # gostprov signs no hash that another made
_REMEDY: Final = "check the URI, the activation file, and that the HSM partition is reachable"


class SignerError(KepilError):
    """A key could not be opened or used; the message names the key, what OpenSSL says, and what to check."""


class _Operation(NamedTuple):
    """An EVP_PKEY_CTX, and the room for what it signs."""

    pointer: int
    signature: "ctypes.Array[ctypes.c_char]"
    size: c_size_t


class _Key:
    """A private key opened in an OpenSSL context of its own; it is freed when the last thread has let go of it."""

    def __init__(self, uri: str, config: Path | None, activation: Path | None) -> None:
        self.context = Context(config)
        self.pointer: int = _load(self.context, uri, activation)
        self._operations: list[_Operation] = []  # prepared, and used by no thread now

    def __del__(self) -> None:
        for operation in getattr(self, "_operations", ()):
            lib.EVP_PKEY_CTX_free(operation.pointer)
        if pointer := getattr(self, "pointer", None):
            lib.EVP_PKEY_free(pointer)

    def public_key_info(self) -> bytes:
        encoded = c_void_p()
        length = check(lib.i2d_PUBKEY(self.pointer, byref(encoded)), "reading the public key")
        with freed(encoded.value or 0, lambda pointer: lib.CRYPTO_free(pointer, b"", 0)):
            return ctypes.string_at(encoded.value or 0, length)

    def sign_digest(self, value: bytes, how: algorithm.SignatureAlgorithm) -> bytes:
        try:
            operation = self._operations.pop()
        except IndexError:  # the first, or more threads at once than ever before
            operation = self._prepare(how)
        try:
            size = operation.size
            size.value = len(operation.signature)
            check(lib.EVP_PKEY_sign(operation.pointer, operation.signature, byref(size), value, len(value)), "signing")
        except OpenSSLError:
            lib.EVP_PKEY_CTX_free(operation.pointer)
            raise
        signature = operation.signature.raw[: size.value]
        self._operations.append(operation)
        return signature

    def _prepare(self, how: algorithm.SignatureAlgorithm) -> "_Operation":
        new: int = check(lib.EVP_PKEY_CTX_new_from_pkey(self.context.pointer, self.pointer, None), "preparing to sign")
        try:
            check(lib.EVP_PKEY_sign_init(new), "preparing to sign")
            _choose(new, how)
        except OpenSSLError:
            lib.EVP_PKEY_CTX_free(new)
            raise
        return _Operation(new, ctypes.create_string_buffer(lib.EVP_PKEY_get_size(self.pointer)), c_size_t())

    def sign_parts(self, parts: Iterable[bytes], how: algorithm.SignatureAlgorithm) -> bytes:
        with freed(check(lib.EVP_MD_CTX_new(), "preparing to sign"), lib.EVP_MD_CTX_free) as operation:
            name, context = how.openssl_digest.encode(), self.context.pointer
            started = lib.EVP_DigestSignInit_ex(operation, None, name, context, None, self.pointer, None)
            check(started, "preparing to sign")
            for part in parts:
                check(lib.EVP_DigestSignUpdate(operation, part, len(part)), "signing")
            size = c_size_t(lib.EVP_PKEY_get_size(self.pointer))
            signature = ctypes.create_string_buffer(size.value)
            check(lib.EVP_DigestSignFinal(operation, signature, byref(size)), "signing")
        return signature.raw[: size.value]

    def sign_message(self, message: bytes) -> bytes:
        with freed(check(lib.EVP_MD_CTX_new(), "preparing to sign"), lib.EVP_MD_CTX_free) as operation:
            started = lib.EVP_DigestSignInit_ex(operation, None, None, self.context.pointer, None, self.pointer, None)
            check(started, "preparing to sign")
            size = c_size_t()
            check(lib.EVP_DigestSign(operation, None, byref(size), message, len(message)), "signing")
            signature = ctypes.create_string_buffer(size.value)
            check(lib.EVP_DigestSign(operation, signature, byref(size), message, len(message)), "signing")
        return signature.raw[: size.value]


def _choose(operation: int, how: algorithm.SignatureAlgorithm) -> None:
    """Tell an EVP_PKEY_CTX how the hash that it signs or verifies was made, and how it is padded."""
    if how.key == "rsa":
        check(lib.EVP_PKEY_CTX_ctrl_str(operation, b"rsa_padding_mode", b"pkcs1"), "choosing PKCS #1 v1.5")
    name = how.openssl_digest
    check(lib.EVP_PKEY_CTX_ctrl_str(operation, b"digest", name.encode()), f"choosing {name}")


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
            self._signs_digests = self._how.key not in _MESSAGES_ONLY
            self.hash = Digest(self._how.digest, config) if self._how.digest else None
        except (OpenSSLError, OSError, algorithm.UnknownAlgorithmError, DigestError) as error:
            raise SignerError(f"key {self.uri}: {error}; {_REMEDY}") from error
        self.openssl_config = config
        self.in_process = not uri.startswith("pkcs11:")
        """Whether a signature is a matter of this processor only, and neither of a wire nor of another machine."""
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
        if self.hash is None:
            return self._try(lambda key: key.sign_message(message))
        if not self._signs_digests:
            return self._try(lambda key: key.sign_parts([message], self._how))
        # Hashing here, not in the token, saves two round trips a signature and shipping the whole message there.
        return self.sign_digest(self.hash(message))

    def sign_parts(self, parts: Callable[[], Iterable[bytes]]) -> bytes:
        """Return the signature of a message that comes in parts, in constant memory; `parts` gives them from the first.

        Algorithms that hash by themselves (Ed25519, ML-DSA) take the whole message into memory. Raises SignerError, as
        `sign` does, and whatever `parts` raises.
        """
        if self.hash is None:
            return self.sign(b"".join(parts()))
        if not self._signs_digests:
            return self._try(lambda key: key.sign_parts(parts(), self._how))
        hashing = self.hash.start()
        for part in parts():
            hashing.update(part)
        return self.sign_digest(hashing.finish())

    def sign_digest(self, value: bytes) -> bytes:
        """Return the signature of the message whose hash by `hash` is `value`. Not every key signs a hash: see `sign`.

        Raises SignerError, as `sign` does.
        """
        return self._try(lambda key: key.sign_digest(value, self._how))

    def _try(self, sign: Callable[[_Key], bytes]) -> bytes:
        key = self._key
        try:
            return sign(key)
        except (OpenSSLError, OSError) as error:
            failure: Exception = error
        for pause in _PAUSES_SECONDS:
            try:
                key = self._replace(key, pause)
                return sign(key)
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
