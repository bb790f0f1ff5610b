"""Who gets through a partition's door, tried with a tool that is not ours."""

from __future__ import annotations

from typing import Any

import pytest

# The HSM itself has a certificate as good as any host's, and is nobody's client.
testinfra_hosts = ["ansible://ca", "ansible://hsm"]

CREDENTIALS = (
    "-cert /etc/ssl/kepil/internal.crt -key /etc/ssl/private/kepil-internal.key -CAfile /etc/ssl/kepil/internal-ca.crt"
)


@pytest.fixture
def door(inventory: dict[str, Any], variables: dict[str, Any]) -> str:
    """Address and port of the issuing CA's partition."""
    hsm = inventory["_meta"]["hostvars"][inventory["hsm"]["hosts"][0]]
    port = next(flow["port"] for flow in variables["estate_flows"] if (flow["from"], flow["to"]) == ("ca", "hsm"))
    return f"{hsm['estate_address']}:{port}"


def knock(host: Any, at: str, options: str) -> tuple[int, str]:
    """Open TLS, wait for what the door says after the handshake, and return the exit status and the words."""
    done = host.run(f"(sleep 1; echo) | timeout 5 openssl s_client -connect {at} -verify_return_error {options} 2>&1")
    return done.rc, done.stdout


def test_only_the_partitions_clients_get_in(
    host: Any, inventory: dict[str, Any], variables: dict[str, Any], door: str
) -> None:
    """Threat: a host of the estate with a good certificate uses a key that is not its own (CP-6.2)."""
    status, said = knock(host, door, CREDENTIALS)
    assert "Verify return code: 0 (ok)" in said, "the HSM's own certificate"
    assert "TLSv1.3" in said
    if variables["inventory_hostname"] in inventory["ca"]["hosts"]:
        assert status == 0
        assert "alert" not in said
    else:
        assert status != 0
        assert "alert" in said


@pytest.mark.parametrize(
    ("options", "threat"),
    [
        ("-CAfile /etc/ssl/kepil/internal-ca.crt", "without a certificate"),
        (CREDENTIALS + " -tls1_2", "with TLS 1.2"),
    ],
    ids=["no-certificate", "tls-1.2"],
)
def test_strangers_are_refused(host: Any, door: str, options: str, threat: str) -> None:
    """Threat: a stranger on the network talks to the HSM."""
    status, said = knock(host, door, options)
    assert status != 0, threat
    assert "alert" in said, threat
