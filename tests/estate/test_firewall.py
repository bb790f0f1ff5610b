"""Each host holds exactly the rules that the inventory asks for, and nothing listens that no flow leads to."""

from __future__ import annotations

import difflib
from typing import Any

import pytest

from kepil.estate.firewall import Listener, listeners, undeclared
from kepil.estate.model import Estate, Host
from tests.estate.everywhere import everywhere, run
from tests.firewall_template import rendered

FIRST_CHOSEN = 32768
"""Linux gives ports from here on to who names none."""
FILE = "/etc/nftables.conf"
IN_FORCE = "nft --stateless list table inet estate"
MEANT = f"nft --file - && {IN_FORCE}"


def difference(expected: str, found: str) -> str:
    """What has to go (+) and what is missing (-), empty where nothing is."""
    return "\n".join(difflib.unified_diff(expected.splitlines(), found.splitlines(), "inventory", "host", lineterm=""))


@pytest.mark.clause("CP-6.7")
def test_the_rules_in_force_are_the_inventorys(estate: Estate, listing: dict[str, Any]) -> None:
    """In the kernel, where a rule added by hand shows, and in the file that a restart loads. The expectation is loaded
    into a network namespace of its own on the host, so that both are as nft writes them."""

    def differs(host: Host) -> str:
        expected = rendered(listing["_meta"]["hostvars"][host.name])
        meant = run(estate, host, "unshare", "--net", "sh", "-c", MEANT, given=expected)
        kernel = difference(meant, run(estate, host, *IN_FORCE.split()))
        tables = set(run(estate, host, "nft", "list", "tables").removeprefix("table ").strip().split("\ntable "))
        beside = {"inet estate", *listing["_meta"]["hostvars"][host.name].get("base_firewall_beside", [])}
        others = f"tables: {sorted(tables ^ beside)}\n" if tables != beside else ""
        return others + kernel + difference(expected, run(estate, host, "cat", FILE))

    found = everywhere(estate.members("all"), differs)
    assert not any(found.values()), "\n".join(f"{name}:\n{text}" for name, text in found.items() if text)


def asks(host: Host, socket: Listener) -> bool:
    """Whether it is the one from which a gateway's proxy asks its resolver, at a port that the kernel chose."""
    return "gateway" in host.groups and socket.protocol == "udp" and socket.port >= FIRST_CHOSEN


@pytest.mark.clause("CP-6.7")
def test_what_listens_is_declared(estate: Estate) -> None:
    """Threat: a service that nobody knows of. Every socket that is not loopback alone has a flow that leads to it."""

    def strangers(host: Host) -> list[str]:
        sockets = listeners(run(estate, host, "ss", "-Hlntup"))
        return [str(socket) for socket in undeclared(estate.rules(host), sockets) if not asks(host, socket)]

    found = everywhere(estate.members("all"), strangers)
    assert {name: sockets for name, sockets in found.items() if sockets} == {}
