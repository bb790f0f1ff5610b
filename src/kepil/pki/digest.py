"""Hashes by OpenSSL, so that Streebog is as good as SHA-2 wherever its provider is loaded; how requests name them."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kepil.errors import KepilError
from kepil.pki import der
from kepil.pki.algorithm import SIGNATURE_ALGORITHMS
from kepil.pki.openssl import OpenSSLError, check, lib, shared_context

_OPENSSL_NAMES: Final = {row.digest: row.openssl_digest for row in SIGNATURE_ALGORITHMS if row.digest}


class DigestError(KepilError):
    """A hash algorithm is not available; the message says which, and what to load."""


class Digest:
    """A hash algorithm, ready to use from any thread."""

    def __init__(self, name: str, config: Path | None = None) -> None:
        """Find the algorithm by asn1crypto's name (`sha256`, `streebog512`) in the providers that `config` activates.

        Raises DigestError.
        """
        openssl_name = _OPENSSL_NAMES.get(name, name)
        try:
            self._context = shared_context(config)  # held, for the algorithm is its part
            # Not in a token that could hash too, at a round trip a call.
            found = lib.EVP_MD_fetch(self._context.pointer, openssl_name.encode(), b"?provider=default")
            self._pointer: int = check(found, f"looking for {openssl_name}")
        except OpenSSLError as error:
            where = config or "OpenSSL's default provider"
            raise DigestError(f"no hash algorithm {name} in {where} ({error}); activate its provider there") from error
        self.name, self.size = name, int(lib.EVP_MD_get_size(self._pointer))
        self._room = ctypes.c_char * self.size

    def __del__(self, free: Callable[[int], None] = lib.EVP_MD_free) -> None:  # at exit `lib` may be gone
        if pointer := getattr(self, "_pointer", None):
            free(pointer)

    def __call__(self, message: bytes) -> bytes:
        """The hash of a message."""
        value = self._room()
        done = lib.EVP_Digest(message, len(message), value, None, self._pointer, None)
        check(done, f"hashing with {self.name}")
        return value.raw

    def start(self) -> "Hashing":
        """Begin the hash of a message that comes in parts."""
        return Hashing(self, self._pointer)


class Hashing:
    """The hash of a message that comes in parts. For one thread."""

    def __init__(self, digest: Digest, pointer: int) -> None:
        self._digest = digest
        self._operation: int = check(lib.EVP_MD_CTX_new(), "preparing to hash")
        check(lib.EVP_DigestInit_ex2(self._operation, pointer, None), f"hashing with {digest.name}")

    def __del__(self) -> None:
        if operation := getattr(self, "_operation", None):
            lib.EVP_MD_CTX_free(operation)

    def update(self, part: bytes) -> None:
        """Add a part."""
        check(lib.EVP_DigestUpdate(self._operation, part, len(part)), f"hashing with {self._digest.name}")

    def finish(self) -> bytes:
        """The hash of all parts."""
        value = ctypes.create_string_buffer(self._digest.size)
        check(lib.EVP_DigestFinal_ex(self._operation, value, None), f"hashing with {self._digest.name}")
        return value.raw


def read_identifier(identifier: der.Reader) -> bytes:
    """Read the contents of a hash algorithm's AlgorithmIdentifier, and return those of the OID.

    The parameters may be NULL or absent (RFC 5754 section 2). Raises DerError, too, when there are others.
    """
    oid = identifier.object_identifier()
    if identifier.more() and identifier.contents(der.NULL):
        raise der.DerError("NULL has contents")
    identifier.finish()
    return oid
