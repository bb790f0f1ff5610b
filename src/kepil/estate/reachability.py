"""Who reaches whom: flows resolved to hosts, and to whoever stands in networks that are not the estate's."""

from __future__ import annotations

from dataclasses import dataclass

from kepil.estate.model import WORLD, Estate, Flow, Zone

EVERYONE = "all"
"""The group that a flow names for every host with a network."""


@dataclass(frozen=True)
class End:
    """One end of connections."""

    name: str
    zone: str
    where: str
    """Its address, or its networks."""
    outside: bool = False
    """Not a host, but whoever stands in a zone that has outsiders."""
    container_host: str | None = None
    """The host on which it is a container."""


@dataclass(frozen=True)
class Passage:
    """A flow, its number in the estate (from 1), and every pair of ends between which it opens."""

    number: int
    flow: Flow
    pairs: tuple[tuple[End, End], ...]

    @property
    def sources(self) -> list[End]:
        """Who may open it."""
        return list(dict.fromkeys(source for source, _ in self.pairs))

    @property
    def destinations(self) -> list[End]:
        """Who may answer it."""
        return list(dict.fromkeys(destination for _, destination in self.pairs))

    @property
    def service(self) -> str:
        """Protocol and port."""
        return self.flow.service


def zones(estate: Estate) -> list[Zone]:
    """From the world outside to the keys: outsiders' zones, then by falling address, then those without a network."""

    def order(zone: Zone) -> tuple[bool, bool, bool, int]:
        first = int(zone.subnet.network_address) if zone.subnet else 0
        return not zone.outsiders, not zone.subnets, WORLD not in zone.subnets, -first

    return sorted(estate.zones.values(), key=order)


def networks(zone: Zone) -> list[str]:
    """A zone's subnets in words."""
    if not zone.subnets:
        return ["no network"]
    return ["every other address" if subnet == WORLD else str(subnet) for subnet in zone.subnets]


def ends(estate: Estate, group: str = EVERYONE) -> list[End]:
    """Members of a group, by zone; for every host, outsiders of any group and hosts without a network too."""
    found = []
    for zone in zones(estate):
        if zone.outsiders and group in (EVERYONE, zone.outsiders):
            found.append(End(zone.name, zone.name, ", ".join(networks(zone)), outside=True))
        for host in estate.members(group):
            if host.zone == zone.name:
                found.append(End(host.name, zone.name, str(host.address or "no network"), False, host.container_host))
    return found


def passages(estate: Estate) -> list[Passage]:
    """Every flow with the pairs that may connect by it; a flow whose ends are nobody has none."""
    return [
        Passage(
            number,
            flow,
            tuple(
                (source, destination)
                for source in _members(estate, flow.source)
                for destination in _members(estate, flow.destination)
                if source != destination and not (source.outside and destination.outside)
            ),
        )
        for number, flow in enumerate(estate.flows, start=1)
    ]


def matrix(known: list[Passage]) -> dict[tuple[End, End], list[Passage]]:
    """The passages open between each pair; a pair that is not in it cannot connect."""
    cells: dict[tuple[End, End], list[Passage]] = {}
    for passage in known:
        for pair in passage.pairs:
            cells.setdefault(pair, []).append(passage)
    return cells


def _members(estate: Estate, group: str) -> list[End]:
    """Ends that a flow of this group means: outsiders are no hosts, so every host leaves them out."""
    return [
        end
        for end in ends(estate, group)
        if (group != EVERYONE if end.outside else estate.hosts[end.name].address is not None)
    ]
