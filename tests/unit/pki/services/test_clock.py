"""What chrony says, and what it makes the clock worth."""

import asyncio
import subprocess
import sys

import pytest

from kepil.pki import clock
from kepil.pki.clock import ChronyClock, ClockError, parse_tracking

GOOD = "C6120001,198.18.0.1,3,1763700000.1,-0.000200000,0.000000001,0.000010,-5.2,0.01,0.2,0.004,0.001,64.2,Normal\n"


def test_the_error_is_offset_dispersion_and_half_the_delay() -> None:
    assert parse_tracking(GOOD) == pytest.approx(0.0002 + 0.001 + 0.002)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (GOOD.replace("Normal", "Not synchronised"), "not synchronised"),
        (GOOD.replace("C6120001,", "00000000,"), "not synchronised"),
        (GOOD.replace(",3,1763", ",0,1763"), "not synchronised"),
        (GOOD.replace(",3,1763", ",16,1763"), "not synchronised"),
        (GOOD.replace("0.001,64.2", "nan,64.2"), "an error of nan"),
        (GOOD.replace("0.001,64.2", "much,64.2"), "not understood"),
        ("506 Cannot talk to daemon\n", "1 columns"),
    ],
)
def test_a_clock_without_known_error(line: str, complaint: str) -> None:
    with pytest.raises(ClockError, match=complaint):
        parse_tracking(line)


class Bench:
    """A ChronyClock whose surroundings the test moves."""

    def __init__(self) -> None:
        self.monotonic, self.wall, self.line = 100.0, 1_763_700_000.0, GOOD
        self.clock = ChronyClock(4, self.ask, lambda: self.monotonic, lambda: self.wall)

    async def ask(self) -> str:
        if not self.line:
            raise ClockError("chronyd is away")
        return self.line

    def measure(self) -> None:
        asyncio.run(self.clock.measure())

    def pass_time(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


def test_unknown_before_the_first_answer() -> None:
    with pytest.raises(ClockError, match="not been asked"):
        Bench().clock.maximum_error_seconds()


def test_an_answer_holds_for_a_while_only() -> None:
    bench = Bench()
    bench.measure()
    bench.pass_time(11)
    assert bench.clock.maximum_error_seconds() == pytest.approx(0.0032)
    bench.pass_time(2)
    with pytest.raises(ClockError, match="too long ago"):
        bench.clock.maximum_error_seconds()


def test_a_failure_counts_at_once_and_is_mended_by_the_next_answer() -> None:
    bench = Bench()
    bench.measure()
    bench.line = ""
    bench.measure()
    with pytest.raises(ClockError, match="away"):
        bench.clock.maximum_error_seconds()
    bench.line = GOOD
    bench.measure()
    assert bench.clock.maximum_error_seconds() < 1


def test_a_clock_set_by_hand_is_wrong_by_the_step() -> None:
    bench = Bench()
    bench.measure()
    bench.wall -= 3600
    assert bench.clock.maximum_error_seconds() == pytest.approx(3600, abs=0.01)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("/nowhere/chronyc",), "cannot be run"),
        (("sh", "-c", "echo 506 Cannot talk to daemon; exit 1"), "506 Cannot talk to daemon"),
        (("sleep", "30"), "no answer within"),
    ],
)
def test_chronyc_that_does_not_help(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], complaint: str) -> None:
    monkeypatch.setattr(clock, "TRACKING", command)
    monkeypatch.setattr(clock, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(ClockError, match=complaint):
        asyncio.run(clock.ask_chrony())


def test_watching_goes_on() -> None:
    bench = Bench()

    async def scenario() -> float:
        fast = ChronyClock(0.01, bench.ask)
        task = asyncio.create_task(fast.watch())
        bench.line = ""
        await asyncio.sleep(0.02)
        bench.line = GOOD
        await asyncio.sleep(0.05)
        error_seconds = fast.maximum_error_seconds()
        task.cancel()
        return error_seconds

    assert asyncio.run(scenario()) < 1


@pytest.mark.parametrize("ticks", range(6))
def test_watching_ends_when_cancelled_though_chrony_has_just_answered(
    monkeypatch: pytest.MonkeyPatch, ticks: int
) -> None:
    """The cancellation and the answer may meet at any turn of the event loop; it must never be swallowed."""

    class Process:
        returncode = 0

        def __init__(self) -> None:
            self.answered = asyncio.Event()

        async def communicate(self) -> tuple[bytes, None]:
            await self.answered.wait()
            return GOOD.encode(), None

    async def scenario() -> bool:
        process = Process()

        async def start(*_command: str, **_options: object) -> Process:
            return process

        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        task = asyncio.create_task(ChronyClock(3600).watch())
        await asyncio.sleep(0.01)
        process.answered.set()
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=0.5)
        ended = task.cancelled()
        task.cancel()
        return ended

    assert asyncio.run(scenario())


FORKS = """
import ctypes, sys, uvloop
from kepil.pki import clock
forks = []
note = ctypes.CFUNCTYPE(None)(lambda: forks.append(1))
assert ctypes.CDLL(None).__register_atfork(note, None, None, None) == 0
clock.TRACKING = ("echo", "answered")
print(uvloop.run(clock.ask_chrony()).strip(), len(forks))
"""


def test_asking_runs_no_fork_handlers() -> None:
    """Threat: pkcs11-provider's waits in the child for a lock of a signing thread, and the service for its child."""
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True)
    assert done.stdout == "answered 0\n"
