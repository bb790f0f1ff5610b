"""Logs that survive a restart, and that another host can read."""

from __future__ import annotations

import re
from typing import Any

import pytest

testinfra_hosts = ["ansible://ca", "ansible://root"]

RFC5424 = re.compile(
    r"<(?P<priority>\d{1,3})>1 (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d:\d\d) "
    r"(?P<host>\S+) (?P<app>\S+) (?P<process>\S+) - "
    r"\[journal@\d+(?P<parameters>( [a-z]+=\"([^\"\\\]]|\\.)*\")+)\] (?P<message>.*)"
)


def logged(host: Any, tag: str) -> list[str]:
    """Lines of the log that a program wrote under a tag; waits until there is one."""
    host.run(f"timeout 10 sh -c 'until grep -q \" {tag} \" /var/log/syslog; do sleep 0.2; done'")
    return [line for line in host.file("/var/log/syslog").content_string.split("\n") if f" {tag} " in line]


def test_a_message_is_structured(host: Any, variables: dict[str, Any]) -> None:
    """CP-5.4: who said what, when and on which host, in a form that a machine reads (RFC 5424)."""
    # To standard output, as services log: the journal then has the unit from the connection itself, however short-lived
    # the process. Of a message sent to the socket it looks the unit up, and finds none when the sender is gone by then.
    host.check_output("systemd-run --wait --collect --unit=probe-structured echo 'to \"be\" read'")
    lines = logged(host, "echo")
    found = RFC5424.fullmatch(lines[-1])
    assert found, lines
    assert found["host"] == variables["estate_fqdn"]
    assert found["message"].strip() == 'to "be" read'
    assert 'unit="probe-structured.service"' in found["parameters"]


def test_a_message_cannot_forge_another(host: Any) -> None:
    """Threat: an attacker's input, logged, looks like another program's line."""
    fields = r"SYSLOG_IDENTIFIER=probe-forged\nMESSAGE=first\nMESSAGE=<0>1 forged\n"
    host.check_output(f"printf '{fields}' | logger --journald")
    lines = logged(host, "probe-forged")
    assert all(RFC5424.fullmatch(line) for line in lines), lines
    assert "first#012<0>1 forged" in lines[-1]


def test_every_line_is_structured(host: Any) -> None:
    """Threat: a line that the collector drops because it cannot read it."""
    host.check_output(": > /var/log/syslog && logger --tag probe-every one")
    logged(host, "probe-every")
    lines = host.file("/var/log/syslog").content_string.rstrip("\n").split("\n")
    assert [line for line in lines if not RFC5424.fullmatch(line)] == []


def test_the_journal_survives_a_restart(host: Any) -> None:
    """Threat: traces vanish with a restart."""
    assert host.run("find /var/log/journal -name '*.journal' | grep .").succeeded
    shown = host.check_output("systemd-analyze cat-config systemd/journald.conf")
    assert "Storage=persistent" in shown
    assert "SystemMaxUse=500M" in shown


def test_only_administrators_read_logs(host: Any) -> None:
    """Threat: logs tell a service's user about the others."""
    log = host.file("/var/log/syslog")
    assert (log.user, log.group, log.mode) == ("root", "adm", 0o640)


@pytest.mark.clause("CP-5.5")
def test_the_log_is_kept_as_long_as_the_inventory_says(host: Any) -> None:
    """Threat: a log that rotates away before the archive has it. 365 days is the role's default."""
    done = host.run("logrotate --debug /etc/logrotate.d/rsyslog")
    assert done.rc == 0, done.stderr
    assert "365 rotations" in done.stderr + done.stdout
    assert "error" not in (done.stderr + done.stdout).lower()
    assert host.service("logrotate.timer").is_enabled
    assert host.service("logrotate.timer").is_running
