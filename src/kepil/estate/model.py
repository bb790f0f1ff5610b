"""The estate as data: zones, hosts and flows, with the invariants that hold between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_serializer,
    model_validator,
)

from kepil.errors import KepilError
from kepil.estate import invariants

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Group = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
ClauseId = Annotated[str, StringConstraints(pattern=r"^(CP|GW|MG|SC|LQ)-[0-9A-Z][0-9A-Za-z./-]*$")]


Protocol = Literal["tcp", "udp", "vrrp"]
"""What a flow may be; VRRP is IP protocol 112 (RFC 5798), by which hosts hold an address together."""
WORLD = IPv4Network("0.0.0.0/0")
ADMINISTRATION_PORT = 22
ESTATE_VARIABLES = ("estate_environment", "estate_domain", "estate_zones", "estate_flows", "estate_services")
"""What the inventory states for group `all`. `estate_networks` may beside them state zones' subnets and VLANs."""


class EstateError(KepilError):
    """The inventory describes no possible estate. The message names the key, what it holds and what is allowed.

    `subject` is the variable or the host that is wrong, as an inventory file spells it; None where no file does.
    """

    def __init__(self, message: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.subject = subject


class Noun(BaseModel):
    """A part of the estate: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


N = TypeVar("N", bound=Noun)


class Zone(Noun):
    """A network of its own, or one that is not the estate's but whose packets reach it."""

    name: Label
    purpose: Annotated[str, StringConstraints(min_length=1)]
    subnets: tuple[IPv4Network, ...]
    """None at all for hosts without a network; 0.0.0.0/0 for whatever is in no other zone."""
    vlan: Annotated[int, Field(ge=1, le=4094)] | None = None
    """IEEE 802.1Q tag, where zones are VLANs."""
    administered_from: tuple[Group, ...] = ()
    """Groups from whose hosts operators reach the zone's hosts by SSH."""
    outsiders: Group | None = None
    """The group that whoever stands in the zone belongs to; set for networks that are not the estate's own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.outsiders is None and (len(self.subnets) > 1 or WORLD in self.subnets):
            raise ValueError("a zone of the estate's own has one subnet, or none; set outsiders if it is not its own")
        if self.vlan is not None and not self.subnets:
            raise ValueError("a zone without a subnet has no vlan")
        return self

    @property
    def subnet(self) -> IPv4Network | None:
        """Where the zone's hosts stand; None when they have no network."""
        return self.subnets[0] if self.subnets and self.subnets[0] != WORLD else None


class Host(Noun):
    """One machine: it stands in one zone, and its kinds are the inventory groups it belongs to."""

    name: Label
    zone: Label
    address: IPv4Address | None
    groups: frozenset[str]
    container_host: Label | None = None
    """The host on which it is a container; None for a machine."""
    links: dict[str, IPv4Address] = {}
    """Its addresses in other zones that it stands in, too, by zone."""
    routes: dict[str, IPv4Address] = {}
    """Whom it hands packets for another zone to, where that is not its own zone's router."""

    def towards(self, zone: str) -> IPv4Address | None:
        """The address that it has for hosts of a zone."""
        return self.links.get(zone, self.address)

    def fqdn(self, domain: str) -> str:
        """Name of the host in the estate's domain."""
        return f"{self.name}.{domain}"


HostNumber = Annotated[int, Field(ge=2)]


class HostVariables(BaseModel):
    """What the inventory states of one host."""

    model_config = ConfigDict(extra="ignore", strict=True)

    estate_hostnum: HostNumber | None = None
    """The host's number in its zone's subnet, counted from the subnet's address; 1 is the router's."""
    estate_container_host: Label | None = None
    estate_links: dict[Label, HostNumber] | None = None
    """Other zones that the host stands in, too, each with its number there."""
    estate_routes: dict[Label, HostNumber] | None = None
    """Zones whose packets go by way of a host of its own zone, each with that host's number."""


class Flow(Noun):
    """One kind of connection that the estate needs: who opens it, to whom, where, and why."""

    source: str = Field(alias="from")
    destination: str = Field(alias="to")
    on_the_way_to: Group | None = None
    """Whose addresses the packets bear: hosts of `to` take them on their way and ask onward by the sender's address."""
    protocol: Protocol
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """None for VRRP, which knows no ports."""
    why: Annotated[str, StringConstraints(min_length=1)]
    clause: ClauseId

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.port is None) is not (self.protocol == "vrrp"):
            raise ValueError("tcp and udp need a port, vrrp has none")
        if self.protocol == "vrrp" and self.source != self.destination:
            raise ValueError("vrrp is spoken within one group: name it in from and in to")
        return self

    @property
    def service(self) -> str:
        """What the flow is for, in short: protocol and port."""
        return self.protocol if self.port is None else f"{self.protocol} {self.port}"


class Rule(Noun):
    """A flow as one host sees it: the peers it may talk to on a port, in one direction."""

    direction: Literal["in", "out"]
    protocol: Protocol
    port: int | None
    peers: tuple[IPv4Network, ...]
    why: str
    clause: str

    @field_serializer("peers")
    def _plain(self, peers: tuple[IPv4Network, ...]) -> list[str]:
        return [str(peer.network_address) if peer.prefixlen == peer.max_prefixlen else str(peer) for peer in peers]


class Estate(Noun):
    """Zones, hosts and flows of one environment, checked against each other when it is made."""

    environment: Label
    domain: str
    zones: dict[str, Zone]
    hosts: dict[str, Host]
    groups: frozenset[str]
    flows: tuple[Flow, ...]
    services: dict[Label, str]

    @classmethod
    def from_variables(
        cls, variables: dict[str, Any], groups: dict[str, list[str]], hosts: dict[str, dict[str, Any]]
    ) -> Estate:
        """The estate that the inventory's variables, groups (name to hosts) and host variables (by host) describe.

        Raises EstateError, naming the key, where they contradict each other or themselves.
        """
        for key in ESTATE_VARIABLES:
            if key not in variables:
                raise EstateError(f"{key}: not set; the inventory must define it for group 'all'", key)
        zones = _zones(variables["estate_zones"], variables.get("estate_networks") or {})
        declared = [_read(Flow, "estate_flows", at, flow) for at, flow in enumerate(variables["estate_flows"])]
        try:
            estate = cls(
                environment=variables["estate_environment"],
                domain=variables["estate_domain"],
                zones=zones,
                hosts={name: _host(name, groups, zones, stated) for name, stated in hosts.items()},
                groups=frozenset(groups),
                flows=(*declared, *_administration(zones.values())),
                services=variables["estate_services"],
            )
        except ValidationError as error:
            subject = f"estate_{error.errors()[0]['loc'][0]}"
            raise EstateError(f"{subject}: {_explain(error)}", subject) from error
        invariant = partial(invariants.broken, estate)
        for check in (
            estate._check_zones,
            invariant,
            estate._check_addresses,
            estate._check_flows,
            estate._check_services,
        ):
            for subject, problem in check():
                raise EstateError(f"{subject}: {problem}", subject)
        return estate

    def _check_zones(self) -> Iterator[tuple[str, str]]:
        subnets = [(zone.name, subnet) for zone in self.zones.values() for subnet in zone.subnets if subnet != WORLD]
        for index, (name, subnet) in enumerate(subnets):
            for other, other_subnet in subnets[index + 1 :]:
                if subnet.overlaps(other_subnet):
                    yield "estate_zones", f"{name} ({subnet}) and {other} ({other_subnet}) overlap; give each its own"
        tags: dict[int, str] = {}
        for zone in self.zones.values():
            if zone.vlan is not None and tags.setdefault(zone.vlan, zone.name) != zone.name:
                yield "estate_zones", f"{zone.name}: vlan {zone.vlan} is {tags[zone.vlan]}'s; give each zone its own"
            for group in (*zone.administered_from, *((zone.outsiders,) if zone.outsiders else ())):
                if group not in self.groups:
                    yield "estate_zones", f"{zone.name}: '{group}' is no group of the inventory"

    def _check_addresses(self) -> Iterator[tuple[str, str]]:
        seen: dict[IPv4Address, str] = {}
        for host in self.hosts.values():
            for address in (*((host.address,) if host.address else ()), *host.links.values()):
                if seen.setdefault(address, host.name) != host.name:
                    yield host.name, f"its address {address} is already {seen[address]}'s; choose another number"
            if host.container_host is not None:
                holder = self.hosts.get(host.container_host)
                if holder is None or "container_host" not in holder.groups:
                    yield host.name, f"estate_container_host '{host.container_host}' is no host of group container_host"

    def _check_flows(self) -> Iterator[tuple[str, str]]:
        known = self.groups | {"all"}
        for flow in self.flows:
            ends = {"from": flow.source, "to": flow.destination, "on_the_way_to": flow.on_the_way_to or "all"}
            for key, group in ends.items():
                if group not in known:
                    yield "estate_flows", f"{key}: '{group}' is no group of the inventory ({flow.why})"
            for end in (flow.source, flow.destination):
                bare = [h.name for h in self.members(end) if h.address is None] if end != "all" else []
                if bare:
                    yield (
                        "estate_flows",
                        f"'{end}' holds {', '.join(bare)}, which has no network at all ({flow.why})",
                    )

    def _check_services(self) -> Iterator[tuple[str, str]]:
        for name, group in self.services.items():
            if group not in self.groups:
                yield "estate_services", f"{name}: '{group}' is no group of the inventory"

    def container(self, host: Host) -> str:
        """Name of the container that a host is, where hosts are containers."""
        return f"kepil-{self.environment}-{host.name}"

    def members(self, group: str) -> list[Host]:
        """Hosts of a group, by name; `all` means every host."""
        return sorted(
            (host for host in self.hosts.values() if group == "all" or group in host.groups), key=lambda host: host.name
        )

    def subnets(self, zone: Zone) -> list[IPv4Network]:
        """The zone's subnets; 0.0.0.0/0 is resolved to what belongs to no other zone."""
        if WORLD not in zone.subnets:
            return list(zone.subnets)
        rest = [WORLD]
        for other in self.zones.values():
            for subnet in other.subnets if other is not zone else ():
                rest = [part for piece in rest for part in _without(piece, subnet)]
        return rest

    def peers(self, group: str, seen_by: Host | None = None) -> tuple[IPv4Network, ...]:
        """Where members of a group are: hosts, and the networks whose outsiders they are. Not overlapping, in order.

        `seen_by` leaves that host out, and takes of each other one the address that it has in its zone.
        """
        hosts = [
            IPv4Network(address)
            for host in self.members(group)
            if host is not seen_by and (address := host.towards(seen_by.zone) if seen_by else host.address)
        ]
        outside = [net for zone in self.zones.values() if zone.outsiders == group for net in self.subnets(zone)]
        return tuple(collapse_addresses(outside)) + tuple(
            host for host in hosts if not any(host.subnet_of(net) for net in outside)
        )

    def rules(self, host: Host) -> list[Rule]:
        """The host's firewall: every flow that it takes part in, as rules towards its peers. Default is to drop."""
        rules = []
        for flow in self.flows:
            ways = [("in", flow.destination, flow.source), ("out", flow.source, flow.on_the_way_to or flow.destination)]
            if flow.on_the_way_to:
                ways.append(("in", flow.on_the_way_to, flow.source))
            for direction, mine, theirs in ways:
                if host.address is None or (mine != "all" and mine not in host.groups):
                    continue
                if peers := self.peers(theirs, host):
                    named = {"protocol": flow.protocol, "port": flow.port, "why": flow.why, "clause": flow.clause}
                    rules.append(Rule.model_validate({"direction": direction, "peers": peers, **named}))
        return rules

    def names(self) -> list[dict[str, Any]]:
        """Every address with its names, the host's own first: what /etc/hosts holds."""
        table = []
        for host in self.members("all"):
            if host.address is None:
                continue
            service_names = [
                f"{service}.{self.domain}" for service, group in sorted(self.services.items()) if group in host.groups
            ]
            table.append({"address": str(host.address), "names": [host.fqdn(self.domain), host.name, *service_names]})
        return table


def _read(kind: type[N], key: str, at: str | int, value: Any) -> N:
    try:
        return kind.model_validate({"name": at, **value} if kind is Zone and isinstance(value, dict) else value)
    except ValidationError as error:
        raise EstateError(f"{key}: {at}: {_explain(error)}", key) from error


def _zones(zones: dict[str, Any], networks: dict[str, Any]) -> dict[str, Zone]:
    for name, network in networks.items():
        if name not in zones:
            raise EstateError(f"estate_networks: '{name}' is no zone; there are {', '.join(zones)}", "estate_networks")
        if not isinstance(network, dict) or not set(network) <= {"subnets", "vlan"}:
            raise EstateError(f"estate_networks: {name}: holds {network!r}; give subnets and vlan", "estate_networks")
    return {name: _read(Zone, "estate_zones", name, {**zone, **networks.get(name, {})}) for name, zone in zones.items()}


def _host(name: str, groups: dict[str, list[str]], zones: dict[str, Zone], stated: dict[str, Any]) -> Host:
    mine = frozenset(group for group, members in groups.items() if name in members)
    standing = sorted(group.removeprefix("zone_") for group in mine if group.startswith("zone_"))
    if len(standing) != 1:
        raise EstateError(f"{name}: stands in {len(standing)} zones {standing}; put it into one group zone_*", name)
    zone = zones.get(standing[0])
    if zone is None:
        raise EstateError(f"{name}: zone '{standing[0]}' is not in estate_zones ({', '.join(sorted(zones))})", name)
    try:
        variables = HostVariables.model_validate(stated)
    except ValidationError as error:
        raise EstateError(f"{name}: {_explain(error)}", name) from error
    return Host(
        name=name,
        zone=zone.name,
        address=_address(name, zone, variables.estate_hostnum),
        groups=mine,
        container_host=variables.estate_container_host,
        links={
            other: _beside(name, "estate_links", zones, other, other, number)
            for other, number in sorted((variables.estate_links or {}).items())
        },
        routes={
            other: _beside(name, "estate_routes", zones, other, zone.name, number)
            for other, number in sorted((variables.estate_routes or {}).items())
        },
    )


def _beside(name: str, key: str, zones: dict[str, Zone], other: str, where: str, number: int) -> IPv4Address:
    """The address with this number in zone `where`; the key speaks of zone `other`, which must have a network."""
    for zone in (other, where):
        if zone not in zones or zones[zone].subnet is None:
            raise EstateError(f"{name}: {key}: {other}: '{zone}' is no zone with a network", name)
    return _numbered(name, f"{key}: {other}", zones[where], number)


def _address(name: str, zone: Zone, number: int | None) -> IPv4Address | None:
    if zone.subnet is None:
        if number is not None:
            raise EstateError(f"{name}: estate_hostnum {number}, but zone '{zone.name}' has no network", name)
        return None
    return _numbered(name, "estate_hostnum", zone, number)


def _numbered(name: str, key: str, zone: Zone, number: int | None) -> IPv4Address:
    subnet = zone.subnets[0]
    largest = subnet.num_addresses - 2
    if number is None or number > largest:
        raise EstateError(
            f"{name}: {key} is {number or 'not set'}; choose a free number from 2 to {largest}"
            f" in {subnet} (zone '{zone.name}')",
            name,
        )
    return subnet[number]


def _administration(zones: Iterable[Zone]) -> Iterator[Flow]:
    for zone in zones:
        for group in zone.administered_from:
            yield Flow.model_validate(
                {
                    "from": group,
                    "to": f"zone_{zone.name}",
                    "protocol": "tcp",
                    "port": ADMINISTRATION_PORT,
                    "why": f"Operators administer zone {zone.name} by SSH",
                    "clause": "CP-6.7",
                }
            )


def _without(piece: IPv4Network, hole: IPv4Network) -> Iterator[IPv4Network]:
    if hole.subnet_of(piece):
        yield from piece.address_exclude(hole)
    elif not piece.subnet_of(hole):
        yield piece


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where + ': ' if where else ''}{first['msg']} (holds {first['input']!r})"
