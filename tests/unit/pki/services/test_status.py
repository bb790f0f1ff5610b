"""Lookups that share a round trip."""

import asyncio
from collections.abc import Collection, Mapping

from kepil.pki.status import CertificateStatus, GatheredLookups, StatusUnavailableError

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
