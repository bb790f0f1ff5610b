"""What the CA and its CRLs ask of the database takes an index, however many certificates there are (EXPLAIN)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from kepil.pki.migrations import migrate, shipped
from kepil.pki.revocation import encoded_revocations
from kepil.pki.store import Store
from tests.bench.sample import fill

CERTIFICATES, REVOKED = 20_000, 5_000
Ask = Callable[[psycopg.Connection[Any]], object]


@pytest.fixture(scope="module")
def filled(create_database: Callable[[], str]) -> str:
    """A database with certificates, some revoked in each hour; its administrator's connection string."""
    conninfo = create_database()
    migrate(conninfo, shipped("authority"))
    administrator = conninfo.replace("user=kepil_ca", "user=postgres")
    fill(administrator, CERTIFICATES, octets=300)
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(
            "update status set reason = 1, revoked_at = now() - number * interval '5 minutes' from "
            "(select serial as one, row_number() over () as number from status limit %s) s where serial = one",
            [REVOKED],
        )
        connection.execute("analyze")
    return administrator


@pytest.fixture
def plans(filled: str) -> Iterator[tuple[psycopg.Connection[Any], list[str]]]:
    """A connection, and the plan of each statement that it runs, those inside functions too."""
    with psycopg.connect(filled) as connection:
        found = list[str]()
        connection.execute("load 'auto_explain'")
        for setting in ("log_min_duration = 0", "log_nested_statements = on", "log_level = notice"):
            connection.execute(f"set auto_explain.{setting}".encode())
        connection.execute("set client_min_messages = notice")
        connection.add_notice_handler(lambda notice: found.append(notice.message_primary or ""))
        yield connection, found
        connection.rollback()


def some_serial(connection: psycopg.Connection[Any]) -> bytes:
    row = connection.execute(
        "select serial from status where issuer = 'nca-rsa' order by serial desc limit 1"
    ).fetchone()
    assert row
    return bytes(row[0])


ASKED: dict[str, tuple[Ask, set[str]]] = {
    "a serial number": (lambda c: Store(c).certificate_by_serial(2**100), {"certificate_pkey"}),
    "a key and a retry": (
        lambda c: Store(c).earlier_certificates([bytes(32)], [bytes(32)]),
        {"key_seen_once", "idempotency_key_once"},
    ),
    "a status": (lambda c: Store(c).lock_status("nca-rsa", b"\1"), {"status_pkey"}),
    "a revocation": (lambda c: Store(c).revoke("nca-rsa", some_serial(c), 1), {"status_pkey"}),
    "what a delta lists": (
        lambda c: list(
            encoded_revocations([c], "nca-rsa", since=datetime.now(UTC) - timedelta(hours=1), before=datetime.now(UTC))
        ),
        {"revocation_pkey"},
    ),
    "a day of the journal": (
        lambda c: c.execute(
            "select count(*) from journal where at >= now() and at < now() + interval '1 day'"
        ).fetchall(),
        {"journal_at"},
    ),
}


@pytest.mark.parametrize("what", ASKED)
def test_no_table_is_read_from_end_to_end(plans: tuple[psycopg.Connection[Any], list[str]], what: str) -> None:
    connection, found = plans
    ask, indexes = ASKED[what]
    ask(connection)
    connection.execute("select")  # what was planned is told when the next one begins
    plan = "\n".join(found)
    assert "Seq Scan" not in plan, plan
    assert indexes <= {index for index in indexes if f"on {index}" in plan or f"using {index}" in plan}, plan
