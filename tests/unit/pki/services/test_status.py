"""Lookups that share a round trip, and how old what they find may be."""

import asyncio
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kepil.pki.status import CertificateStatus, GatheredLookups, PrimaryContact, StatusUnavailableError

GOOD = CertificateStatus()


class Replica:
    """Knows even serials; answers when the test lets it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, set[int]]] = []
        self.go = asyncio.Event()
        self.broken = False

    async def __call__(self, authority: str, serials: Collection[int]) -> Mapping[int, CertificateStatus]:
        self.asked.append((authority, set(serials)))
        await self.go.wait()
        if self.broken:
            raise StatusUnavailableError("down")
        return {serial: GOOD for serial in serials if serial % 2 == 0}


async def started(*tasks: asyncio.Task[Mapping[int, CertificateStatus]]) -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_what_comes_while_a_lookup_is_under_way_waits_for_the_next_and_shares_it() -> None:
    async def scenario() -> None:
        replica = Replica()
        look_up = GatheredLookups(replica)
        first = asyncio.create_task(look_up("rsa", [1, 2]))
        await started(first)
        later = [asyncio.create_task(look_up("rsa", [serial])) for serial in (3, 4, 4)]
        other = asyncio.create_task(look_up("gost", [2]))
        await started(*later, other)
        assert replica.asked == [("rsa", {1, 2}), ("gost", {2})]
        later[0].cancel()  # who gives up does not take the others along
        replica.go.set()
        assert [4 in await each for each in later[1:]] == [True, True]
        assert await first == {2: GOOD}
        assert await other == {2: GOOD}
        assert replica.asked[2:] == [("rsa", {3, 4})]
        assert await look_up("rsa", [6]) == {6: GOOD}

    asyncio.run(scenario())


def test_all_who_share_a_lookup_share_its_failure_and_the_next_is_tried() -> None:
    async def scenario() -> None:
        replica = Replica()
        replica.go.set()
        replica.broken = True
        look_up = GatheredLookups(replica)
        failed = await asyncio.gather(*[look_up("rsa", [2]) for _ in range(3)], return_exceptions=True)
        assert {type(each) for each in failed} == {StatusUnavailableError}
        replica.broken = False
        assert await look_up("rsa", [2]) == {2: GOOD}

    asyncio.run(scenario())


async def silent() -> None:
    """The age where no subscription runs."""
    return


@pytest.mark.parametrize(("age", "expected"), [(0.5, 0), (59, 0), (3600, 3600)])
def test_statuses_are_known_to_be_right_as_of_when_the_primary_was_heard(
    tmp_path: Path, age: float, expected: int
) -> None:
    """RFC 6960 section 2.4. A process that starts while the primary is away knows it from the one before."""

    async def aged() -> float:
        return age

    memory = tmp_path / "heard"
    for heard in (aged, silent):
        contact = PrimaryContact(heard, memory)
        asyncio.run(contact.look())
        now = datetime.now(UTC)
        assert abs(now - contact.known_at(now) - timedelta(seconds=expected)) < timedelta(seconds=30)


def test_what_was_never_heard_is_right_now() -> None:
    contact = PrimaryContact(silent)
    asyncio.run(contact.look())
    now = datetime.now(UTC)
    assert contact.known_at(now) == now


def test_neither_a_replica_that_is_down_nor_a_full_disk_ends_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def down() -> float:
        raise StatusUnavailableError("down")

    async def hour() -> float:
        return 3600

    with caplog.at_level(logging.ERROR):
        asyncio.run(PrimaryContact(down).look())
        contact = PrimaryContact(hour, tmp_path / "nowhere" / "heard")
        asyncio.run(contact.look())
    assert len(caplog.records) == 2
    now = datetime.now(UTC)
    assert contact.known_at(now) < now
