"""Certificate status, read from the node's own replica of the status table."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kepil.pki.store import encode_serial

PATIENCE_SECONDS = 2.0
"""How long a requester waits for the replica before being told to try later."""

PRIMARY_SILENCE_SECONDS = 60
"""PostgreSQL's default for wal_receiver_timeout; an idle primary speaks twice in it."""

_LOOK_SECONDS = 10

_LOOKUP = "select serial, revoked_at, reason from status where issuer = %s and serial = any(%s)"
_AGE = """select extract(epoch from clock_timestamp() - max(last_msg_receipt_time))::float8
            from pg_stat_subscription where pid is not null"""


log = logging.getLogger(__name__)


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


class PrimaryContact:
    """Until when the replica is known to have followed the primary: what it says was right then.

    The instant is also the time of a file, `memory`, so that a process that starts while the primary is away knows it.
    """

    def __init__(self, age_seconds: Callable[[], Awaitable[float | None]], memory: Path | None = None) -> None:
        self._age_seconds = age_seconds
        self._memory = memory
        self._heard: datetime | None = None
        if memory and memory.exists():
            self._heard = datetime.fromtimestamp(memory.stat().st_mtime, UTC)

    def known_at(self, now: datetime) -> datetime:
        """When the statuses were last known to be right: now, while the primary is there or was never heard."""
        if self._heard is None or now - self._heard <= timedelta(seconds=PRIMARY_SILENCE_SECONDS):
            return now
        return self._heard

    async def look(self) -> None:
        """Ask the replica once."""
        try:
            age = await self._age_seconds()
            if age is None:
                return
            self._heard = datetime.now(UTC) - timedelta(seconds=age)
            if self._memory:
                self._memory.touch()
                os.utime(self._memory, (self._heard.timestamp(),) * 2)
        except (StatusUnavailableError, OSError) as error:
            log.error("when the primary was heard of is not known, or not kept: %s", error)

    async def watch(self) -> None:
        """Ask now, and again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)
