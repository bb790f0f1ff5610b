"""The engine itself, with its docker plugin, on a small estate beside development: raised, mended and removed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi import automation

from kepil.estate import stack, way
from kepil.estate.inventory import environment_sources, read_estate, read_listing
from tests.conftest import PROJECT

INVENTORIES = Path(__file__).parent / "inventories"
ENVIRONMENT = "molecule-throwaway"
CORE, PLAIN = f"kepil-{ENVIRONMENT}-core", f"kepil-{ENVIRONMENT}-plain01"
SOURCES = environment_sources(INVENTORIES, ENVIRONMENT)
LACKING = stack.lacking()

# The engine is no Python package, and a machine without it builds its networks by the playbook: nothing to show there.
pytestmark = pytest.mark.skipif(LACKING is not None, reason=f"{LACKING}: docs/networks.md says how to install it")


def playbook(name: str, *phases: str) -> None:
    command = ["ansible-playbook", f"playbooks/{name}.yml", *(f"--inventory={source}" for source in SOURCES)]
    if phases:
        command += ["--extra-vars", json.dumps({"substrate_phases": phases})]
    subprocess.run(command, cwd=PROJECT, check=True, env=os.environ | {"ANSIBLE_STRATEGY": "linear"})


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout


def inspected(kind: str, *names: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(docker(kind, "inspect", *names))
    return found


@pytest.fixture(scope="module")
def images() -> Iterator[None]:
    """The engine and the images, and nothing of the estate before or after."""
    playbook("substrate_remove")
    playbook("substrate", "preflight", "engine", "images")
    yield
    playbook("substrate_remove")


@pytest.fixture
def estate_stack(images: None, tmp_path: Path) -> automation.Stack:
    """A stack of the program with state and passphrase of its own."""
    config = {
        "kepil:environment": ENVIRONMENT,
        "kepil:inventories": str(INVENTORIES),
        "kepil:ceremonies": str(tmp_path),
    }
    opened = stack.local_stack(PROJECT / "pulumi", "dev", tmp_path / "dev", {"config": config})
    return automation.create_or_select_stack(
        opened.name,
        work_dir=str(opened.folder),
        opts=automation.LocalWorkspaceOptions(env_vars=dict(opened.variables), secrets_provider="passphrase"),
    )


def standing() -> dict[str, dict[str, Any]]:
    """What the engine says of the estate's networks and containers, but for ids, times and who made them."""
    estate = read_estate(read_listing(SOURCES))
    facts = {}
    for network in inspected("network", *way.standing(ENVIRONMENT)):
        network["Labels"].pop("kepil.made-by")
        facts[network["Name"]] = {key: network[key] for key in ("Driver", "Internal", "IPAM", "Options", "Labels")}
    for container in inspected("container", *(estate.container(host) for host in estate.hosts.values())):
        config, host = container["Config"], container["HostConfig"]
        config["Labels"].pop("kepil.made-by")
        facts[container["Name"]] = {
            **{key: config[key] for key in ("Hostname", "Cmd", "StopSignal", "Labels")},
            **{key: host[key] for key in ("Tmpfs", "Binds", "CgroupnsMode", "RestartPolicy")},
            **{key: sorted(host[key]) for key in ("CapAdd", "SecurityOpt")},
            "env": sorted(config["Env"]),
            "image": container["Image"],
            "runs": container["State"]["Running"],
            "addresses": {name: end["IPAddress"] for name, end in container["NetworkSettings"]["Networks"].items()},
        }
    return facts


def test_an_estate_is_previewed_raised_mended_and_removed(estate_stack: automation.Stack) -> None:
    estate = read_estate(read_listing(SOURCES))
    parts = len([zone for zone in estate.zones.values() if zone.subnet]) + len(estate.hosts)

    assert estate_stack.preview().change_summary[automation.OpType.CREATE] == parts + 2  # and the component, the stack
    assert way.standing(ENVIRONMENT) == {}

    outputs = estate_stack.up().outputs
    assert outputs["addresses"].value == {h.name: str(h.address) for h in estate.hosts.values() if h.address}
    assert set(way.standing(ENVIRONMENT).values()) == {"pulumi"}
    raised = standing()
    assert raised[f"/{PLAIN}"]["addresses"] == {CORE: "198.19.64.11"}

    estate_stack.up(expect_no_changes=True)
    estate_stack.refresh(expect_no_changes=True)

    docker("network", "disconnect", "--force", CORE, PLAIN)
    docker("network", "rm", CORE)
    estate_stack.refresh()
    estate_stack.up()
    assert standing() == raised
    estate_stack.up(expect_no_changes=True)

    estate_stack.destroy()
    assert way.standing(ENVIRONMENT) == {}
    assert docker("ps", "--all", "--quiet", "--filter", f"label=kepil.environment={ENVIRONMENT}") == ""


def test_the_playbook_raises_the_same(estate_stack: automation.Stack) -> None:
    """As the engine sees it."""
    estate_stack.up()
    by_pulumi = standing()
    estate_stack.destroy()
    playbook("substrate", "engine", "networks", "hosts")
    assert standing() == by_pulumi
