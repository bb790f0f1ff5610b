"""Role database on a responder: its own copy of the status table, which nobody there can change (CP-4.10, CP-2.4)."""

import secrets
from typing import Any


import testinfra.utils.ansible_runner as runner

testinfra_hosts = ["ansible://ocsp"]

PSQL = "psql -XAt -h /run/postgresql -d kepil"


def test_listens_on_the_socket_only(host: Any) -> None:
    """Threat: a copy of the status table open to the public zone (CP-6.7)."""
    assert host.check_output("ss -Hltn 'sport = :5432'") == ""
    assert host.socket("unix:///run/postgresql/.s.PGSQL.5432").is_listening


def test_row_arrives(host: Any, inventory: dict[str, Any]) -> None:
    """CP-4.10: what the authority writes is answered from here."""
    serial = secrets.token_hex(15)
    primary = runner.AnsibleRunner.get_runner("").get_host(inventory["database"]["hosts"][0])
    insert = f"insert into status (issuer, serial, not_after) values ('molecule', '\\x{serial}', now())"
    primary.check_output(f"{PSQL} -U postgres -c %s", insert)
    count = f"select count(*) from status where serial = '\\x{serial}'"
    wait = f"for try in $(seq 50); do {PSQL} -U postgres -c \"{count}\" | grep -q 1 && exit 0; sleep 0.2; done; exit 1"
    assert host.run(wait).rc == 0


def test_service_reads_and_cannot_write(host: Any) -> None:
    """Threat: who takes over the responder forges statuses in its copy (CP-2.4)."""
    as_service = "runuser -u kepil-ocsp -- " if host.user("kepil-ocsp").exists else None
    role = f"{PSQL} -U postgres -c 'set role kepil_ocsp' -c "
    command = f"{as_service}{PSQL} -U kepil_ocsp -c " if as_service else role
    assert host.run(f"{command} 'select count(*) from status'").rc == 0
    refused = host.run(f"{command} 'delete from status'")
    assert "permission denied" in refused.stderr


def test_access_is_local(host: Any) -> None:
    """No rule lets anybody in over the network."""
    rules = host.check_output(f"{PSQL} -U postgres -c \"select type, auth_method from pg_hba_file_rules\"").splitlines()
    assert {rule for rule in rules if not rule.startswith("local|")} == {"host|reject"}


def test_confined(host: Any) -> None:
    """Threat: a compromised server process reaches the rest of the host."""
    unit = "postgresql@17-main.service"
    score = host.check_output(f"systemd-analyze security {unit} | grep -oP 'for {unit}: \\K[0-9.]+'")
    assert float(score) <= 3.0
