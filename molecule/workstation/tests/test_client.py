"""What tests and journeys need on a host that uses the services."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("tool", ["curl", "openssl", "ocsptool", "certtool"])
def test_the_tool_is_there_and_is_not_ours(host: Any, tool: str) -> None:
    """Threat: services and tests share a fault, and so agree with each other."""
    path = host.check_output(f"command -v {tool}")
    assert host.run(f"dpkg --search $(readlink -f {path})").rc == 0
