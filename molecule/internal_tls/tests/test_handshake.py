"""Two hosts speak mutual TLS with what the role gave them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import testinfra

testinfra_hosts = ["ansible://organisation"]

CLIENT = "openssl s_client -quiet -verify_return_error -CAfile /etc/ssl/kepil/internal-ca.crt"
IDENTITY = "-cert /etc/ssl/kepil/internal.crt -key /etc/ssl/private/kepil-internal.key"
PORT = 9443


@pytest.fixture(scope="module")
def server(inventory: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Variables of a host that answers on PORT to whoever has a certificate of the internal CA."""
    name = inventory["database"]["hosts"][0]
    peer = testinfra.get_host(f"ansible://{name}")
    peer.check_output(
        f"systemd-run --unit=probe-server --collect openssl s_server -accept {PORT} -www -Verify 1 "
        f"-verify_return_error -CAfile /etc/ssl/kepil/internal-ca.crt {IDENTITY}"
    )
    peer.check_output(f"timeout 10 sh -c 'until ss -Hltn sport = :{PORT} | grep -q .; do sleep 0.1; done'")
    yield inventory["_meta"]["hostvars"][name]
    peer.check_output("systemctl stop probe-server")


def get(host: Any, server: dict[str, Any], name: str, identity: str) -> Any:
    return host.run(
        f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 {CLIENT} {identity} -verify_hostname {name} "
        f"-connect {server['estate_address']}:{PORT}"
    )


def test_both_sides_accept_each_other(host: Any, server: dict[str, Any]) -> None:
    """CP-6.7: components know whom they speak to."""
    assert "HTTP/1.0 200" in get(host, server, server["estate_fqdn"], IDENTITY).stdout


def test_a_client_without_a_certificate_is_turned_away(host: Any, server: dict[str, Any]) -> None:
    """Threat: whoever reaches the port is served."""
    answer = get(host, server, server["estate_fqdn"], "")
    assert "HTTP/1.0 200" not in answer.stdout
    assert "certificate required" in answer.stderr


def test_a_server_of_another_name_is_refused(host: Any, server: dict[str, Any], variables: dict[str, Any]) -> None:
    """Threat: one host of the estate poses as another."""
    answer = get(host, server, variables["estate_fqdn"], IDENTITY)
    assert "HTTP/1.0 200" not in answer.stdout
    assert "hostname mismatch" in answer.stderr.lower()
