"""Certificate status, read from the node's own replica of the status table."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kepil.pki.store import encode_serial

PATIENCE_SECONDS = 2.0
"""How long a requester waits for the replica before being told to try later."""

_LOOKUP = "select serial, revoked_at, reason from status where issuer = %s and serial = any(%s)"
_AGE = """select extract(epoch from clock_timestamp() - max(last_msg_receipt_time))::float8
            from pg_stat_subscription where pid is not null"""


class StatusUnavailableError(Exception):
    """The status table cannot be read now."""


@dataclass(frozen=True)
class CertificateStatus:
    """What is known of an issued certificate. `reason` is a CRLReason (RFC 5280 section 5.3.1), None while good."""

    revoked_at: datetime | None = None
    reason: int | None = None


class StatusLookup(Protocol):
    """Where statuses come from."""

    async def __call__(self, authority: str, serials: Collection[int]) -> Mapping[int, CertificateStatus]:
        """Return the status of each serial that `authority` has issued; the others are absent. More may be there.

        Raises StatusUnavailableError.
        """
        ...


class GatheredLookups:
    """Requests that come while a lookup is under way share the next one.

    So the cost of a round trip to the database falls as load rises, and every answer still rests on a status read after
    its request came.
    """

    def __init__(self, look_up: StatusLookup) -> None:
        self._look_up = look_up
        self._waiting: dict[str, _Waiting] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __call__(self, authority: str, serials: Collection[int]) -> Mapping[int, CertificateStatus]:
        """Look the serials up (see StatusLookup)."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.setdefault(authority, _Waiting(set(), loop.create_future()))
        waiting.serials.update(serials)
        if authority not in self._tasks:
            self._tasks[authority] = loop.create_task(self._work_off(authority))
        return await asyncio.shield(waiting.found)  # one that gives up does not take the others along

    async def _work_off(self, authority: str) -> None:
        while waiting := self._waiting.pop(authority, None):
            try:
                waiting.found.set_result(await self._look_up(authority, waiting.serials))
            except Exception as error:  # whatever it is, it is theirs who wait
                waiting.found.set_exception(error)
        del self._tasks[authority]


@dataclass
class _Waiting:
    serials: set[int]
    found: asyncio.Future[Mapping[int, CertificateStatus]]


class StatusReplica:
    """The replica, through a small pool of connections."""

    def __init__(self, conninfo: str) -> None:
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=4,
            timeout=PATIENCE_SECONDS,
            max_waiting=256,
            kwargs={"autocommit": True, "options": f"-c statement_timeout={int(PATIENCE_SECONDS * 1000)}"},
            name="status",
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open()  # does not wait: without its database the service answers tryLater, but it answers
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def __call__(self, authority: str, serials: Collection[int]) -> Mapping[int, CertificateStatus]:
        """Look the serials up (see StatusLookup)."""
        encoded = {encode_serial(serial): serial for serial in serials if serial >= 0}
        try:
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_LOOKUP, (authority, list(encoded)))).fetchall()
        except (psycopg.Error, PoolTimeout) as error:
            raise StatusUnavailableError(f"status replica: {error}".strip()) from error
        return {encoded[serial]: CertificateStatus(revoked_at, reason) for serial, revoked_at, reason in rows}

    async def age_seconds(self) -> float | None:
        """Seconds since the primary was last heard of; None while the subscription is not running.

        Raises StatusUnavailableError.
        """
        try:
            async with self._pool.connection() as connection:
                row = await (await connection.execute(_AGE)).fetchone()
        except (psycopg.Error, PoolTimeout) as error:
            raise StatusUnavailableError(f"status replica: {error}".strip()) from error
        return row[0] if row else None
