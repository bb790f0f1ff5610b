"""Clients keep the time of the hosts in group `time`."""

from __future__ import annotations

from typing import Any

testinfra_hosts = ["ansible://ca"]


def test_the_client_follows_the_time_host(host: Any, inventory: dict[str, Any]) -> None:
    """CP-5.4: records of different hosts can be put in order."""
    host.check_output("chronyc waitsync 20 0.1 0 1")
    reference, stratum, offset = (host.check_output("chronyc -c -n tracking").split(",")[i] for i in (1, 2, 4))
    servers = {inventory["_meta"]["hostvars"][name]["estate_address"] for name in inventory["time"]["hosts"]}
    assert reference in servers
    assert int(stratum) > 1
    assert abs(float(offset)) < 0.1


def test_the_client_serves_time_to_nobody(host: Any) -> None:
    """Threat: a port that nobody needs."""
    assert not host.socket("udp://0.0.0.0:123").is_listening
