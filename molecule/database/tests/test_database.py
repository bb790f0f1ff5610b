"""Role database on the primary: who may connect, as what, from where (CP-2.4, CP-6.7, CP-9.3)."""

from typing import Any

import pytest

testinfra_hosts = ["ansible://database"]

UNIT = "postgresql@17-main"


def query(host: Any, statement: str) -> str:
    """What the server answers root."""
    return str(host.check_output("psql -XAt -h /run/postgresql -U postgres -d kepil -c %s", statement)).strip()


def test_listens_only_as_declared(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a server reachable from networks that no flow declares (CP-6.7)."""
    listening = host.check_output("ss -Hltn 'sport = :5432'").splitlines()
    assert [line.split()[3] for line in listening] == [f"{variables['estate_address']}:5432"]


def test_runs_after_a_restart_too(host: Any) -> None:
    """Whatever the package did."""
    assert host.service("postgresql").is_enabled
    assert host.run(f"systemctl show --value --property=WantedBy {UNIT}").stdout.strip() == "postgresql.service"


def test_settings(host: Any, variables: dict[str, Any]) -> None:
    """TLS 1.3 only, no weak password digests, no data in the log (CP-9.4), and what the inventory asks."""
    expected = {
        "ssl": "on",
        "ssl_min_protocol_version": "TLSv1.3",
        "password_encryption": "scram-sha-256",
        "log_statement": "none",
        "log_error_verbosity": "terse",
    } | {name: str(value) for name, value in variables["database_settings"].items()}
    assert {name: query(host, f"show {name}") for name in expected} == expected
    assert query(host, "select name from pg_settings where pending_restart") == ""


def test_roles_are_those_of_the_inventory(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a forgotten role, or one with more power than its service needs (CP-2.4)."""
    rows = query(
        host,
        "select rolname, rolreplication, rolsuper or rolcreaterole or rolcreatedb or rolbypassrls from pg_roles "
        "where rolname !~ '^pg_' and rolname <> 'postgres' order by 1",
    ).splitlines()
    expected = {role["name"]: role.get("replication", False) for role in variables["database_roles"]}
    assert rows == [f"{name}|{'t' if replicates else 'f'}|f" for name, replicates in sorted(expected.items())]


def test_access_rules_are_sound(host: Any) -> None:
    """No rule trusts an address alone, and none that leads over the network does without TLS (CP-6.7)."""
    assert query(host, "select * from pg_hba_file_rules where error is not null") == ""
    methods = query(host, "select distinct type, auth_method from pg_hba_file_rules order by 1, 2").splitlines()
    assert set(methods) == {"local|peer", "local|reject", "hostssl|cert", "hostssl|scram-sha-256", "host|reject"}


def test_local_users_are_refused(host: Any) -> None:
    """Threat: a process of another service on the host opens the database by the socket."""
    for role in ("postgres", "kepil_ca", "kepil_ocsp"):
        refused = host.run(f"runuser -u nobody -- psql -h /run/postgresql -U {role} -d kepil -c 'select 1'")
        assert refused.rc != 0
        assert "authentication failed" in refused.stderr or "rejects connection" in refused.stderr


def test_log_goes_to_the_journal(host: Any) -> None:
    """CP-5.4: what the server logs is collected with everything else."""
    assert "connection authorized" in host.check_output(
        f"journalctl -u {UNIT} -o cat --grep 'connection authorized' -n 5"
    )


def test_error_detail_is_not_logged(host: Any) -> None:
    """CP-9.4: a statement that fails leaves neither itself nor its data in the log."""
    assert host.run("psql -XAt -h /run/postgresql -U postgres -c \"select 'marker-73b1'::int\"").rc != 0
    assert "STATEMENT" not in host.check_output(f"journalctl -u {UNIT} -o cat --since -1min")


def test_slot_for_each_replica(host: Any, inventory: dict[str, Any]) -> None:
    """Each responder follows at its own pace (CP-4.10)."""
    slots = query(host, "select slot_name from pg_replication_slots where active order by 1").splitlines()
    assert slots == sorted(f"status_{name}" for name in inventory["ocsp"]["hosts"])


def test_replication_role_reads_status_only(host: Any) -> None:
    """CP-9.3: no personal data leaves the core zone."""
    assert (
        query(
            host,
            "select table_name, privilege_type from information_schema.role_table_grants where grantee = 'kepil_ocsp'",
        )
        == "status|SELECT"
    )


@pytest.mark.parametrize("unit", [UNIT])
def test_confined(host: Any, unit: str) -> None:
    """Threat: a compromised server process reaches the rest of the host."""
    score = host.check_output(f"systemd-analyze security {unit} | grep -oP 'for {unit}.service: \\K[0-9.]+'")
    assert float(score) <= 3.0
