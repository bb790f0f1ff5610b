"""The playbook and the stack tell the engine the same, attribute by attribute: either way the same estate stands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kepil.estate.inventory import environment_sources
from tests.conftest import PROJECT
from tests.unit.pulumi.conftest import CONTAINER, IDENTITY, IMAGE, NETWORK, register

MADE_BY = "kepil.made-by"
MODULES = ("docker_network", "docker_container")
RECORDER = """#!/usr/bin/python3
# WANT_JSON
import json, pathlib, sys, uuid
asked = {key: value for key, value in json.load(open(sys.argv[1])).items() if not key.startswith("_ansible_")}
pathlib.Path(f"FOLDER/MODULE-{uuid.uuid4()}.json").write_text(json.dumps(asked))
print(json.dumps({"changed": True}))
"""


def asked_by_ansible(folder: Path, sources: list[Path], cgroup: str) -> dict[str, list[dict[str, Any]]]:
    """Arguments of all calls of community.docker's modules, in whose place stand modules that write them down."""
    collection = folder / "collections" / "ansible_collections" / "community" / "docker"
    (collection / "plugins" / "modules").mkdir(parents=True)
    for module in MODULES:
        recorder = RECORDER.replace("FOLDER", str(folder)).replace("MODULE", module)
        (collection / "plugins" / "modules" / f"{module}.py").write_text(recorder, encoding="utf-8")
    done = subprocess.run(
        [
            *("ansible-playbook", "playbooks/substrate.yml", *(f"--inventory={source}" for source in sources)),
            "--extra-vars",
            json.dumps({"substrate_phases": ["networks", "hosts"], "substrate_engine": {"stdout": cgroup}}),
        ],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(folder / "collections"), "ANSIBLE_STRATEGY": "linear"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {
        module: [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob(f"{module}-*.json")]
        for module in MODULES
    }


def take(inputs: dict[str, Any], *ways: str) -> tuple[dict[str, Any], Callable[[], None]]:
    """A copy to take attributes from, and a check that none is left which the comparison does not know.

    `ways` are how one of the two is told to go about it, and say nothing of what stands in the end.
    """
    rest = {key: value for key, value in inputs.items() if key not in ways}

    def check() -> None:
        assert not rest, f"attributes that are not compared: {rest}"

    return rest, check


def pairs(labels: list[dict[str, str]]) -> dict[str, str]:
    return {each["label"]: each["value"] for each in labels}


def network_of_ansible(arguments: dict[str, Any]) -> dict[str, Any]:
    rest, check = take(arguments)
    network = {
        "name": rest.pop("name"),
        "driver": rest.pop("driver"),
        "internal": rest.pop("internal"),
        "subnets": rest.pop("ipam_config"),
        "options": rest.pop("driver_options"),
        "labels": rest.pop("labels"),
    }
    check()
    return network


def network_of_pulumi(inputs: dict[str, Any]) -> dict[str, Any]:
    rest, check = take(inputs)
    network = {
        "name": rest.pop("name"),
        "driver": rest.pop("driver"),
        "internal": rest.pop("internal"),
        "subnets": rest.pop("ipamConfigs"),
        "options": rest.pop("options"),
        "labels": pairs(rest.pop("labels")),
    }
    check()
    return network


def host_of_ansible(arguments: dict[str, Any]) -> dict[str, Any]:
    """`network_mode` names the network once more: the module attaches the container to it as it makes it."""
    rest, check = take(arguments, "pull", "state", "networks_cli_compatible")
    networks = {each["name"]: each["ipv4_address"] for each in rest.pop("networks", [])}
    assert rest.pop("network_mode") == next(iter(networks), "none")
    host = {
        "name": rest.pop("name"),
        "hostname": rest.pop("hostname"),
        "image": rest.pop("image"),
        "command": rest.pop("command"),
        "env": rest.pop("env"),
        "capabilities": set(rest.pop("capabilities")),
        "security": set(rest.pop("security_opts")),
        "tmpfs": dict.fromkeys(rest.pop("tmpfs"), ""),
        "volumes": set(rest.pop("volumes")),
        "cgroup namespace": rest.pop("cgroupns_mode"),
        "stop signal": rest.pop("stop_signal"),
        "restart": rest.pop("restart_policy"),
        "networks": networks,
        "labels": rest.pop("labels"),
    }
    check()
    return host


def host_of_pulumi(inputs: dict[str, Any]) -> dict[str, Any]:
    """The provider makes a container on the default bridge, then moves it, before it starts it."""
    rest, check = take(inputs, "mustRun")
    networks = {each["name"].removeprefix(IDENTITY): each["ipv4Address"] for each in rest.pop("networksAdvanced", [])}
    assert rest.pop("networkMode") == ("bridge" if networks else "none")
    host = {
        "name": rest.pop("name"),
        "hostname": rest.pop("hostname"),
        "image": rest.pop("image").removeprefix(IMAGE),
        "command": rest.pop("command"),
        "env": dict(each.split("=", 1) for each in rest.pop("envs")),
        "capabilities": set(rest.pop("capabilities")["adds"]),
        "security": set(rest.pop("securityOpts")),
        "tmpfs": rest.pop("tmpfs"),
        "volumes": {
            f"{each['hostPath']}:{each['containerPath']}:{'ro' if each['readOnly'] else 'rw'}"
            for each in rest.pop("volumes", [])
        },
        "cgroup namespace": rest.pop("cgroupnsMode"),
        "stop signal": rest.pop("stopSignal"),
        "restart": rest.pop("restart"),
        "networks": networks,
        "labels": pairs(rest.pop("labels")),
    }
    check()
    return host


def by_name(resources: list[dict[str, Any]], maker: str) -> dict[str, dict[str, Any]]:
    """By name; the label that says who made them is the one attribute in which the two ways differ."""
    assert {each["labels"].pop(MADE_BY) for each in resources} == {maker}
    return {each["name"]: each for each in resources}


@pytest.mark.parametrize(
    ("inventories", "environment", "cgroup"),
    [
        (PROJECT / "inventories", "development", "1"),
        (PROJECT / "tests" / "pulumi" / "inventories", "molecule-throwaway", "2"),
    ],
)
def test_both_ways_describe_the_same_resources(
    tmp_path: Path, engine: Callable[..., None], inventories: Path, environment: str, cgroup: str
) -> None:
    engine(cgroup=cgroup)
    try:
        ansible = asked_by_ansible(tmp_path, environment_sources(inventories, environment), cgroup)
        pulumi = register("dev", environment=environment, inventories=str(inventories), ceremonies=str(tmp_path))
    finally:
        engine()
    networks = [network_of_ansible(each) for each in ansible["docker_network"]]
    hosts = [host_of_ansible(each) for each in ansible["docker_container"]]
    assert networks
    assert hosts
    assert by_name(networks, "ansible") == by_name(
        [network_of_pulumi(each) for each in pulumi.of_kind(NETWORK).values()], "pulumi"
    )
    assert by_name(hosts, "ansible") == by_name(
        [host_of_pulumi(each) for each in pulumi.of_kind(CONTAINER).values()], "pulumi"
    )
