"""What would fail half-way is refused before anything is made, and the message names the remedy."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.conftest import PROJECT

BRIDGE = "foreign0"


def preflight(**variables: object) -> str:
    """Output of the substrate's first phase alone, which must refuse."""
    done = subprocess.run(
        [
            *("ansible-playbook", "playbooks/substrate.yml"),
            *("--extra-vars", json.dumps({"substrate_phases": ["preflight"], **variables})),
        ],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "kepil_progress"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return " ".join(done.stdout.split())


@pytest.fixture
def foreign_network() -> Iterator[None]:
    """Another program's bridge in the development subnets."""
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "198.18.250.1/24", "dev", BRIDGE], check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], check=True)


@pytest.mark.usefixtures("foreign_network")
def test_a_subnet_in_use() -> None:
    said = preflight()
    assert f"198.18.250.0/24 on {BRIDGE} overlaps with 198.18.0.0/15" in said
    assert "Take that interface down" in said


def test_a_full_disk() -> None:
    said = preflight(substrate_minimum_disk_gib=10**6)
    assert "GiB free and 1000000 are needed" in said
