"""Whether a name leads to an address, by the resolver that gateway and users share; answers are remembered.

That a resolver does not answer says nothing of the name. Where a name led a moment ago it leads then for another while,
as RFC 8767 has it; a name of which nothing is known leads nowhere.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from threading import Lock

REMEMBERS = 60.0
"""Seconds for which an answer counts: addresses that a name had a moment ago are its own."""
OUTLASTS = 3600.0
"""Seconds from the last answer for which it counts where the resolver gives none: time to mend the resolver."""
RESTS = 10.0
"""Seconds for which the resolver is not asked again about what it gave no answer to, where something is remembered."""
MOST = 65536
"""Names that are remembered."""

UNKNOWN = (socket.EAI_NONAME, socket.EAI_NODATA, socket.EAI_ADDRFAMILY)
"""What the resolver says of a name that leads to no address; anything else is no answer."""


class NoAnswerError(Exception):
    """The resolver did not answer, or said that it could not find out."""


def ask(name: str) -> frozenset[IPv4Address]:
    """The name's addresses; none where the resolver knows of none, or it is no name. Raises NoAnswerError."""
    try:
        found = socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except UnicodeError:
        return frozenset()
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno in UNKNOWN:
            return frozenset()
        raise NoAnswerError(str(error)) from error
    return frozenset(IPv4Address(address[4][0]) for address in found)


@dataclass(frozen=True)
class _Known:
    """What is remembered of a name."""

    answered: float
    """When the resolver last answered."""
    addresses: frozenset[IPv4Address] = frozenset()
    rests_until: float = 0.0
    """Until when it is not asked, since it gave no answer."""


class Resolver:
    """Remembers answers; threads share it. An address that is not among those remembered is asked about again."""

    def __init__(self, ask: Callable[[str], frozenset[IPv4Address]] = ask) -> None:
        self._ask = ask
        self._known: dict[str, _Known] = {}
        self._lock = Lock()

    def leads(self, name: str, address: IPv4Address) -> bool:
        """Whether the name leads to the address, now or a moment ago."""
        now = time.monotonic()
        with self._lock:
            known = self._known.get(name, _Known(float("-inf")))
        fresh, outlasts = (now < known.answered + seconds for seconds in (REMEMBERS, OUTLASTS))
        led_there = address in known.addresses
        if led_there and (fresh or (outlasts and now < known.rests_until)):
            return True
        try:
            found = self._ask(name)
        except NoAnswerError:
            if outlasts:
                self._remember(name, replace(known, rests_until=now + RESTS))
            return led_there and outlasts
        self._remember(name, _Known(now, found | known.addresses if fresh else found))
        return address in found

    def _remember(self, name: str, known: _Known) -> None:
        with self._lock:
            if name not in self._known and len(self._known) >= MOST:
                self._known.clear()
            self._known[name] = known
