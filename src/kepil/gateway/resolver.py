"""Whether a name leads to an address, by the resolver that gateway and users share; answers are remembered."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from threading import Lock

REMEMBERS = 60.0
"""Seconds for which an answer counts: addresses that a name had a moment ago are its own."""
MOST = 65536
"""Names that are remembered."""


def ask(name: str) -> frozenset[IPv4Address]:
    """The name's addresses; none where the resolver knows of none, or does not answer."""
    try:
        found = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(IPv4Address(address[4][0]) for address in found)


class Resolver:
    """Remembers answers; threads share it. An address that is not among those remembered is asked about again."""

    def __init__(self, ask: Callable[[str], frozenset[IPv4Address]] = ask) -> None:
        self._ask = ask
        self._known: dict[str, tuple[float, frozenset[IPv4Address]]] = {}
        self._lock = Lock()

    def leads(self, name: str, address: IPv4Address) -> bool:
        """Whether the name leads to the address, now or a moment ago."""
        now = time.monotonic()
        with self._lock:
            until, known = self._known.get(name, (0.0, frozenset()))
        if until > now and address in known:
            return True
        found = self._ask(name)
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[name] = (now + REMEMBERS, found | known if until > now else found)
        return address in found
