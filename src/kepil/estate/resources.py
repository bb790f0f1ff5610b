"""Networks and containers as plain data: the one description that community.docker and Pulumi both build from.

Each attribute stands here with its value, so that neither way falls back on a default of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Literal, TypedDict

from kepil.estate.invariants import FORWARDING
from kepil.estate.model import Estate, EstateError, Host, Zone

Maker = Literal["ansible", "pulumi"]
Driver = Literal["bridge", "macvlan"]
Restart = Literal["no", "unless-stopped"]
MADE_BY = "kepil.made-by"
"""Label that says which of the two ways made a resource: neither takes over what the other made."""
APPLIANCE = "appliance"
"""The group of hosts that the estate uses and that nobody raises."""
LONGEST_INTERFACE = 15  # IFNAMSIZ of Linux, less the terminating zero


class Network(TypedDict):
    """A zone's network on one container engine."""

    name: str
    zone: str
    driver: Driver
    internal: bool
    subnet: str
    gateway: str
    options: dict[str, str]
    """The driver's own options."""
    labels: dict[str, str]


class Cgroup(TypedDict):
    """What a container needs more, by the engine's version of cgroups."""

    volumes: list[str]
    """`path on the engine's machine:path in the container:mode`."""
    cgroupns_mode: Literal["host", "private"]


class Link(TypedDict):
    """A further network of a container, as the engine's clients spell it."""

    name: str
    ipv4_address: str


class Container(TypedDict):
    """A host that is a container."""

    name: str
    """The host's name in the inventory, and its hostname."""
    container: str
    image: str
    command: list[str]
    env: dict[str, str]
    capabilities: list[str]
    security_opts: list[str]
    tmpfs: list[str]
    cgroup: dict[str, Cgroup]
    stop_signal: str
    restart: Restart
    network: str | None
    address: str | None
    links: list[Link]
    """Networks of other zones that it stands in, too; there its interface bears the zone's name."""
    spec: str
    """Digest of all of the above: a container with another one is not what the inventory describes."""
    labels: dict[str, str]


class Ground(TypedDict):
    """What stands on one container engine."""

    name: str
    networks: list[Network]
    hosts: list[Container]


# systemd as PID 1 with no more than it needs; where cgroups are version 1 it wants its own hierarchy shared.
_CAPABILITIES = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"]
_CGROUP: dict[str, Cgroup] = {
    "1": {"volumes": ["/sys/fs/cgroup/systemd:/sys/fs/cgroup/systemd:rw"], "cgroupns_mode": "host"},
    "2": {"volumes": [], "cgroupns_mode": "private"},
}


def local(estate: Estate, image_of: Callable[[str], str], maker: Maker) -> Ground:
    """The whole estate on this machine's engine: an internal bridge a zone, a container a host; appliances are none."""
    return {
        "name": estate.environment,
        "networks": [_bridge(estate, zone, maker) for zone in estate.zones.values() if zone.subnet],
        "hosts": [
            _container(estate, host, image_of, maker, "no")
            for host in estate.hosts.values()
            if APPLIANCE not in host.groups
        ],
    }


def on_container_host(
    estate: Estate, holder: Host, parent: str | None, image_of: Callable[[str], str], maker: Maker
) -> Ground:
    """What one container host holds: its containers, and a macvlan network for each zone that they stand in.

    `parent` is its interface that carries the zones' VLANs. Raises EstateError where a zone cannot be carried.
    """
    held = [host for host in estate.members("all") if host.container_host == holder.name]
    zones = [zone for zone in estate.zones.values() if any(host.zone == zone.name and host.address for host in held)]
    return {
        "name": holder.name,
        "networks": [_macvlan(estate, zone, holder, parent, maker) for zone in zones],
        "hosts": [_container(estate, host, image_of, maker, "unless-stopped") for host in held],
    }


def network_name(estate: Estate, zone: str) -> str:
    """Name of a zone's network."""
    return f"kepil-{estate.environment}-{zone}"


def bridge_name(network: str) -> str:
    """Interface name of a network's bridge; the engine's own would not tell whose it is."""
    return f"kz-{hashlib.sha1(network.encode(), usedforsecurity=False).hexdigest()[:11]}"


def _bridge(estate: Estate, zone: Zone, maker: Maker) -> Network:
    options = {"com.docker.network.bridge.name": bridge_name(network_name(estate, zone.name))}
    return _network(estate, zone, maker, "bridge", options)


def _macvlan(estate: Estate, zone: Zone, holder: Host, parent: str | None, maker: Maker) -> Network:
    if not parent:
        raise EstateError(
            f"{holder.name}: estate_vlan_parent is not set; name the interface that carries the zones' VLANs",
            holder.name,
        )
    if zone.vlan is None:
        raise EstateError(
            f"estate_zones: {zone.name}: no vlan, but {holder.name} carries it; give it one", "estate_zones"
        )
    interface = f"{parent}.{zone.vlan}"
    if len(interface) > LONGEST_INTERFACE:
        raise EstateError(
            f"{holder.name}: estate_vlan_parent '{parent}': {interface} has more than {LONGEST_INTERFACE} characters;"
            " rename the interface",
            holder.name,
        )
    return _network(estate, zone, maker, "macvlan", {"parent": interface})


def _network(estate: Estate, zone: Zone, maker: Maker, driver: Driver, options: dict[str, str]) -> Network:
    subnet = zone.subnets[0]
    return {
        "name": network_name(estate, zone.name),
        "zone": zone.name,
        "driver": driver,
        "internal": driver == "bridge",
        "subnet": str(subnet),
        "gateway": str(subnet[1]),
        "options": options,
        "labels": {"kepil.environment": estate.environment, MADE_BY: maker},
    }


# Engines number a container's interfaces in no order that could be relied on: each is named by the address that it has.
_NAMED = (
    'named() { was=$(ip -o -4 address show to $1 | cut -d" " -f2); [ $was = $2 ] ||'
    " { ip link set $was down; ip link set $was name $2; ip link set $2 up; }; }"
)


def _command(estate: Estate, host: Host) -> list[str]:
    """What a container starts with: makes of it what systemd finds on a machine, then becomes systemd."""
    subnet = estate.zones[host.zone].subnet
    gateway = str(subnet[1]) if subnet and host.address else None
    forwards = FORWARDING in host.groups
    named = [f"named {address} {_interface(host, zone)}" for zone, address in host.links.items()]
    steps = [
        "set -e",
        # systemd gives credentials to services by mounts made in a namespace beside its own; they reach its own only
        # where mounts are shared, as on a machine. An engine starts with them private.
        "mount --make-rshared /",
        # Where cgroups are version 2, systemd makes its own below the container's, which the engine mounts read-only.
        "[ ! -e /sys/fs/cgroup/cgroup.controllers ] || mount -o remount,bind,rw /sys/fs/cgroup",
        *([_NAMED, *named, f"named {host.address} eth0"] if named else []),
        # From docker 25 on, the engine gives no route to what stands on an internal network alone.
        *([f"ip route replace default via {gateway}"] if gateway else []),
        *(f"ip route replace {estate.zones[zone].subnet} via {router}" for zone, router in host.routes.items()),
        # A gateway sets its network's settings, which are the container's own; an engine mounts all read-only.
        *(["mount --bind /proc/sys/net /proc/sys/net", "mount -o remount,bind,rw /proc/sys/net"] if forwards else []),
        "exec /lib/systemd/systemd",
    ]
    return ["/bin/sh", "-c", "; ".join(steps)]


def _interface(host: Host, zone: str) -> str:
    if len(zone) > LONGEST_INTERFACE:
        raise EstateError(
            f"{host.name}: estate_links: {zone}: an interface cannot bear more than {LONGEST_INTERFACE} characters",
            host.name,
        )
    return zone


def _container(estate: Estate, host: Host, image_of: Callable[[str], str], maker: Maker, restart: Restart) -> Container:
    described = {
        "name": host.name,
        "container": estate.container(host),
        "image": image_of(host.name),
        "command": _command(estate, host),
        "env": {"container": "docker"},
        "capabilities": _CAPABILITIES,
        "security_opts": ["apparmor=unconfined", "seccomp=unconfined"],
        "tmpfs": ["/run", "/run/lock", "/tmp"],  # noqa: S108 - paths in the container
        "cgroup": _CGROUP,
        "stop_signal": "SIGRTMIN+3",
        "restart": restart,
        "network": network_name(estate, host.zone) if host.address else None,
        "address": str(host.address) if host.address else None,
        "links": [
            {"name": network_name(estate, zone), "ipv4_address": str(address)} for zone, address in host.links.items()
        ],
    }
    spec = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    labels = {"kepil.environment": estate.environment, "kepil.spec": spec, MADE_BY: maker}
    return {**described, "spec": spec, "labels": labels}  # type: ignore[typeddict-item]
