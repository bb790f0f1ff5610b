"""From the CA's host: the database knows it by its certificate, as one role, and in no other way (CP-2.4, CP-6.7)."""

from typing import Any

import pytest

testinfra_hosts = ["ansible://ca"]

CONNECT = """
import sys, psycopg
with psycopg.connect(sys.stdin.read()) as connection:
    print(connection.execute("select current_user").fetchone()[0])
"""
IDENTITY = "sslcert=/etc/ssl/kepil/internal.crt sslkey=/etc/ssl/private/kepil-internal.key"


def connect(host: Any, inventory: dict[str, Any], role: str, tls: str) -> Any:
    """Try to connect to the primary as a role."""
    primary = inventory["_meta"]["hostvars"][inventory["database"]["hosts"][0]]["estate_fqdn"]
    conninfo = f"host={primary} dbname=kepil user={role} sslrootcert=/etc/ssl/kepil/internal-ca.crt {tls}"
    return host.run("printf %%s %s | /usr/bin/python3 -c %s", conninfo, CONNECT)


def test_own_certificate_opens_own_role(host: Any, inventory: dict[str, Any]) -> None:
    """The CA is let in without a password: its certificate says who it is."""
    answer = connect(host, inventory, "kepil_ca", f"sslmode=verify-full {IDENTITY}")
    assert answer.stdout.strip() == "kepil_ca", answer.stderr


@pytest.mark.parametrize(
    ("role", "tls", "reason"),
    [
        ("kepil_ca", "sslmode=verify-full sslcert=/nonexistent", "valid client certificate"),
        ("kepil_ca", "sslmode=disable", "no encryption"),
        ("kepil_ca", f"sslmode=verify-full ssl_max_protocol_version=TLSv1.2 {IDENTITY}", "protocol version"),
        ("kepil_ocsp", f"sslmode=verify-full {IDENTITY}", "rejects connection"),
        ("postgres", f"sslmode=verify-full {IDENTITY}", "rejects connection"),
    ],
)
def test_anything_else_is_refused(host: Any, inventory: dict[str, Any], role: str, tls: str, reason: str) -> None:
    """Threats: no certificate, no TLS, old TLS, another service's role, the superuser from afar."""
    answer = connect(host, inventory, role, tls)
    assert answer.rc != 0
    assert reason in answer.stderr


def test_password_needs_the_certificate_too(host: Any, inventory: dict[str, Any], variables: dict[str, Any]) -> None:
    """SCRAM, where a service must use it, comes on top of the host's certificate."""
    password = f"password={variables['molecule_password']}"
    right = connect(host, inventory, "molecule_scram", f"sslmode=verify-full {IDENTITY} {password}")
    assert right.stdout.strip() == "molecule_scram", right.stderr
    wrong = connect(host, inventory, "molecule_scram", f"sslmode=verify-full {IDENTITY} password=wrong")
    assert "password authentication failed" in wrong.stderr
    bare = connect(host, inventory, "molecule_scram", f"sslmode=verify-full sslcert=/nonexistent {password}")
    assert "valid client certificate" in bare.stderr


def test_another_hosts_certificate_does_not_open_the_role(host: Any, inventory: dict[str, Any]) -> None:
    """Threat: a host of the estate that is not the CA comes from the CA's address with its own certificate."""
    assert host.file("/root/stranger.key").exists, "prepare.yml makes it"
    stranger = "sslcert=/root/stranger.crt sslkey=/root/stranger.key"
    answer = connect(host, inventory, "kepil_ca", f"sslmode=verify-full {stranger}")
    assert answer.rc != 0
    assert "authentication failed" in answer.stderr
