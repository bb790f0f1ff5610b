"""Prepared statements on one database connection, run from the event loop by callbacks.

psycopg runs any statement for anyone, at several times what PostgreSQL itself spends on a look-up by key. Here it opens
the connection and decodes rows; between them is its interface to libpq (`psycopg.pq`), and the loop watches the socket
for good.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

Row = tuple[Any, ...]


class Statements:
    """One connection with statements prepared, which runs one at a time. Made by `Statements.prepare`.

    Once anything has failed, the caller that waits for a result among it, it is closed and stays so.
    """

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection
        self._libpq: PGconn = connection.pgconn
        self._socket = self._libpq.socket
        self._rows = Transformer(connection)
        self._result: PGresult | None = None
        self._waiter: asyncio.Future[list[Row]] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)
        self.closed = False

    @classmethod
    async def prepare(cls, conninfo: str, options: str, statements: Mapping[str, str]) -> Self:
        """Connect, with `options` for the session, and prepare the statements. Raises psycopg.Error.

        `statements` are what follows PREPARE and their names: the types of parameters, AS and the statement itself.
        """
        connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, options=options)
        try:
            for name, statement in statements.items():
                await connection.execute(f"prepare {name} {statement}".encode())
        except BaseException:
            connection.pgconn.finish()
            raise
        return cls(connection)

    async def run(self, name: str, parameters: list[bytes | None] | None = None) -> list[Row]:
        """The rows of a prepared statement; parameters as PostgreSQL reads them from text. Raises psycopg.Error."""
        if self._waiter is not None:
            raise RuntimeError("one statement at a time")
        self._waiter = self._loop.create_future()
        try:
            self._libpq.send_query_prepared(name.encode(), parameters or [], result_format=Format.BINARY)
            self._write()
            return await self._waiter
        except BaseException:  # after a waiter that gives up, too: its result must not be taken for the next one's
            self.close()
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        """End the connection, whatever it is doing."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._libpq.finish()

    def _write(self) -> None:
        if self._libpq.flush():  # the socket is full
            self._loop.add_writer(self._socket, self._go_on_writing)

    def _go_on_writing(self) -> None:
        try:
            self._loop.remove_writer(self._socket)
            self._write()
        except psycopg.Error as error:
            self._fail(error)

    def _read(self) -> None:
        """What the server has sent: a result and that there is no other; or, between statements, its farewell."""
        try:
            self._libpq.consume_input()
            while not self._libpq.is_busy():
                result = self._libpq.get_result()
                if result is None:
                    self._finish()
                    return
                self._result = result
        except psycopg.Error as error:
            self._fail(error)

    def _finish(self) -> None:
        result, self._result = self._result, None
        if result is None or self._waiter is None or self._waiter.done():
            return
        if result.status != ExecStatus.TUPLES_OK:
            self._fail(psycopg.OperationalError(result.error_message.decode(errors="replace").strip()))
            return
        self._rows.set_pgresult(result)
        self._waiter.set_result(self._rows.load_rows(0, result.ntuples, tuple))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
