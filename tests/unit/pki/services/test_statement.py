"""The connection on which statuses are looked up, against a real PostgreSQL: its errors, its end, and who gives up."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from kepil.pki import status
from kepil.pki.statement import Statements
from kepil.pki.status import CertificateStatus, StatusReplica, StatusUnavailableError

STATEMENTS = {
    "double": "(int) as select 2 * $1",
    "length": "(text) as select length($1)",
    "divide": "(int) as select 1 / $1",
    "sleep": "as select pg_sleep(60)::text",
    "backend": "as select pg_backend_pid()",
}


def with_statements(conninfo: str, scenario: Callable[[Statements], Awaitable[None]]) -> None:
    async def run() -> None:
        statements = await Statements.prepare(conninfo, "-c enable_seqscan=off", STATEMENTS)
        try:
            await scenario(statements)
        finally:
            statements.close()

    asyncio.run(run())


def test_rows_come_back_as_values_and_each_run_has_its_own(empty_replica: str) -> None:
    async def scenario(statements: Statements) -> None:
        assert [await statements.run("double", [b"%d" % each]) for each in range(3)] == [[(0,)], [(2,)], [(4,)]]

    with_statements(empty_replica, scenario)


def test_a_parameter_larger_than_the_socket_takes_at_once_arrives_whole(empty_replica: str) -> None:
    async def scenario(statements: Statements) -> None:
        assert await statements.run("length", [b"x" * 5_000_000]) == [(5_000_000,)]

    with_statements(empty_replica, scenario)


def test_an_error_is_raised_with_what_the_server_says(empty_replica: str) -> None:
    async def scenario(statements: Statements) -> None:
        with pytest.raises(psycopg.Error, match="division by zero"):
            await statements.run("divide", [b"0"])
        assert statements.closed

    with_statements(empty_replica, scenario)


def test_the_result_of_one_that_gave_up_is_never_given_to_the_next(empty_replica: str) -> None:
    async def scenario(statements: Statements) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await statements.run("sleep")
        assert statements.closed

    with_statements(empty_replica, scenario)


def test_a_server_that_ends_the_connection_is_noticed_while_nothing_is_asked(empty_replica: str) -> None:
    async def scenario(statements: Statements) -> None:
        ((backend,),) = await statements.run("backend")
        with psycopg.connect(empty_replica, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", (backend,))
        async with asyncio.timeout(30):
            while not statements.closed:
                await asyncio.sleep(0.01)

    with_statements(empty_replica, scenario)


@pytest.fixture
def filled_replica(empty_replica: str) -> str:
    with psycopg.connect(empty_replica) as connection:
        connection.execute("insert into status values ('rsa', '\\x0102', now() + interval '1 day')")
    return empty_replica


def test_the_replica_is_read_again_once_its_server_has_ended_the_connections(filled_replica: str) -> None:
    """Threat: a restart of PostgreSQL leaves a node that answers nothing until it is restarted too."""

    async def scenario() -> None:
        async with StatusReplica(filled_replica) as replica:
            assert await replica("rsa", [0x102, 7, -1]) == {0x102: CertificateStatus()}
            with psycopg.connect(filled_replica, autocommit=True) as other:
                ended = "select count(pg_terminate_backend(pid)) from pg_stat_activity where pid <> pg_backend_pid()"
                assert other.execute(f"{ended} and datname = current_database()").fetchone() == (1,)
            async with asyncio.timeout(30):
                while True:
                    try:
                        assert await replica("rsa", [0x102]) == {0x102: CertificateStatus()}
                        break
                    except StatusUnavailableError:  # asked before the farewell was read
                        await asyncio.sleep(0.01)

    asyncio.run(scenario())


def test_a_server_that_is_frozen_is_waited_for_no_longer_than_said(
    filled_replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: a database that hangs takes every requester, and the health that would tell, with it."""

    async def scenario() -> None:
        async with StatusReplica(filled_replica) as replica:
            await replica("rsa", [0x102])
            with psycopg.connect(filled_replica, autocommit=True) as other:
                row = other.execute(
                    "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                ).fetchone()
                assert row
                os.kill(row[0], signal.SIGSTOP)
                monkeypatch.setattr(status, "PATIENCE_SECONDS", 0.2)
                try:
                    with pytest.raises(StatusUnavailableError, match="silent"):
                        await replica("rsa", [0x102])
                finally:
                    os.kill(row[0], signal.SIGCONT)

    asyncio.run(scenario())
