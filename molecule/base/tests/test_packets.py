"""Real packets between a client and a server: what is declared opens, everything else is closed on both ends."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra

testinfra_hosts = ["ansible://ca"]

UNDECLARED = 81
PROBE = (Path(__file__).parents[3] / "tests/estate/probe.py").read_text(encoding="utf-8")


def connect(host: Any, address: str, port: int) -> bool:
    """Whether a TCP connection opens."""
    return bool(host.run(f"timeout 1 bash -c '</dev/tcp/{address}/{port}'").rc == 0)


def probe(host: Any, protocol: str, address: str, port: int = 1) -> str:
    """What becomes of one connection, or of one question where the protocol knows no connections."""
    order = json.dumps({"targets": [(protocol, address, port)], "mark": 0, "patience": 2})
    states: list[str] = json.loads(host.check_output(f"echo {shlex.quote(order)} | python3 -c {shlex.quote(PROBE)}"))
    return states[0]


def listen(host: Any, port: int) -> None:
    """Have the host answer on a port."""
    host.check_output(f"systemd-run --unit=probe-{port} --collect python3 -m http.server {port}")
    wait = f"until exec 3<>/dev/tcp/127.0.0.1/{port}; do sleep 0.1; done"
    host.run_expect([0], f"timeout 5 bash -c '{wait}' 2>/dev/null")


@pytest.fixture(scope="module")
def flow(inventory: dict[str, Any]) -> dict[str, Any]:
    """The TCP flow that lets the client reach the server."""
    client = inventory["_meta"]["hostvars"][inventory["ca"]["hosts"][0]]
    return next(rule for rule in client["estate_rules"] if rule["direction"] == "out" and rule["protocol"] == "tcp")


@pytest.fixture(scope="module")
def server(inventory: dict[str, Any], flow: dict[str, Any]) -> Iterator[Any]:
    """A host that listens on a declared and on an undeclared port."""
    name = inventory["hsm"]["hosts"][0]
    peer = testinfra.get_host(f"ansible://{name}")
    peer.address = inventory["_meta"]["hostvars"][name]["estate_address"]
    assert peer.address in flow["peers"]
    for port in (flow["port"], UNDECLARED):
        listen(peer, port)
    yield peer
    peer.check_output(f"systemctl stop probe-{flow['port']} probe-{UNDECLARED}")


@pytest.fixture
def open_client(host: Any) -> Iterator[None]:
    """The client's own rules let everything out, as on a host that was broken into."""
    host.check_output("nft insert rule inet estate output accept")
    yield
    chain = json.loads(host.check_output("nft --json --handle list chain inet estate output"))["nftables"]
    first = next(entry["rule"]["handle"] for entry in chain if "rule" in entry)
    host.check_output(f"nft delete rule inet estate output handle {first}")


def test_a_declared_flow_opens(host: Any, server: Any, flow: dict[str, Any]) -> None:
    """Threat: the firewall is safe because nothing works."""
    assert connect(host, server.address, flow["port"])


def test_an_undeclared_port_is_closed_where_it_starts(host: Any, server: Any) -> None:
    """CP-6.7. Threat: a program on a host calls out."""
    before = host.check_output("nft list chain inet estate output | grep dropped")
    assert not connect(host, server.address, UNDECLARED)
    assert host.check_output("nft list chain inet estate output | grep dropped") != before


@pytest.mark.usefixtures("open_client")
def test_an_undeclared_port_is_closed_where_it_ends(host: Any, server: Any, flow: dict[str, Any]) -> None:
    """CP-6.7. Threat: a host that was broken into reaches every port of its neighbours."""
    assert connect(host, server.address, flow["port"])
    assert not connect(host, server.address, UNDECLARED)


def test_a_flow_does_not_open_the_way_back(
    host: Any, server: Any, flow: dict[str, Any], variables: dict[str, Any]
) -> None:
    """CP-6.7. Threat: a server that was broken into attacks its clients."""
    listen(host, flow["port"])
    try:
        assert not connect(server, variables["estate_address"], flow["port"])
    finally:
        host.check_output(f"systemctl stop probe-{flow['port']}")


def test_who_has_a_flow_may_ask_for_an_echo(host: Any, server: Any, variables: dict[str, Any]) -> None:
    """RFC 4890 section 4.4.1: whether the other is there can be asked, along the flow and not against it."""
    assert probe(host, "icmp", server.address) == "open"
    assert probe(server, "icmp", variables["estate_address"]) == "silent"


def test_errors_that_belong_to_a_connection_arrive(host: Any, server: Any) -> None:
    """RFC 4890 section 4.4.1. Threat: connections hang, because nobody is told that a port or a path is closed."""
    server.check_output("systemctl stop chrony")
    try:
        assert probe(host, "udp", server.address, 123) == "ECONNREFUSED"
    finally:
        server.check_output("systemctl start chrony")
    assert probe(host, "udp", server.address, 123) == "open"
