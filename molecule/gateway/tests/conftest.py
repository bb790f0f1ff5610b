"""The gateway, with the users before it and the origins behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway_users import Gateway, eventually


@pytest.fixture
def gateway(host: Any, inventory: dict[str, Any]) -> Gateway:
    """The gateway under test, as the scenario's inventory describes it."""
    variables = inventory["_meta"]["hostvars"]["gw01"]
    exempt = frozenset(name for name, each in variables["gateway_categories"].items() if "exempt" in each)
    return Gateway(host, variables["users"], variables["origins"], variables["sites"], exempt)


@pytest.fixture
def restored(gateway: Gateway) -> Iterator[None]:
    """After the test, the policy is in force again and users get through."""
    yield
    gateway.apply_policy()
    eventually(gateway.passes)
