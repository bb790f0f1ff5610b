"""The networks and hosts of an environment, as its inventory describes them (docs/networks.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pulumi
import pulumi_docker as docker
from estate_network import EstateNetwork

from kepil.errors import KepilError
from kepil.estate import substrate, way
from kepil.estate.engines import Engine, cgroup_version, engines
from kepil.estate.inventory import environment_sources

PROJECT = Path(__file__).resolve().parents[1]
CONTAINER_HOST_CGROUP = "2"  # Debian 13 has no other


def main() -> None:
    """Read the whole inventory and refuse a wrong one, then register; the first error leaves nothing half-made."""
    os.environ.setdefault("ANSIBLE_CONFIG", str(PROJECT / "ansible.cfg"))
    config = pulumi.Config("kepil")
    environment = config.require("environment")
    inventories = Path(config.get("inventories") or PROJECT / "inventories")
    found = engines(PROJECT, environment_sources(inventories, environment), substrate.mirror())
    records = Path(config.get("ceremonies") or PROJECT / "ceremonies") / environment
    made = [
        _on_this_machine(engine, records) if engine.address is None else _on_container_host(engine) for engine in found
    ]
    pulumi.export("subnets", {zone: subnet for network in made for zone, subnet in network.subnets.items()})
    pulumi.export("addresses", {host: address for network in made for host, address in network.addresses.items()})


def _on_this_machine(engine: Engine, records: Path) -> EstateNetwork:
    """Development: protected once ceremonies were held, since a host that is made anew has lost its keys."""
    way.refuse_other(way.standing(engine.ground["name"]), "pulumi")
    held = any(records.glob("*.json"))
    return EstateNetwork(engine.ground, cgroup_version(), pulumi.ResourceOptions(protect=held))


def _on_container_host(engine: Engine) -> EstateNetwork:
    """Production: everything is protected."""
    provider = docker.Provider(engine.ground["name"], host=engine.address, ssh_opts=list(engine.ssh_options))
    options = pulumi.ResourceOptions(providers=[provider], protect=True)
    return EstateNetwork(engine.ground, CONTAINER_HOST_CGROUP, options)


try:
    main()
except KepilError as error:  # said as it is, without a stack
    raise pulumi.RunError(str(error)) from error
