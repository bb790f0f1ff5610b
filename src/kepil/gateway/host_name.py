"""Host names as TLS and DNS carry them: lower case, ASCII, without a dot at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

import idna

_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_ADDRESS = re.compile(r"[0-9.]+")


def normal(text: str) -> str | None:
    """The name, an internationalised one as RFC 5891 has it; None for what is no host's name, as an address is none."""
    name = text.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError:
            return None
    return name if _NAME.fullmatch(name) and not _ADDRESS.fullmatch(name) else None


def suffixes(name: str) -> Iterator[str]:
    """The name and what lies above it, the narrowest first, without the top-level domain, which no list names."""
    while "." in name:
        yield name
        name = name.partition(".")[2]
