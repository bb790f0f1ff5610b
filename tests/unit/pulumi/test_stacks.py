"""Each stack registers what the inventory describes, and nothing where the inventory is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from kepil.estate.inventory import environment_sources, read_estate, read_listing
from kepil.estate.model import Estate
from tests.conftest import PROJECT
from tests.unit.pulumi.conftest import CONTAINER, IDENTITY, NETWORK, PROVIDER, Registered, register

INVENTORIES = PROJECT / "inventories"


def estate(environment: str) -> Estate:
    return read_estate(read_listing(environment_sources(INVENTORIES, environment)))


@pytest.fixture(scope="module")
def development_estate() -> Estate:
    return estate("development")


@pytest.fixture(scope="module")
def production_estate() -> Estate:
    return estate("production")


def labels(inputs: dict[str, Any]) -> dict[str, str]:
    return {pair["label"]: pair["value"] for pair in inputs["labels"]}


def test_development_has_an_internal_bridge_for_each_zone(development: Registered, development_estate: Estate) -> None:
    networks = development.of_kind(NETWORK)
    zones = {zone.name: zone for zone in development_estate.zones.values() if zone.subnet}
    assert set(networks) == {f"development-{zone}" for zone in zones}
    for name, zone in zones.items():
        network = networks[f"development-{name}"]
        assert network["name"] == f"kepil-development-{name}"
        assert (network["driver"], network["internal"]) == ("bridge", True)
        assert network["ipamConfigs"] == [{"subnet": str(zone.subnet), "gateway": str(zone.subnet[1])}]  # type: ignore[index]
        assert network["options"]["com.docker.network.bridge.name"].startswith("kz-")
        assert labels(network) == {"kepil.environment": "development", "kepil.made-by": "pulumi"}


def test_development_has_a_container_for_each_host(development: Registered, development_estate: Estate) -> None:
    containers = development.of_kind(CONTAINER)
    assert set(containers) == {f"development-{host}" for host in development_estate.hosts}
    for host in development_estate.hosts.values():
        container = containers[f"development-{host.name}"]
        assert container["name"] == development_estate.container(host)
        assert container["networkMode"] == ("bridge" if host.address else "none")
        connected = {network["name"]: network["ipv4Address"] for network in container.get("networksAdvanced", [])}
        addresses = {host.zone: host.address, **host.links}
        assert connected == {
            f"{IDENTITY}kepil-development-{zone}": str(address) for zone, address in addresses.items() if address
        }


def test_a_host_waits_for_its_network(development: Registered, development_estate: Estate) -> None:
    for host in development_estate.hosts.values():
        request = development.request(f"development-{host.name}")
        awaited = [urn.rsplit("::", 1)[-1] for urn in request.dependencies]
        zones = {*host.links, *([host.zone] if host.address else [])}
        assert sorted(awaited) == sorted(f"development-{zone}" for zone in zones)


def test_what_bears_the_same_name_goes_before_its_successor_comes(development: Registered) -> None:
    made = [request for request in development.requests if request.type in (NETWORK, CONTAINER)]
    assert made
    assert all(request.deleteBeforeReplace for request in made)


@pytest.mark.parametrize(
    ("cgroup", "volumes", "namespace"),
    [
        (
            "1",
            [{"hostPath": "/sys/fs/cgroup/systemd", "containerPath": "/sys/fs/cgroup/systemd", "readOnly": False}],
            "host",
        ),
        ("2", [], "private"),
    ],
)
def test_containers_follow_the_engines_cgroups(
    engine: Callable[..., None], tmp_path: Path, cgroup: str, volumes: list[Any], namespace: str
) -> None:
    engine(cgroup=cgroup)
    try:
        made = register("dev", environment="development", ceremonies=str(tmp_path))
    finally:
        engine()
    for container in made.of_kind(CONTAINER).values():
        assert (container.get("volumes", []), container["cgroupnsMode"]) == (volumes, namespace)


def test_development_is_not_protected_until_ceremonies_were_held(development: Registered, tmp_path: Path) -> None:
    assert not any(request.protect for request in development.requests)
    record = tmp_path / "development" / "root.json"
    record.parent.mkdir()
    record.write_text("{}", encoding="utf-8")
    held = register("dev", environment="development", ceremonies=str(tmp_path))
    assert all(request.protect for request in held.requests)


def test_production_reaches_each_container_host_as_ansible_does(
    production: Registered, production_estate: Estate
) -> None:
    providers = production.of_kind(PROVIDER)
    assert set(providers) == {host.container_host for host in production_estate.hosts.values()} - {None}
    for name, provider in providers.items():
        assert provider["host"].startswith("ssh://")
        assert provider["host"].endswith(str(production_estate.hosts[name].address))
        options = json.loads(provider["sshOpts"])
        assert options[:2] == ["-o", "StrictHostKeyChecking=yes"]
        assert str(INVENTORIES / "production" / "ssh_config") in options


def test_production_has_a_macvlan_for_each_zone_that_a_container_host_carries(
    production: Registered, production_estate: Estate
) -> None:
    networks = production.of_kind(NETWORK)
    carried = {(host.container_host, host.zone) for host in production_estate.hosts.values() if host.container_host}
    assert set(networks) == {f"{holder}-{zone}" for holder, zone in carried}
    for holder, name in carried:
        network, zone = networks[f"{holder}-{name}"], production_estate.zones[name]
        assert (network["driver"], network["internal"]) == ("macvlan", False)
        assert network["options"] == {"parent": f"bond0.{zone.vlan}"}
        assert network["ipamConfigs"] == [{"subnet": str(zone.subnet), "gateway": str(zone.subnet[1])}]  # type: ignore[index]


def test_production_has_containers_where_the_inventory_says_and_none_for_machines(
    production: Registered, production_estate: Estate
) -> None:
    held = {host.name: host.container_host for host in production_estate.hosts.values() if host.container_host}
    containers = production.of_kind(CONTAINER)
    assert set(containers) == {f"{holder}-{name}" for name, holder in held.items()}
    assert len(held) < len(production_estate.hosts)
    assert all(container["restart"] == "unless-stopped" for container in containers.values())


def test_production_makes_each_resource_on_its_own_container_host(production: Registered) -> None:
    for name in {**production.of_kind(NETWORK), **production.of_kind(CONTAINER)}:
        assert production.request(name).provider.split("::")[-2] == name.split("-")[0]


def test_production_is_protected(production: Registered) -> None:
    made = [request for request in production.requests if request.type in (NETWORK, CONTAINER)]
    assert made
    assert all(request.protect for request in made)


def test_outputs_are_the_inventorys_subnets_and_addresses(
    development: Registered, development_estate: Estate, production: Registered, production_estate: Estate
) -> None:
    """Production's stack knows the zones and hosts that container hosts hold; the others are no concern of its."""
    for made, described, holds in (
        (development, development_estate, lambda host: True),
        (production, production_estate, lambda host: host.container_host),
    ):
        hosts = [host for host in described.hosts.values() if holds(host) and host.address]
        zones = {host.zone for host in hosts} if made is production else set(described.zones)
        subnets = {name: str(described.zones[name].subnet) for name in zones if described.zones[name].subnet}
        assert made.outputs == {"subnets": subnets, "addresses": {host.name: str(host.address) for host in hosts}}


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} does not hold {old}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


NETWORKS = "group_vars/all/networks.yml"
WRONG = {
    "overlap": ("development", "group_vars/all/zones.yml", "198.18.3.0/24", "198.18.2.0/24", "overlap"),
    "no host number": ("development", "hosts.yml", "db01: {estate_hostnum: 21}", "db01: {}", "db01: estate_hostnum"),
    "no VLAN interface": ("production", "hosts.yml", ", estate_vlan_parent: bond0}", "}", "ch01: estate_vlan_parent"),
    "long interface": ("production", "hosts.yml", "bond0}", "enp129s0f1np1}", "more than 15 characters"),
    "no VLAN": ("production", NETWORKS, "{subnets: [10.77.4.0/24], vlan: 704}", "{subnets: [10.77.4.0/24]}", "no vlan"),
    "no container host": ("production", "hosts.yml", "host: ch01}", "host: mon01}", "is no host of group"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.usefixtures("engine")
def test_a_wrong_inventory_registers_nothing(tmp_path: Path, wrong: tuple[str, ...]) -> None:
    environment, file, old, new, reason = wrong
    copy = tmp_path / "inventories"
    shutil.copytree(INVENTORIES, copy)
    change(copy / environment / file, old, new)
    with pytest.raises(pulumi.RunError) as refused:
        register("any", environment=environment, inventories=str(copy))
    assert reason in str(refused.value)
    assert refused.value.registered.requests == []  # type: ignore[attr-defined]


def test_an_unknown_environment_registers_nothing() -> None:
    with pytest.raises(pulumi.RunError, match="environment 'staging': there is no folder") as refused:
        register("any", environment="staging")
    assert refused.value.registered.requests == []  # type: ignore[attr-defined]


def test_networks_that_ansible_made_are_not_taken_over(engine: Callable[..., None]) -> None:
    engine(networks="kepil-development-core ansible\n")
    try:
        with pytest.raises(pulumi.RunError, match="kepil-development-core: made by ansible") as refused:
            register("dev", environment="development")
    finally:
        engine()
    assert refused.value.registered.requests == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("stack", "environment"), [("dev", "development"), ("production", "production")])
def test_a_stacks_settings_name_its_environment_and_seal_its_secrets(stack: str, environment: str) -> None:
    settings = yaml.safe_load((PROJECT / "pulumi" / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    assert settings["config"]["kepil:environment"] == environment
    assert settings["secretsprovider"] == "passphrase"


def test_no_stack_needs_a_vendors_account() -> None:
    """State goes where a settings file says, and by default to the operator's own disk."""
    project = yaml.safe_load((PROJECT / "pulumi" / "Pulumi.yaml").read_text(encoding="utf-8"))
    backends = [project["backend"]["url"]]
    for path in sorted((PROJECT / "pulumi").glob("Pulumi.*.yaml")):
        backends.append(yaml.safe_load(path.read_text(encoding="utf-8"))["config"].get("kepil:backend", "file://~"))
    assert all(backend.startswith("file://") for backend in backends)
