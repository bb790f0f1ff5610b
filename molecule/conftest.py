"""What the scenarios' Testinfra modules share. Expected values come from the inventory, never typed twice."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra.utils.ansible_runner as runner


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module's `testinfra_hosts` counts, although Testinfra lets `--hosts`, which Molecule gives, override it."""
    metafunc.config.option.hosts = ",".join(getattr(metafunc.module, "testinfra_hosts", ["ansible://all"]))


@pytest.fixture(scope="session")
def inventory() -> dict[str, Any]:
    """The scenario's inventory as `ansible-inventory --list` gives it."""
    listed: dict[str, Any] = runner.AnsibleRunner.get_runner("").inventory
    return listed


@pytest.fixture
def variables(host: Any, inventory: dict[str, Any]) -> dict[str, Any]:
    """Inventory variables of the host under test (role defaults not included)."""
    name = host.backend.get_hostname()
    hostvars: dict[str, Any] = inventory["_meta"]["hostvars"][name]
    return {"inventory_hostname": name, **hostvars}
