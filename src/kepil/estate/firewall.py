"""What a host's rules let in, against who comes and what listens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import NamedTuple

from kepil.estate.model import Rule


class Listener(NamedTuple):
    """A socket that waits for others."""

    protocol: str
    address: str
    """Where it is bound; `*` for every address of both families."""
    port: int
    process: str
    """Who holds it, as ss tells; empty where that is not known."""

    @property
    def local(self) -> bool:
        """Whether only the host itself reaches it."""
        if self.address == "*":
            return False
        address = ip_address(self.address)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def admits(rules: Iterable[Rule], address: str, port: int) -> bool:
    """Whether a host with these rules lets an address open a TCP connection to a port. No zone has IPv6."""
    peer = ip_address(address)
    doors = [rule for rule in rules if (rule.direction, rule.protocol, rule.port) == ("in", "tcp", port)]
    return any(peer in network for rule in doors for network in rule.peers)


def listeners(listing: str) -> Iterator[Listener]:
    """Sockets from `ss --no-header --listening --numeric --tcp --udp --processes`."""
    for line in listing.splitlines():
        protocol, _, _, _, bound, _, *process = line.split(maxsplit=6)
        address, _, port = bound.rpartition(":")
        yield Listener(protocol, address.strip("[]").partition("%")[0], int(port), "".join(process).strip())


def undeclared(rules: Iterable[Rule], sockets: Iterable[Listener]) -> list[Listener]:
    """Sockets that others could reach if the rules were not there, and that no flow to the host declares."""
    declared = {(rule.protocol, rule.port) for rule in rules if rule.direction == "in"}
    return [socket for socket in sockets if not socket.local and (socket.protocol, socket.port) not in declared]
