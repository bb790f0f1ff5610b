"""Every host is what the inventory says, and none carries a unit that failed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from kepil.estate.model import Estate

MOST_EXPOSURE = 3.0
OUR_UNITS = "kepil-*"


def test_no_unit_has_failed(estate: Estate, on: Callable[[str], Any]) -> None:
    failed = {name: on(name)("systemctl list-units --failed --plain --no-legend") for name in estate.hosts}
    assert {name: text for name, text in failed.items() if text.strip()} == {}


@pytest.mark.clause("CP-6.7")
def test_the_root_has_no_network_at_all(estate: Estate, on: Callable[[str], Any]) -> None:
    """No interface but the loopback, no route, no listening socket that anything outside could reach."""
    for host in estate.members("root"):
        interfaces = json.loads(on(host.name)("ip -json link show"))
        assert [interface["ifname"] for interface in interfaces] == ["lo"]
        assert on(host.name)("ip route show").strip() == ""


@pytest.mark.clause("CP-6.5")
def test_our_services_run_confined(estate: Estate, on: Callable[[str], Any]) -> None:
    """`systemd-analyze security` gives every running service of the project 3.0 or better, and none runs as root."""
    loose: dict[str, Any] = {}
    seen = 0
    for name in estate.hosts:
        units = on(name)(f"systemctl list-units --type=service --state=running --plain --no-legend '{OUR_UNITS}'")
        for line in units.splitlines():
            unit = line.split()[0]
            seen += 1
            exposure = on(name)(f"systemd-analyze security --no-pager {unit} | tail -n 1")
            value = float(exposure.split("Overall exposure level for")[1].split(":")[1].split()[0])
            user = on(name)(f"systemctl show --property=User --value {unit}").strip()
            if value > MOST_EXPOSURE or user in ("", "root"):
                loose[f"{name}/{unit}"] = (value, user)
    assert loose == {}
    assert seen >= len(estate.members("ocsp")) + len(estate.members("tsp")) + 1


@pytest.mark.clause("CP-5.4")
def test_every_host_keeps_time(estate: Estate, on: Callable[[str], Any]) -> None:
    """Each host with a network follows the time source to well within the second that time stamps promise."""
    for host in estate.members("all"):
        if host.address is None:
            continue
        fields = on(host.name)("chronyc -c tracking").strip().split(",")
        assert fields[13] != "Not synchronised", host.name
        assert abs(float(fields[4])) < 0.1, host.name
