"""Role database on a responder: its own copy of the status table, which nobody there can change (CP-4.10, CP-2.4)."""

import time
from typing import Any

import testinfra.utils.ansible_runner as runner

testinfra_hosts = ["ansible://ocsp"]

PATIENCE_SECONDS = 10


def query(host: Any, statement: str) -> Any:
    """Have root put a statement to the host's own server."""
    return host.run("psql -XAt -h /run/postgresql -U postgres -d kepil -c %s", statement)


def test_listens_on_the_socket_only(host: Any) -> None:
    """Threat: a copy of the status table open to the public zone (CP-6.7)."""
    assert host.check_output("ss -Hltn 'sport = :5432'") == ""
    assert host.socket("unix:///run/postgresql/.s.PGSQL.5432").is_listening


def test_row_arrives(host: Any, inventory: dict[str, Any]) -> None:
    """CP-4.10: what the authority writes is answered from here."""
    row = "insert into status values ('molecule', uuid_send(gen_random_uuid()), now()) returning serial"
    primary = runner.AnsibleRunner.get_runner("").get_host(inventory["database"]["hosts"][0])
    serial = query(primary, row).stdout.split()[0]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while serial not in query(host, "select serial from status").stdout.split():
        assert time.monotonic() < deadline, f"{serial} did not arrive within {PATIENCE_SECONDS} s"
        time.sleep(0.2)


def test_service_reads_and_cannot_write(host: Any, variables: dict[str, Any]) -> None:
    """Threat: who takes over the responder forges statuses in its copy (CP-2.4)."""
    for subscription in variables["database_subscriptions"]:
        for reader in subscription["readers"]:
            assert query(host, f"set role {reader}; table {subscription['tables'][0]}").rc == 0
            for change in ("truncate", "delete from", "drop table"):
                refused = query(host, f"set role {reader}; {change} {subscription['tables'][0]}")
                assert "permission denied" in refused.stderr or "must be owner" in refused.stderr


def test_access_is_local(host: Any) -> None:
    """No rule lets anybody in over the network."""
    rules = query(host, "select type, auth_method from pg_hba_file_rules").stdout.splitlines()
    assert {rule for rule in rules if not rule.startswith("local|")} == {"host|reject"}


def test_confined(host: Any) -> None:
    """Threat: a compromised server process reaches the rest of the host."""
    unit = "postgresql@17-main.service"
    score = host.check_output(f"systemd-analyze security {unit} | grep -oP 'for {unit}: \\K[0-9.]+'")
    assert float(score) <= 3.0
