"""The migrations and the SQL of the CA's tables."""

import argparse
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import psycopg
import pytest

from kepil.commands import database as database_command
from kepil.pki import migrations
from kepil.pki.der import SEQUENCE, Reader
from kepil.pki.migrations import Migration, MigrationError, migrate, pending, shipped
from kepil.pki.revocation import encoded_revocations
from kepil.pki.store import PIECE_BYTES, IssuedCertificate, IssuedCrl, Store, encode_serial

Connection = psycopg.Connection[Any]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def certificate(number: int = 1, days: int = 365) -> IssuedCertificate:
    now = datetime.now(UTC)
    return IssuedCertificate(
        serial=encode_serial(number),
        issuer="nca-rsa",
        subject="CN=somebody",
        profile="natural-person",
        not_before=now,
        not_after=now + timedelta(days=days),
        spki_sha256=number.to_bytes(32, "big"),
        der=b"der",
        requested_by="ra01",
        idempotency_sha256=None,
        request_sha256=bytes(32),
    )


def serials(pieces: Iterator[bytes]) -> list[int]:
    entries = Reader(b"".join(pieces))
    found = []
    while entries.more():
        found.append(entries.enter(SEQUENCE).integer())
    return found


class TestMigrations:
    def test_both_sets_define_the_same_status_table(self, create_database: Callable[[], str]) -> None:
        columns = []
        for which in ("authority", "replica"):
            conninfo = create_database()
            migrate(conninfo, shipped(which))
            with psycopg.connect(conninfo) as connection:
                columns.append(
                    connection.execute(
                        "select column_name, data_type, is_nullable from information_schema.columns "
                        "where table_name = 'status' order by 1"
                    ).fetchall()
                )
        assert columns[0] == columns[1]
        assert len(columns[0]) == 5

    def test_a_replica_holds_the_status_table_only(self, create_database: Callable[[], str]) -> None:
        """CP-9.3: no personal data leaves the core."""
        conninfo = create_database()
        migrate(conninfo, shipped("replica"))
        with psycopg.connect(conninfo) as connection:
            tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        assert {name for (name,) in tables} == {"status", "schema_migration"}

    def test_twice_changes_nothing(self, create_database: Callable[[], str]) -> None:
        conninfo = create_database()
        migrations = shipped("authority")
        assert pending(conninfo, migrations) == migrations
        assert migrate(conninfo, migrations) == migrations
        assert migrate(conninfo, migrations) == []
        assert pending(conninfo, migrations) == []

    def test_check_leaves_the_database_as_it_is(self, create_database: Callable[[], str]) -> None:
        conninfo = create_database()
        pending(conninfo, shipped("authority"))
        with psycopg.connect(conninfo) as connection:
            assert connection.execute("select to_regclass('status')").fetchone() == (None,)

    def test_a_changed_file_is_an_error(self, database: str) -> None:
        first, *others = shipped("authority")
        with pytest.raises(MigrationError, match="0001_status was changed after it was applied"):
            migrate(database, [replace(first, sql=first.sql + "\n"), *others])

    def test_an_unknown_migration_is_an_error(self, database: str) -> None:
        with pytest.raises(MigrationError, match="which this package lacks"):
            migrate(database, shipped("replica"))

    def test_one_out_of_order_is_an_error(self, database: str) -> None:
        early = Migration(0, "0000_early", "select 1")
        with pytest.raises(MigrationError, match="later number"):
            migrate(database, [early, *shipped("authority")])

    def test_a_failure_applies_nothing(self, create_database: Callable[[], str]) -> None:
        conninfo = create_database()
        good, bad = Migration(1, "0001_good", "create table good ()"), Migration(2, "0002_bad", "nonsense")
        with pytest.raises(MigrationError, match="0002_bad failed and was not applied"):
            migrate(conninfo, [good, bad])
        assert pending(conninfo, [good, bad]) == [good, bad]

    def test_an_index_is_built_while_the_service_works(self, create_database: Callable[[], str]) -> None:
        """Threat: an upgrade at noon that stops the issue of certificates until an index of millions is built."""
        conninfo = create_database()
        table = Migration(1, "0001_table", "create table thing (at int)")
        index = Migration(
            2, "0002_index", "-- Outside a transaction; so.\ndrop index concurrently if exists place;\n"
            "create index concurrently place on thing (at);\n",
        )  # fmt: skip
        migrate(conninfo, [table])
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("create index place on thing (at)")  # what an attempt that broke off has left
        assert migrate(conninfo, [table, index]) == [index]
        assert pending(conninfo, [table, index]) == []

    def test_who_must_wait_for_a_lock_gives_up(
        self, create_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Threat: it waits for one long report, and every certificate waits for it."""
        monkeypatch.setattr(migrations, "_LOCK_PATIENCE_SECONDS", 1)
        conninfo = create_database()
        table = Migration(1, "0001_table", "create table thing (at int)")
        wider = Migration(2, "0002_wider", "alter table thing add column more int")
        migrate(conninfo, [table])
        with psycopg.connect(conninfo) as report:
            report.execute("select * from thing")
            with pytest.raises(MigrationError, match="run it again when less goes on"):
                migrate(conninfo, [table, wider])
        assert migrate(conninfo, [table, wider]) == [wider]

    def test_two_at_once_apply_once(self, create_database: Callable[[], str]) -> None:
        conninfo, results = create_database(), list[int]()
        slow = [Migration(1, "0001_slow", "select pg_sleep(0.5); create table slow ()")]
        threads = [threading.Thread(target=lambda: results.append(len(migrate(conninfo, slow)))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [0, 0, 1]

    def test_the_command_says_what_changed(
        self, create_database: Callable[[], str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        parser = argparse.ArgumentParser()
        database_command.register(parser.add_subparsers())
        words = ["database", "migrate", "--database", create_database(), "--set", "replica"]
        last_lines = []
        for extra in (["--check"], [], [], ["--check"]):
            arguments = parser.parse_args([*words, *extra])
            assert arguments.run(arguments) == 0
            last_lines.append(capsys.readouterr().out.splitlines()[-1])
        assert last_lines == ["changed", "changed", "unchanged", "unchanged"]

    def test_the_command_names_the_remedy_when_no_server_answers(self) -> None:
        parser = argparse.ArgumentParser()
        database_command.register(parser.add_subparsers())
        arguments = parser.parse_args(["database", "migrate", "--database", "host=/nowhere", "--set", "replica"])
        with pytest.raises(MigrationError, match="check the server"):
            arguments.run(arguments)


class TestCertificates:
    @pytest.mark.clause("CP-3.3")
    def test_a_key_is_seen_once_whatever_the_authority(self, connection: Connection) -> None:
        store = Store(connection)
        store.insert_certificates(certificate(1))
        other = replace(certificate(2), issuer="nca-gost", spki_sha256=certificate(1).spki_sha256)
        with pytest.raises(psycopg.errors.UniqueViolation, match="key_seen_once"), connection.transaction():
            store.insert_certificates(other)
        assert store.certificate_by_serial(2) is None

    def test_what_is_stored_comes_back(self, connection: Connection) -> None:
        store = Store(connection)
        row = replace(certificate(2**126 + 7), idempotency_sha256=b"key")
        store.insert_certificates(row)
        assert store.certificate_by_serial(2**126 + 7) == row
        assert store.earlier_certificates([row.spki_sha256], []) == [row]
        assert store.earlier_certificates([b"another"], [b"key"]) == [row]
        assert store.earlier_certificates([b"another"], []) == []

    @pytest.mark.clause("CP-2.4")
    @pytest.mark.parametrize(
        "statement",
        [
            "update certificate set subject = 'CN=other'",
            "delete from certificate",
            "truncate certificate",
            "delete from status",
            "update crl set number = 7",
            "delete from journal",
            "update status set revoked_at = null, reason = null",
        ],
    )
    def test_nothing_is_rewritten(self, connection: Connection, statement: str) -> None:
        """Threat: who reaches the database as the CA itself covers a trace, or makes a revoked one good again."""
        store = Store(connection)
        row = certificate()
        store.insert_certificates(row)
        store.revoke(row.issuer, row.serial, 1)
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute(statement)

    def test_a_hold_is_no_reason(self, connection: Connection) -> None:
        store = Store(connection)
        row = certificate()
        store.insert_certificates(row)
        with pytest.raises(psycopg.errors.CheckViolation):
            store.revoke(row.issuer, row.serial, 6)


class TestCrls:
    def test_the_last_crl_of_a_kind(self, connection: Connection) -> None:
        store = Store(connection)
        now = datetime.now(UTC)
        complete = IssuedCrl("nca-rsa", 1, None, now, now + timedelta(hours=25))
        delta = IssuedCrl("nca-rsa", 2, 1, now, now + timedelta(hours=2))
        assert store.last_crl("nca-rsa") is None
        store.insert_crl(complete, BytesIO(b"complete"))
        store.insert_crl(delta, BytesIO(b"delta"))
        assert store.last_crl("nca-rsa") == delta
        assert store.last_crl("nca-rsa", complete=True) == complete
        assert store.last_crl("nca-rsa", complete=False) == delta
        assert store.last_crl("nca-gost") is None
        assert list(store.crl_pieces(complete)) == [b"complete"]

    @pytest.mark.parametrize("size", [0, PIECE_BYTES, 2 * PIECE_BYTES + 1])
    def test_a_crl_of_many_pieces(self, connection: Connection, size: int) -> None:
        """Nobody has it whole in memory, and it comes out as it went in."""
        store, octets, now = Store(connection), os.urandom(size), datetime.now(UTC)
        crl = IssuedCrl("nca-rsa", 1, None, now, now + timedelta(hours=25))
        store.insert_crl(crl, BytesIO(octets))
        pieces = list(store.crl_pieces(crl))
        assert b"".join(pieces) == octets
        assert all(len(piece) == PIECE_BYTES for piece in pieces[:-1])

    def test_a_cut_waits_for_revocations_under_way(self, database: str, connection: Connection) -> None:
        """Else a revocation dated before a complete CRL, but committed after it, is in no delta until the next one."""
        Store(connection).insert_certificates(certificate())
        cuts = list[datetime]()
        with psycopg.connect(database) as revoking:
            revoked_at = Store(revoking).revoke("nca-rsa", certificate().serial, 1)
            with psycopg.connect(database) as cutting:
                Store(cutting).lock_crls("nca-rsa")
                thread = threading.Thread(target=lambda: cuts.append(Store(cutting).cut("nca-rsa")))
                thread.start()
                thread.join(timeout=0.3)
                assert cuts == []
                revoking.commit()
                thread.join(timeout=10)
                assert revoked_at < cuts[0]
                # The cutting transaction is still open here: it must not hold up the next revocation.
                connection.execute("set lock_timeout = '2s'")
                Store(connection).insert_certificates(certificate(2))
                Store(connection).revoke("nca-rsa", certificate(2).serial, 1)

    def test_a_revoked_certificate_stays_for_one_crl_after_it_expires(self, connection: Connection) -> None:
        """RFC 5280 section 3.3."""
        store = Store(connection)
        store.insert_certificates(certificate(7))
        revoked_at = store.revoke("nca-rsa", certificate(7).serial, 1)
        before_expiry, after_expiry = revoked_at + timedelta(days=1), revoked_at + timedelta(days=400)
        with connection.transaction():
            assert serials(encoded_revocations([connection], "nca-rsa", before=after_expiry)) == [7]
            for last, before, expected in (
                (before_expiry, after_expiry, [7]),
                (after_expiry, after_expiry + timedelta(days=1), []),
            ):
                listed = encoded_revocations([connection], "nca-rsa", before=before, expired_since=last)
                assert serials(listed) == expected

    def test_a_delta_lists_what_the_complete_crl_lacks(self, connection: Connection) -> None:
        store = Store(connection)
        for number in (1, 2, 3):
            store.insert_certificates(certificate(number))
        store.revoke("nca-rsa", certificate(1).serial, 1)
        base = store.cut("nca-rsa")
        store.revoke("nca-rsa", certificate(2).serial, 4)
        now = store.cut("nca-rsa")
        store.revoke("nca-rsa", certificate(3).serial, 5)
        with connection.transaction():
            assert serials(encoded_revocations([connection], "nca-rsa", before=base)) == [1]
            assert serials(encoded_revocations([connection], "nca-rsa", since=base, before=now)) == [2]


def test_revocations_reach_a_replica(database: str, cluster: str, create_database: Callable[[], str]) -> None:
    """What an OCSP node does: subscribe to the publication `status` and read its own copy (design: zone status)."""
    replica = create_database()
    migrate(replica, shipped("replica"))
    name = psycopg.conninfo.conninfo_to_dict(replica)["dbname"]
    with psycopg.connect(database, autocommit=True) as primary:
        Store(primary).insert_certificates(certificate())
    as_administrator = database.replace("user=kepil_ca", "user=postgres")
    with psycopg.connect(as_administrator, autocommit=True) as administrator:
        administrator.execute("select pg_create_logical_replication_slot('replica', 'pgoutput')")
    with psycopg.connect(f"{cluster} dbname={name}", autocommit=True) as subscriber:
        subscriber.execute(
            f"create subscription replica connection '{as_administrator}' publication status "
            "with (create_slot = false, slot_name = replica)"
        )
        try:
            with psycopg.connect(database, autocommit=True) as primary:
                Store(primary).revoke("nca-rsa", certificate().serial, 1)
            deadline = datetime.now(UTC) + timedelta(seconds=20)
            while subscriber.execute("select reason from status").fetchall() != [(1,)]:
                assert datetime.now(UTC) < deadline, "the revocation did not arrive within 20 s"
        finally:
            subscriber.execute("drop subscription replica")


def test_a_migration_may_copy_in_batches(create_database: Callable[[], str]) -> None:
    conninfo = create_database()
    copy = (
        "-- Outside a transaction: a batch each.\ncreate table copied (x int);\n"
        "do $$ begin for n in 1..3 loop insert into copied values (n); commit; end loop; end $$;\n"
    )
    migrate(conninfo, [Migration(1, "0001_copied", copy)])
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("select count(*), count(distinct xmin::text) from copied").fetchall() == [(3, 3)]


OLDER_THAN_THE_RULE = {"0007_revocation", "0010_crl_piece"}
"""What was applied is never changed."""
WHOLE_TABLES = re.compile(
    r"\s*(insert\s+into\b.*\bselect\b.*\bfrom|update|delete|create\s+table\b.*\bas\s+select)\b", re.S
)
"""Statements that go through all rows in one transaction."""


def goes_through_whole_tables(sql: str) -> list[str]:
    """The statements outside function bodies and `do` blocks that do so."""
    bare = re.sub(r"\$(\w*)\$.*?\$\1\$", "", re.sub(r"--[^\n]*", "", sql.lower()), flags=re.S)
    return [statement.strip() for statement in bare.split(";") if WHOLE_TABLES.match(statement)]


@pytest.mark.parametrize("migration", [*shipped("authority"), *shipped("registration")], ids=lambda each: each.name)
def test_no_migration_holds_a_table_while_it_copies_it(migration: Migration) -> None:
    """Threat: an upgrade of a CA with ten million certificates stops every issue and every answer for minutes."""
    assert bool(goes_through_whole_tables(migration.sql)) == (migration.name in OLDER_THAN_THE_RULE)


@pytest.mark.parametrize(
    ("sql", "refused"),
    [
        ("insert into b (x)\n select x from a;", True),
        ("create table b as select x from a;", True),
        ("update a set x = 1;", True),
        ("insert into b values (1);", False),
        ("create function f() returns trigger as $$ begin insert into b select new.x from c; end $$;", False),
        ("do $$ begin loop insert into b select x from a limit 1000; commit; end loop; end $$;", False),
    ],
)
def test_what_the_rule_for_migrations_refuses(sql: str, refused: bool) -> None:
    assert bool(goes_through_whole_tables(sql)) is refused
