"""Two gateways that hold one address, and agree on what each has seen."""

from __future__ import annotations

import json
from typing import Any

import pytest
import testinfra

from tests.gateway_users import eventually

testinfra_hosts = ["ansible://gw01"]
ACTIVE = "/run/kepil-gateway/active"


@pytest.fixture
def second() -> Any:
    """The other gateway."""
    return testinfra.get_host("ansible://gw02")


def holds(host: Any, address: str) -> bool:
    """Whether a gateway has the address that the pair holds."""
    return any(json.loads(host.check_output(f"ip -json address show to {address}")))


@pytest.fixture
def address(inventory: dict[str, Any]) -> str:
    """The address that the pair holds."""
    return str(inventory["_meta"]["hostvars"]["gw01"]["gateway_virtual_address"]).partition("/")[0]


def test_one_gateway_holds_the_address_and_tells_operators(host: Any, second: Any, address: str) -> None:
    """GW-13: the active one mails; two that mail would tell each operator twice."""
    eventually(lambda: holds(host, address), 20)
    assert not holds(second, address)
    assert host.file(ACTIVE).exists
    assert not second.file(ACTIVE).exists


@pytest.mark.clause("GW-2")
def test_the_other_takes_the_address_when_keepalived_is_killed(host: Any, second: Any, address: str) -> None:
    """Without a farewell, as when a machine loses its power. Once it is back it holds the address again."""
    eventually(lambda: holds(host, address), 20)
    host.check_output("systemctl kill --signal=KILL keepalived; systemctl stop keepalived")
    try:
        eventually(lambda: holds(second, address), 20)
        eventually(lambda: bool(second.file(ACTIVE).exists), 10)
    finally:
        host.check_output("systemctl start keepalived")
    eventually(lambda: holds(host, address) and not holds(second, address), 20)


def test_a_gateway_whose_proxy_is_down_gives_the_address_away(host: Any, second: Any, address: str) -> None:
    """Threat: the address leads where nobody answers."""
    eventually(lambda: holds(host, address), 20)
    host.check_output("systemctl stop squid")
    try:
        eventually(lambda: holds(second, address), 20)
    finally:
        host.check_output("systemctl start squid")
    eventually(lambda: holds(host, address), 30)


@pytest.mark.clause("GW-13")
def test_each_reads_what_the_other_saw(host: Any, second: Any) -> None:
    """Threat: a source that only the standby saw is told to nobody. Over mutual TLS."""
    host.check_output("nft 'add element inet gateway unknown { 198.19.41.77 }'")
    host.check_output("systemctl start kepil-gateway-watch.service")
    second.check_output("systemctl start kepil-gateway-watch.service")
    assert "198.19.41.77" in second.file("/var/lib/kepil/gateway/facts-gw01").content_string


def test_who_is_no_gateway_reads_nothing(host: Any) -> None:
    """Threat: any host of the estate learns who asks for what."""
    stranger = testinfra.get_host("ansible://ca01")
    said = stranger.run(
        "curl -s -o /dev/null -w '%{http_code}' --max-time 3 --cacert /etc/ssl/kepil/internal-ca.crt"
        " --cert /etc/ssl/kepil/internal.crt --key /etc/ssl/private/kepil-internal.key https://gw01.molecule.kepil.test:8443/facts"
    )
    assert said.stdout in ("", "000", "403")
