"""Partitions of the HSM: each its own process and token, each open to its own clients only (CP-6.2)."""

from __future__ import annotations

from typing import Any

import pytest

testinfra_hosts = ["ansible://hsm"]

LARGEST_EXPOSURE = 3.0


def served(inventory: dict[str, Any], variables: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Name, clients and port of each partition that some host may use."""
    return [
        (partition["name"], partition["clients"], flow["port"])
        for partition in variables["hsm_partitions"]
        for flow in variables["estate_flows"]
        if (flow["from"], flow["to"]) == (partition["clients"], "hsm")
        and inventory.get(partition["clients"], {}).get("hosts")
    ]


def test_each_partition_has_its_process_and_its_door(
    host: Any, inventory: dict[str, Any], variables: dict[str, Any]
) -> None:
    """CP-6.2: every partition that has clients is served at the port that its flow declares, at that address only."""
    partitions = served(inventory, variables)
    assert partitions
    for name, _, port in partitions:
        assert host.service(f"kepil-hsm@{name}").is_running
        assert host.service(f"kepil-hsm-tls@{name}").is_running
        assert host.service(f"kepil-hsm-tls@{name}").is_enabled
        assert host.socket(f"tcp://{variables['estate_address']}:{port}").is_listening
        assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_a_partition_without_clients_is_not_served(
    host: Any, inventory: dict[str, Any], variables: dict[str, Any]
) -> None:
    """Threat: where no client is named, stunnel checks no name, and every host of the estate would be let in."""
    names = {name for name, _, _ in served(inventory, variables)}
    idle = [partition["name"] for partition in variables["hsm_partitions"] if partition["name"] not in names]
    assert idle
    for name in idle:
        assert not host.service(f"kepil-hsm@{name}").is_running
        assert not host.service(f"kepil-hsm-tls@{name}").is_running


def test_tokens_are_the_accounts_alone(host: Any, variables: dict[str, Any]) -> None:
    """CP-6.2: nobody else reads a token's files."""
    for partition in variables["hsm_partitions"]:
        token = host.file(f"/var/lib/kepil-hsm/{partition['name']}")
        assert (token.user, token.group, token.mode) == ("kepil-hsm", "kepil-hsm", 0o700)


def test_a_partition_sees_no_other_token(host: Any, inventory: dict[str, Any], variables: dict[str, Any]) -> None:
    """Threat: whoever breaks one partition's process finds the keys of the others."""
    for name, _, _ in served(inventory, variables):
        # A command under the unit's own view of the disk: entering the running process's is denied in a container.
        view = " ".join(
            f"--property={key}='{host.check_output(f'systemctl show --property {key} --value kepil-hsm@{name}')}'"
            for key in ("User", "TemporaryFileSystem", "BindPaths")
        )
        seen = host.check_output(f"systemd-run --quiet --wait --pipe {view} ls /var/lib/kepil-hsm")
        assert seen.split() == [name]


@pytest.mark.parametrize("unit", ["kepil-hsm", "kepil-hsm-tls"])
def test_units_are_hardened(host: Any, inventory: dict[str, Any], variables: dict[str, Any], unit: str) -> None:
    """Threat: a fault in the module or in the TLS door becomes one in the host."""
    name = served(inventory, variables)[0][0]
    report = host.check_output(f"systemd-analyze security --no-pager {unit}@{name}.service")
    assert float(report.strip().splitlines()[-1].split(":")[1].split()[0]) <= LARGEST_EXPOSURE


def test_the_door_follows_the_hosts_certificate(
    host: Any, inventory: dict[str, Any], variables: dict[str, Any]
) -> None:
    """A renewed certificate is taken up without a converge of this role."""
    name = served(inventory, variables)[0][0]
    properties = host.check_output(f"systemctl show --property PartOf --value kepil-hsm-tls@{name}")
    assert "kepil-internal-tls.target" in properties
