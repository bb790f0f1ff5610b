"""The first ceremonies, held in this scenario's estate as they are in every other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
Ceremony = Callable[[str], "subprocess.CompletedProcess[str]"]


def hold(name: str) -> subprocess.CompletedProcess[str]:
    """Hold a ceremony in the scenario's environment, which Molecule names in ANSIBLE_INVENTORY."""
    playbook = PROJECT / "playbooks/ceremonies" / f"{name}.yml"
    return subprocess.run(
        ["ansible-playbook", str(playbook)],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default"},  # it counts what changed
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def ceremony() -> Ceremony:
    """Holds the ceremony of a name."""
    return hold


@pytest.fixture(scope="session")
def initialised() -> None:
    """The partitions have tokens, and this scenario's hosts their activation data."""
    done = hold("hsm_initialisation")
    assert done.returncode == 0, done.stdout
