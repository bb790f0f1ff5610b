"""The clock of the time-stamping service, and what vouches for it (RFC 3161 section 2.1, EN 319 421 section 7.7)."""

import asyncio
import logging
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

TRACKING = ("chronyc", "-n", "-c", "tracking")
PATIENCE_SECONDS = 2.0

# Columns of `chronyc -c tracking`, in the order of its long form.
_REFERENCE, _STRATUM, _OFFSET, _ROOT_DELAY, _ROOT_DISPERSION, _LEAP = 0, 2, 4, 10, 11, 13
_COLUMNS = 14
_UNREACHABLE_STRATUM = 16

log = logging.getLogger(__name__)


class ClockError(Exception):
    """The clock's error is not known; the message says why."""


class Clock(Protocol):
    """A clock that knows how wrong it may be."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def maximum_error_seconds(self) -> float:
        """How far `now` may be from UTC at most, either way. Raises ClockError when that is not known."""
        ...


def parse_tracking(line: str) -> float:
    """The maximum error in seconds by `chronyc -c tracking`: offset, dispersion and half the delay to the root.

    Raises ClockError when the clock is not synchronised or the line is not understood.
    """
    columns = line.strip().split(",")
    if len(columns) != _COLUMNS:
        raise ClockError(f"chronyc tracking gave {len(columns)} columns instead of {_COLUMNS}; check chrony's version")
    try:
        reference, stratum = int(columns[_REFERENCE], 16), int(columns[_STRATUM])
        offset, delay, dispersion = (float(columns[at]) for at in (_OFFSET, _ROOT_DELAY, _ROOT_DISPERSION))
    except ValueError as error:
        raise ClockError(f"chronyc tracking was not understood ({error}); check chrony's version") from error
    if columns[_LEAP] == "Not synchronised" or reference == 0 or not 0 < stratum < _UNREACHABLE_STRATUM:
        raise ClockError("chronyd is not synchronised; check its sources with `chronyc sources`")
    error_seconds = abs(offset) + dispersion + delay / 2
    if not 0 <= error_seconds < float("inf"):
        raise ClockError(f"chronyc tracking states an error of {error_seconds} s; check chronyd")
    return error_seconds


async def ask_chrony() -> str:
    """The output of `chronyc -c tracking`. Raises ClockError when chronyd does not answer in time."""
    try:
        # Not by the event loop: uvloop forks, and pkcs11-provider takes its locks in the child. One that a thread held
        # for its signature is never given back there, and the loop waits for the child. `subprocess` uses vfork.
        done = await asyncio.to_thread(_run_chronyc)
    except OSError as error:
        raise ClockError(f"chronyc cannot be run ({error.strerror}); install chrony") from error
    except subprocess.TimeoutExpired as error:
        raise ClockError(f"chronyc gave no answer within {PATIENCE_SECONDS:g} s; check that chronyd runs") from error
    if done.returncode != 0:
        raise ClockError(f"chronyc failed: {done.stdout.strip()}; check that chronyd runs")
    return done.stdout


def _run_chronyc() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        TRACKING,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@dataclass(frozen=True)
class _Measurement:
    error_seconds: float
    at: float
    """Monotonic seconds."""
    wall: float
    """Wall clock minus monotonic clock, in seconds: it moves when someone sets the clock."""


class ChronyClock:
    """The host's clock, watched by chrony.

    `watch` asks chrony in the background, so that no requester waits for it. Three missed answers and the error is no
    longer known; a clock set by hand in between counts as error at once.
    """

    def __init__(
        self,
        every_seconds: float,
        ask: Callable[[], Awaitable[str]] = ask_chrony,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._every_seconds = every_seconds
        self._ask, self._monotonic, self._wall = ask, monotonic, wall
        self._measurement: _Measurement | None = None
        self._trouble = "chrony has not been asked yet"

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self._wall(), UTC)

    def maximum_error_seconds(self) -> float:
        """How far `now` may be from UTC. Raises ClockError."""
        measurement = self._measurement
        if measurement is None or self._monotonic() - measurement.at > 3 * self._every_seconds:
            raise ClockError(self._trouble)
        return measurement.error_seconds + abs(self._wall() - self._monotonic() - measurement.wall)

    async def measure(self) -> None:
        """Ask chrony once."""
        try:
            error_seconds = parse_tracking(await self._ask())
        except ClockError as error:
            if str(error) != self._trouble:
                log.error("%s", error)
            self._trouble, self._measurement = str(error), None
            return
        monotonic = self._monotonic()
        self._measurement = _Measurement(error_seconds, monotonic, self._wall() - monotonic)
        self._trouble = "chrony was asked too long ago"

    async def watch(self) -> None:
        """Ask chrony now, and again and again until cancelled."""
        while True:
            await self.measure()
            await asyncio.sleep(self._every_seconds)
