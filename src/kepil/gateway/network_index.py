"""Which entry of a table of networks that do not overlap holds an address: by bisection."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Generic, TypeVar

T = TypeVar("T")


def overlaps(entries: Iterable[tuple[IPv4Network, T]]) -> Iterator[tuple[tuple[IPv4Network, T], tuple[IPv4Network, T]]]:
    """Pairs of entries whose networks overlap, the broader one first."""
    holder: tuple[IPv4Network, T] | None = None
    for entry in sorted(entries, key=lambda each: (each[0].network_address, each[0].prefixlen)):
        if holder is not None and entry[0].network_address <= holder[0].broadcast_address:
            yield holder, entry
        else:
            holder = entry


class NetworkIndex(Generic[T]):
    """Built of networks of which no two overlap; raises ValueError where two do."""

    def __init__(self, entries: Iterable[tuple[IPv4Network, T]]) -> None:
        self._entries = sorted(entries, key=lambda each: each[0].network_address)
        for (network, _), (other, _) in overlaps(self._entries):
            raise ValueError(f"{network} and {other} overlap")
        self._starts = [int(network.network_address) for network, _ in self._entries]

    def networks(self) -> list[IPv4Network]:
        """The networks, in order."""
        return [network for network, _ in self._entries]

    def find(self, address: IPv4Address) -> T | None:
        """What holds the address; None where nothing does."""
        at = bisect_right(self._starts, int(address)) - 1
        if at < 0:
            return None
        network, value = self._entries[at]
        return value if address in network else None
