"""The functions of OpenSSL's libcrypto (3.0 and later) that the package calls, through ctypes.

ctypes releases the interpreter lock for a call, so signing threads use all processors, and an HSM that freezes stops
only the thread that waits for it. For the few calls in `_AT_ONCE` it does not: they never wait, and take less time than
threads take to pass the lock on.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_ulong, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

LIBRARY: Final = "libcrypto.so.3"
STORE_INFO_PKEY: Final = 4  # OSSL_STORE_INFO_PKEY, openssl/store.h

PasswordCallback = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_void_p)
"""`pem_password_cb`: buffer, its size, whether the phrase is for writing, user data; gives the phrase's length."""

_OUT_POINTER = POINTER(c_void_p)
_OUT_SIZE = POINTER(c_size_t)

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "CRYPTO_free": (None, [c_void_p, c_char_p, c_int]),
    "ERR_clear_error": (None, []),
    "ERR_error_string_n": (None, [c_ulong, c_char_p, c_size_t]),
    "ERR_get_error": (c_ulong, []),
    "EVP_Digest": (c_int, [c_char_p, c_size_t, c_char_p, c_void_p, c_void_p, c_void_p]),
    "EVP_DigestFinal_ex": (c_int, [c_void_p, c_char_p, c_void_p]),
    "EVP_DigestInit_ex2": (c_int, [c_void_p, c_void_p, c_void_p]),
    "EVP_DigestSign": (c_int, [c_void_p, c_void_p, _OUT_SIZE, c_char_p, c_size_t]),
    "EVP_DigestSignFinal": (c_int, [c_void_p, c_char_p, _OUT_SIZE]),
    "EVP_DigestSignInit_ex": (c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p]),
    "EVP_DigestSignUpdate": (c_int, [c_void_p, c_char_p, c_size_t]),
    "EVP_DigestUpdate": (c_int, [c_void_p, c_char_p, c_size_t]),
    "EVP_DigestVerify": (c_int, [c_void_p, c_char_p, c_size_t, c_char_p, c_size_t]),
    "EVP_DigestVerifyFinal": (c_int, [c_void_p, c_char_p, c_size_t]),
    "EVP_DigestVerifyInit_ex": (c_int, [c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p]),
    "EVP_DigestVerifyUpdate": (c_int, [c_void_p, c_char_p, c_size_t]),
    "EVP_MD_CTX_free": (None, [c_void_p]),
    "EVP_MD_CTX_new": (c_void_p, []),
    "EVP_MD_fetch": (c_void_p, [c_void_p, c_char_p, c_char_p]),
    "EVP_MD_free": (None, [c_void_p]),
    "EVP_MD_get_size": (c_int, [c_void_p]),
    "EVP_PKEY_CTX_ctrl_str": (c_int, [c_void_p, c_char_p, c_char_p]),
    "EVP_PKEY_CTX_free": (None, [c_void_p]),
    "EVP_PKEY_CTX_new_from_pkey": (c_void_p, [c_void_p, c_void_p, c_char_p]),
    "EVP_PKEY_free": (None, [c_void_p]),
    "EVP_PKEY_get_size": (c_int, [c_void_p]),
    "EVP_PKEY_sign": (c_int, [c_void_p, c_void_p, _OUT_SIZE, c_char_p, c_size_t]),
    "EVP_PKEY_sign_init": (c_int, [c_void_p]),
    "OSSL_LIB_CTX_load_config": (c_int, [c_void_p, c_char_p]),
    "OSSL_LIB_CTX_new": (c_void_p, []),
    "OSSL_PROVIDER_load": (c_void_p, [c_void_p, c_char_p]),
    "OSSL_STORE_INFO_free": (None, [c_void_p]),
    "OSSL_STORE_INFO_get1_PKEY": (c_void_p, [c_void_p]),
    "OSSL_STORE_INFO_get_type": (c_int, [c_void_p]),
    "OSSL_STORE_close": (c_int, [c_void_p]),
    "OSSL_STORE_eof": (c_int, [c_void_p]),
    "OSSL_STORE_error": (c_int, [c_void_p]),
    "OSSL_STORE_expect": (c_int, [c_void_p, c_int]),
    "OSSL_STORE_load": (c_void_p, [c_void_p]),
    "OSSL_STORE_open_ex": (
        c_void_p,
        [c_char_p, c_void_p, c_char_p, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p],
    ),
    "UI_UTIL_wrap_read_pem_callback": (c_void_p, [PasswordCallback, c_int]),
    "UI_destroy_method": (None, [c_void_p]),
    "d2i_PUBKEY_ex": (c_void_p, [_OUT_POINTER, POINTER(c_char_p), ctypes.c_long, c_void_p, c_char_p]),
    "i2d_PUBKEY": (c_int, [c_void_p, _OUT_POINTER]),
}

_AT_ONCE: Final = frozenset(
    {"CRYPTO_free", "ERR_clear_error", "ERR_get_error", "EVP_Digest", "EVP_MD_CTX_new", "EVP_PKEY_get_size"}
)
"""No token has a part in these: OpenSSL hashes, or the provider that brings Streebog (`kepil.pki.digest`)."""


def _load() -> ctypes.CDLL:
    library, at_once = ctypes.CDLL(LIBRARY), ctypes.PyDLL(LIBRARY)
    for name, (result, arguments) in _FUNCTIONS.items():
        if name in _AT_ONCE:
            setattr(library, name, getattr(at_once, name))
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


lib: Final = _load()


class OpenSSLError(Exception):
    """A libcrypto call failed; the message is what OpenSSL's error queue of this thread says, oldest first."""


def take_errors() -> str:
    """Empty this thread's error queue and return it as one line ("no reason given" when it is empty)."""
    reasons: list[str] = []
    buffer = ctypes.create_string_buffer(256)
    while code := lib.ERR_get_error():
        lib.ERR_error_string_n(code, buffer, len(buffer))
        # error:<code>:<library>:<function>:<reason>; what a reader wants is the last part
        reason = buffer.value.decode(errors="replace").split(":", 4)[-1].lstrip(":")
        if reason not in reasons:
            reasons.append(reason)
    return "; ".join(reasons) or "no reason given"


def check(result: Any, call: str) -> Any:
    """Return `result` of a libcrypto call when it is true and positive.

    Raises OpenSSLError naming `call` otherwise.
    """
    if not result or (isinstance(result, int) and result < 0):
        raise OpenSSLError(f"{call}: {take_errors()}")
    return result


@contextmanager
def freed(pointer: int, free: Callable[[int], None]) -> Iterator[int]:
    """Lend a libcrypto object for a block and free it afterwards."""
    try:
        yield pointer
    finally:
        free(pointer)


class Context:
    """An OSSL_LIB_CTX of one's own: with it come its own providers, apart from the process's default ones.

    `config` is an openssl.cnf that activates providers; without it the default provider is loaded. A context stays for
    good, and there are few: one for each key, and another when its HSM was lost. OpenSSL keeps a part of it for every
    thread that used it and frees that when the thread ends, where a freed context kills the process.

    Raises OpenSSLError when the configuration or a provider cannot be loaded.
    """

    def __init__(self, config: Path | None = None) -> None:
        lib.ERR_clear_error()
        self.pointer: int = check(lib.OSSL_LIB_CTX_new(), "OSSL_LIB_CTX_new")
        if config is None:
            check(lib.OSSL_PROVIDER_load(self.pointer, b"default"), "loading the default provider")
        else:
            check(lib.OSSL_LIB_CTX_load_config(self.pointer, bytes(config)), f"loading {config}")


@lru_cache(maxsize=8)
def shared_context(config: Path | None) -> Context:
    """A context for what needs no key of one's own: hashing and verifying. Raises OpenSSLError."""
    return Context(config)
