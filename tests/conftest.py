"""What tests of the running estate share: the inventory as the expectation, and a way onto each host."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from hypothesis import settings

from kepil.estate.inventory import all_variables, read_estate, read_listing
from kepil.estate.model import Estate

PROJECT = Path(__file__).parents[1]

settings.register_profile("untimed", deadline=None)  # a busy machine is no defect of the code
settings.load_profile("untimed")


class OnHost:
    """A shell on one host of the estate; commands are run as its operator (root) would run them."""

    def __init__(self, container: str) -> None:
        self.machine: Any = testinfra.get_host(f"docker://{container}")

    def __call__(self, command: str, *, fails: bool = False) -> str:
        """Output of a command that must succeed (or must fail); both streams."""
        done = self.machine.run(command)
        output = f"{done.stdout}{done.stderr}"
        assert (done.rc != 0) is fails, f"{command}\nexit {done.rc}\n{output}"
        return output

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        self(f"mkdir -p {Path(path).parent} && echo {base64.b64encode(content).decode()} | base64 -d > {path}")

    def get(self, path: str) -> bytes:
        """Read a file."""
        return base64.b64decode(self(f"base64 -w0 {path}"))


@pytest.fixture(scope="session")
def listing() -> dict[str, Any]:
    """The inventory as Ansible lists it."""
    os.chdir(PROJECT)
    return read_listing()


@pytest.fixture(scope="session")
def estate(listing: dict[str, Any]) -> Estate:
    """The estate model."""
    return read_estate(listing)


@pytest.fixture(scope="session")
def everywhere(listing: dict[str, Any]) -> dict[str, Any]:
    """Variables that hold for all hosts."""
    return all_variables(listing)


@pytest.fixture(scope="session")
def on(estate: Estate) -> Callable[[str], OnHost]:
    """`on("ca01")` is a shell there."""
    shells = {name: OnHost(estate.container(host)) for name, host in estate.hosts.items()}
    return shells.__getitem__
