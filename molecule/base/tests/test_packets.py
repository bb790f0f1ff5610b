"""Real packets between a client and a server: what is declared opens, everything else is closed on both ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import testinfra

testinfra_hosts = ["ansible://organisation"]

DECLARED, UNDECLARED = 80, 81
CONNECT = "timeout 2 bash -c '</dev/tcp/{address}/{port}'"


@pytest.fixture(scope="module")
def server(inventory: dict[str, Any]) -> Iterator[Any]:
    """A host that listens on a declared and on an undeclared port."""
    name = inventory["repository"]["hosts"][0]
    peer = testinfra.get_host(f"ansible://{name}")
    peer.address = inventory["_meta"]["hostvars"][name]["estate_address"]
    for port in (DECLARED, UNDECLARED):
        peer.check_output(f"systemd-run --unit=probe-{port} --collect python3 -m http.server {port}")
        peer.run_expect(
            [0], f"timeout 5 sh -c 'until {CONNECT.format(address='127.0.0.1', port=port)}; do sleep 0.1; done'"
        )
    yield peer
    peer.check_output(f"systemctl stop probe-{DECLARED} probe-{UNDECLARED}")


@pytest.fixture
def open_client(host: Any) -> Iterator[None]:
    """The client's own rules let everything out, as on a host that was broken into."""
    host.check_output("nft insert rule inet estate output accept")
    chain = json.loads(host.check_output("nft --json --handle list chain inet estate output"))["nftables"]
    yield
    first = next(entry["rule"]["handle"] for entry in chain if "rule" in entry)
    host.check_output(f"nft delete rule inet estate output handle {first}")


def test_a_declared_flow_opens(host: Any, server: Any) -> None:
    """Threat: the firewall is safe because nothing works."""
    host.run_expect([0], CONNECT.format(address=server.address, port=DECLARED))


def test_an_undeclared_port_is_closed_where_it_starts(host: Any, server: Any) -> None:
    """CP-6.7. Threat: a program on a host calls out."""
    host.run_expect([1, 124], CONNECT.format(address=server.address, port=UNDECLARED))


@pytest.mark.usefixtures("open_client")
def test_an_undeclared_port_is_closed_where_it_ends(host: Any, server: Any) -> None:
    """CP-6.7. Threat: a host that was broken into reaches every port of its neighbours."""
    host.run_expect([0], CONNECT.format(address=server.address, port=DECLARED))
    host.run_expect([124], CONNECT.format(address=server.address, port=UNDECLARED))


def test_a_flow_does_not_open_the_way_back(host: Any, server: Any, variables: dict[str, Any]) -> None:
    """CP-6.7. Threat: a server that was broken into attacks its clients."""
    host.check_output(f"systemd-run --unit=probe-back --collect python3 -m http.server {DECLARED}")
    try:
        server.run_expect([1, 124], CONNECT.format(address=variables["estate_address"], port=DECLARED))
    finally:
        host.check_output("systemctl stop probe-back")
