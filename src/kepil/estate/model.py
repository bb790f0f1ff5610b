"""The estate as data: zones, hosts and flows, with the invariants that hold between them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from kepil.errors import KepilError

Label = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
ClauseId = Annotated[str, StringConstraints(pattern=r"^(CP|GW|MG|SC|LQ)-[0-9A-Z][0-9A-Za-z./-]*$")]


class EstateError(KepilError):
    """The inventory describes no possible estate. The message names the key, what it holds and what is allowed."""


class Noun(BaseModel):
    """A part of the estate: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Zone(Noun):
    """A network of its own. `network` is None for a zone whose hosts have no network at all."""

    name: Label
    purpose: str
    network: IPv4Network | None


class Host(Noun):
    """One machine: it stands in one zone, and its kinds are the inventory groups it belongs to."""

    name: Label
    zone: Label
    address: IPv4Address | None
    groups: frozenset[str]

    def fqdn(self, domain: str) -> str:
        """Name of the host in the estate's domain."""
        return f"{self.name}.{domain}"


class Flow(Noun):
    """One kind of connection that the estate needs: who opens it, to whom, where, and why."""

    source: str = Field(alias="from")
    destination: str = Field(alias="to")
    protocol: Literal["tcp", "udp"]
    port: Annotated[int, Field(ge=1, le=65535)]
    why: Annotated[str, StringConstraints(min_length=1)]
    clause: ClauseId


class Rule(Noun):
    """A flow as one host sees it: the peers it may talk to on a port, in one direction."""

    direction: Literal["in", "out"]
    protocol: Literal["tcp", "udp"]
    port: int
    peers: tuple[IPv4Address, ...]
    why: str
    clause: str


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
        cls, variables: dict[str, Any], groups: dict[str, list[str]], addresses: dict[str, str | None]
    ) -> Estate:
        """The estate that inventory variables, groups (name to hosts) and host addresses describe.

        Raises EstateError, naming the key, where they contradict each other or themselves.
        """
        missing = [
            key
            for key in ("estate_environment", "estate_domain", "estate_zones", "estate_flows", "estate_services")
            if key not in variables
        ]
        if missing:
            raise EstateError(f"{', '.join(missing)}: not set; the inventory must define it for group 'all'")
        try:
            estate = cls(
                environment=variables["estate_environment"],
                domain=variables["estate_domain"],
                zones={name: Zone(name=name, **zone) for name, zone in variables["estate_zones"].items()},
                hosts={name: cls._host(name, groups, addresses) for name in addresses},
                groups=frozenset(groups),
                flows=tuple(Flow.model_validate(flow) for flow in variables["estate_flows"]),
                services=variables["estate_services"],
            )
        except ValidationError as error:
            raise EstateError(_explain(error)) from error
        for check in (estate._check_zones, estate._check_addresses, estate._check_flows, estate._check_services):
            for problem in check():
                raise EstateError(problem)
        return estate

    @staticmethod
    def _host(name: str, groups: dict[str, list[str]], addresses: dict[str, str | None]) -> Host:
        mine = {group for group, members in groups.items() if name in members}
        zones = sorted(group for group in mine if group.startswith("zone_"))
        if len(zones) != 1:
            raise EstateError(
                f"host {name}: stands in {len(zones)} zones {zones}; put it into exactly one group zone_*"
            )
        address = addresses[name]
        return Host(
            name=name,
            zone=zones[0].removeprefix("zone_"),
            address=IPv4Address(address) if address else None,
            groups=frozenset(mine),
        )

    def _check_zones(self) -> Iterator[str]:
        networks = [(zone.name, zone.network) for zone in self.zones.values() if zone.network]
        for index, (name, network) in enumerate(networks):
            for other, other_network in networks[index + 1 :]:
                if network.overlaps(other_network):
                    yield f"estate_zones: {name} ({network}) and {other} ({other_network}) overlap; give each its own"

    def _check_addresses(self) -> Iterator[str]:
        seen: dict[IPv4Address, str] = {}
        for host in self.hosts.values():
            zone = self.zones.get(host.zone)
            if zone is None:
                yield f"host {host.name}: zone '{host.zone}' is not in estate_zones ({', '.join(sorted(self.zones))})"
            elif zone.network is None:
                if host.address is not None:
                    yield f"host {host.name}: estate_address {host.address}, but zone '{zone.name}' has no network"
            elif host.address is None:
                yield f"host {host.name}: no estate_address; choose a free one in {zone.network} (zone '{zone.name}')"
            elif host.address not in zone.network:
                yield f"host {host.name}: estate_address {host.address} lies outside zone {zone.name}, {zone.network}"
            elif host.address == zone.network.network_address + 1:
                yield f"host {host.name}: estate_address {host.address} is the zone's router; choose another"
            elif host.address in seen:
                yield f"host {host.name}: estate_address {host.address} is already {seen[host.address]}'s"
            if host.address is not None:
                seen[host.address] = host.name

    def _check_flows(self) -> Iterator[str]:
        known = self.groups | {"all"}
        for flow in self.flows:
            for key, group in (("from", flow.source), ("to", flow.destination)):
                if group not in known:
                    yield f"estate_flows: {key}: '{group}' is no group of the inventory ({flow.why})"
            for end in (flow.source, flow.destination):
                bare = [h.name for h in self.members(end) if h.address is None] if end != "all" else []
                if bare:
                    yield f"estate_flows: '{end}' holds {', '.join(bare)}, which has no network at all ({flow.why})"

    def _check_services(self) -> Iterator[str]:
        for name, group in self.services.items():
            if group not in self.groups:
                yield f"estate_services: {name}: '{group}' is no group of the inventory"

    def container(self, host: Host) -> str:
        """Name of the container that a host is, where hosts are containers."""
        return f"kepil-{self.environment}-{host.name}"

    def members(self, group: str) -> list[Host]:
        """Hosts of a group, by name; `all` means every host."""
        return sorted(
            (host for host in self.hosts.values() if group == "all" or group in host.groups), key=lambda host: host.name
        )

    def rules(self, host: Host) -> list[Rule]:
        """The host's firewall: every flow that it takes part in, as rules towards its peers. Default is to drop."""
        rules = []
        for flow in self.flows:
            for direction, mine, theirs in (
                ("in", flow.destination, flow.source),
                ("out", flow.source, flow.destination),
            ):
                if mine != "all" and mine not in host.groups:
                    continue
                peers = tuple(p.address for p in self.members(theirs) if p.address and p.name != host.name)
                if peers and host.address:
                    rules.append(
                        Rule.model_validate(
                            {
                                "direction": direction,
                                "protocol": flow.protocol,
                                "port": flow.port,
                                "peers": peers,
                                "why": flow.why,
                                "clause": flow.clause,
                            }
                        )
                    )
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


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or error.title
    return f"{error.title}: {where}: {first['msg']} (holds {first['input']!r})"
