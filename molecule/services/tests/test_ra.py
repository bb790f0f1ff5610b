"""Role ra on its own host: confined, and silent about subscribers."""

from __future__ import annotations

from typing import Any

import pytest

testinfra_hosts = ["ansible://ra"]


def test_confined(host: Any) -> None:
    """Threat: a compromised process reaches the rest of the host (CP-6.5)."""
    unit = "kepil-ra.service"
    score = host.check_output(f"systemd-analyze security {unit} | grep -oP 'for {unit}: \\K[0-9.]+'")
    assert float(score) <= 3.0


def test_runs_as_itself(host: Any) -> None:
    """Threat: the service runs as root, or its socket lets anybody name himself an officer (CP-2.4)."""
    pid = host.check_output("systemctl show kepil-ra.service -p MainPID --value")
    assert host.check_output(f"ps -o user= -p {pid}").strip() == "kepil-ra"
    socket = host.file("/run/kepil-ra/http.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "www-data", 0o660)
    spoofed = (
        "curl -s --unix-socket /run/kepil-ra/http.sock -H 'X-Officer: approver-1' http://localhost/v1/applications"
    )
    assert host.run(f"runuser -u nobody -- {spoofed}").rc != 0


def test_settings_are_not_for_everybody(host: Any) -> None:
    """Who may decide is nobody else's business."""
    settings = host.file("/etc/kepil/ra.json")
    assert (settings.user, settings.group, settings.mode) == ("root", "kepil-ra", 0o640)


@pytest.mark.clause("CP-9.4")
def test_nothing_of_subscribers_is_logged_by_the_service(host: Any) -> None:
    """Threat: logs, which travel further than the database, fill with names and numbers."""
    assert host.run("journalctl -u kepil-ra -u nginx -o cat | grep -c 'IIN\\|@example.kz'").stdout.strip() == "0"
