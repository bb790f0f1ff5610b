"""Who is let in, and which sockets no flow asks for."""

from __future__ import annotations

from typing import Any

import pytest

from kepil.estate.firewall import Listener, admits, listeners, undeclared
from kepil.estate.model import Rule

LISTENING = """\
udp UNCONN 0      0          127.0.0.1:323       0.0.0.0:*    users:(("chronyd",pid=57,fd=5))
udp UNCONN 0      0            0.0.0.0:123       0.0.0.0:*    users:(("chronyd",pid=57,fd=7))
udp UNCONN 0      0      127.0.0.53%lo:53        0.0.0.0:*
tcp LISTEN 0      511          0.0.0.0:80        0.0.0.0:*    users:(("nginx",pid=90,fd=6),("nginx",pid=89,fd=6))
tcp LISTEN 0      4096               *:9100            *:*    users:(("exporter",pid=91,fd=3))
tcp LISTEN 0      128            [::1]:5432         [::]:*
tcp LISTEN 0      128  [::ffff:127.0.0.1]:8080         *:*
tcp LISTEN 0      128             [::]:22           [::]:*
"""


def rule(**changes: Any) -> Rule:
    return Rule.model_validate(
        {
            "direction": "in",
            "protocol": "tcp",
            "port": 22,
            "peers": ["198.18.9.11", "198.18.20.0/24"],
            "why": "administration",
            "clause": "CP-6.7",
            **changes,
        }
    )


@pytest.mark.parametrize("address", ["198.18.9.11", "198.18.20.200"])
def test_a_declared_peer_is_admitted(address: str) -> None:
    assert admits([rule(port=80), rule()], address, 22)


@pytest.mark.parametrize(
    ("rules", "address", "port"),
    [
        ([rule()], "198.18.9.12", 22),
        ([rule()], "198.18.9.11", 2222),
        ([rule(direction="out")], "198.18.9.11", 22),
        ([rule(protocol="udp")], "198.18.9.11", 22),
        ([rule(peers=["0.0.0.0/0"])], "fd00::1", 22),
        ([], "198.18.9.11", 22),
    ],
)
def test_nobody_else_is(rules: list[Rule], address: str, port: int) -> None:
    assert not admits(rules, address, port)


def test_sockets_are_read_as_ss_lists_them() -> None:
    found = list(listeners(LISTENING))
    assert found[1] == Listener("udp", "0.0.0.0", 123, 'users:(("chronyd",pid=57,fd=7))')  # noqa: S104 - read, not bound
    assert [(socket.address, socket.port) for socket in found] == [
        ("127.0.0.1", 323),
        ("0.0.0.0", 123),  # noqa: S104 - read, not bound
        ("127.0.0.53", 53),
        ("0.0.0.0", 80),  # noqa: S104 - read, not bound
        ("*", 9100),
        ("::1", 5432),
        ("::ffff:127.0.0.1", 8080),
        ("::", 22),
    ]


def test_a_socket_that_no_flow_leads_to_is_undeclared() -> None:
    rules = [rule(port=80), rule(port=123, protocol="udp"), rule(port=9100, direction="out")]
    assert [socket.port for socket in undeclared(rules, listeners(LISTENING))] == [9100, 22]


def test_a_port_is_declared_for_its_protocol_alone() -> None:
    rules = [rule(port=80, protocol="udp"), rule(port=123), rule(port=22), rule(port=9100)]
    assert {socket.port for socket in undeclared(rules, listeners(LISTENING))} == {80, 123}
