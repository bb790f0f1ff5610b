"""Public keys that verify signatures, by OpenSSL."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_char_p
from pathlib import Path

from kepil.pki import algorithm
from kepil.pki.openssl import OpenSSLError, check, freed, lib, shared_context
from kepil.pki.signer import SignerError


class Verifier:
    """A public key that verifies signatures; safe to share between threads.

    A key that OpenSSL cannot read, a point off its curve for one, verifies nothing.
    """

    def __init__(self, public_key_info: bytes, digest: str, config: Path | None = None) -> None:
        """Take the key of a DER SubjectPublicKeyInfo, and what messages are hashed with.

        `config` is an openssl.cnf with the providers that the algorithm needs (GOST). Raises SignerError when it cannot
        be loaded, UnknownAlgorithmError when such a key does not go with `digest`, ValueError when `public_key_info` is
        no SubjectPublicKeyInfo.
        """
        self._how = algorithm.by_key(algorithm.key_type(public_key_info), digest)
        try:
            self._context = shared_context(config)
        except OpenSSLError as error:
            raise SignerError(f"cannot verify: {error}") from error
        encoded = byref(c_char_p(public_key_info))
        self._key = lib.d2i_PUBKEY_ex(None, encoded, len(public_key_info), self._context.pointer, None)
        lib.ERR_clear_error()

    def __del__(self) -> None:
        if key := getattr(self, "_key", None):
            lib.EVP_PKEY_free(key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` of `message` was made by this key."""
        with self._started() as operation:
            if not operation:
                return False
            return bool(lib.EVP_DigestVerify(operation, signature, len(signature), message, len(message)) == 1)

    def verify_parts(self, parts: Iterable[bytes], signature: bytes) -> bool:
        """Tell the same of a message that comes in parts, in constant memory.

        For algorithms that hash by themselves the whole message is taken into memory.
        """
        if not self._how.digest:
            return self.verify(b"".join(parts), signature)
        with self._started() as operation:
            if not operation:
                return False
            for part in parts:
                check(lib.EVP_DigestVerifyUpdate(operation, part, len(part)), "verifying")
            return bool(lib.EVP_DigestVerifyFinal(operation, signature, len(signature)) == 1)

    @contextmanager
    def _started(self) -> Iterator[int]:
        """Lend an operation that is ready for the message, 0 when this key cannot do it."""
        with freed(check(lib.EVP_MD_CTX_new(), "preparing to verify"), lib.EVP_MD_CTX_free) as operation:
            name, context = self._how.openssl_digest.encode() or None, self._context.pointer
            try:
                yield (
                    operation
                    if self._key
                    and lib.EVP_DigestVerifyInit_ex(operation, None, name, context, None, self._key, None) == 1
                    else 0
                )
            finally:
                lib.ERR_clear_error()
