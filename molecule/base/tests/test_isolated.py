"""A host that has no network."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["ansible://root"]


def test_it_has_loopback_only(host: Any) -> None:
    """CP-6.7. Threat: a way to the root key."""
    assert host.file("/sys/class/net").listdir() == ["lo"]


def test_its_clock_is_not_asked_of_anybody(host: Any) -> None:
    """Its clock is set by hand, under witnesses."""
    assert not host.service("chrony").is_running
    assert not host.service("chrony").is_enabled


def test_it_knows_its_own_name(host: Any, variables: dict[str, Any]) -> None:
    """What it writes to the journal carries its name."""
    assert host.check_output("hostname --fqdn") == variables["estate_fqdn"]
