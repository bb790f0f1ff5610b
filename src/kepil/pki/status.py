"""Certificate status, read from the node's own replica of the status table."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self

import psycopg

from kepil.pki.statement import Row, Statements
from kepil.pki.store import encode_serial

PATIENCE_SECONDS = 2.0
"""How long a requester waits for the replica before being told to try later."""

PRIMARY_SILENCE_SECONDS = 60
"""PostgreSQL's default for wal_receiver_timeout; an idle primary speaks twice in it."""

_LOOK_SECONDS = 10

_MOST_IDLE = 4

_STATEMENTS: Final = {
    "look_up": """(text, bytea[]) as
                  select serial, revoked_at, reason from status where issuer = $1 and serial = any($2)""",
    "age": """as select extract(epoch from clock_timestamp() - max(last_msg_receipt_time))::float8
              from pg_stat_subscription where pid is not null""",
}

# Planned once, and by the primary key however few rows there were when it was.
_OPTIONS: Final = " ".join(
    f"-c {setting}"
    for setting in (
        f"statement_timeout={int(PATIENCE_SECONDS * 1000)}",
        "plan_cache_mode=force_generic_plan",
        "enable_seqscan=off",
    )
)

log = logging.getLogger(__name__)


class StatusUnavailableError(Exception):
    """The status table cannot be read now."""


class CertificateStatus(NamedTuple):
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
        waiting = self._waiting.get(authority)
        if waiting is None:
            waiting = self._waiting[authority] = _Waiting(set(), [])
        waiting.serials.update(serials)
        found: asyncio.Future[Mapping[int, CertificateStatus]] = loop.create_future()
        waiting.found.append(found)  # one for each, so that one that gives up does not take the others along
        if authority not in self._tasks:
            self._tasks[authority] = loop.create_task(self._work_off(authority))
        return await found

    async def _work_off(self, authority: str) -> None:
        while waiting := self._waiting.pop(authority, None):
            try:
                statuses = await self._look_up(authority, waiting.serials)
            except Exception as error:  # whatever it is, it is theirs who wait
                for found in waiting.still:
                    found.set_exception(error)
            else:
                for found in waiting.still:
                    found.set_result(statuses)
        del self._tasks[authority]


class _Waiting(NamedTuple):
    serials: set[int]
    found: list[asyncio.Future[Mapping[int, CertificateStatus]]]

    @property
    def still(self) -> Iterator[asyncio.Future[Mapping[int, CertificateStatus]]]:
        return (found for found in self.found if not found.done())


class StatusReplica:
    """The replica, through a few connections that it opens as needed and keeps."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._idle: list[Statements] = []

    async def __aenter__(self) -> Self:
        return self  # connects when asked: without its database the service answers tryLater, but it answers

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            self._idle.pop().close()

    async def __call__(self, authority: str, serials: Collection[int]) -> Mapping[int, CertificateStatus]:
        """Look the serials up (see StatusLookup)."""
        encoded = ",".join([f'"\\\\x{encode_serial(serial).hex()}"' for serial in serials if serial >= 0])
        rows = await self._run("look_up", [authority.encode(), f"{{{encoded}}}".encode()])
        from_bytes = int.from_bytes
        return {from_bytes(serial): CertificateStatus(revoked_at, reason) for serial, revoked_at, reason in rows}

    async def age_seconds(self) -> float | None:
        """Seconds since the primary was last heard of; None while the subscription is not running.

        Raises StatusUnavailableError.
        """
        ((age,),) = await self._run("age")
        return age  # type: ignore[no-any-return]  # float8

    async def _run(self, name: str, parameters: list[bytes | None] | None = None) -> list[Row]:
        """Run one of _STATEMENTS. Raises StatusUnavailableError."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                statements = await self._take()
                rows = await statements.run(name, parameters)
        except (psycopg.Error, TimeoutError) as error:
            raise StatusUnavailableError(
                f"status replica: {str(error) or f'silent for {PATIENCE_SECONDS:g} s'}"
            ) from error
        if len(self._idle) < _MOST_IDLE:
            self._idle.append(statements)
        else:
            statements.close()
        return rows

    async def _take(self) -> Statements:
        while self._idle:
            statements = self._idle.pop()
            if not statements.closed:  # by the server's farewell
                return statements
        return await Statements.prepare(self._conninfo, _OPTIONS, _STATEMENTS)


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
