"""Requests that wait are served together, and what happens to one is its sender's alone."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from kepil.pki import together
from kepil.pki.signer import SignerError
from kepil.pki.together import Together


class Service:
    """Doubles numbers; the first round waits until it is let go."""

    def __init__(self) -> None:
        self.rounds, self.go = list[list[int]](), threading.Event()

    def __call__(self, requests: Sequence[int]) -> Sequence[int | Exception]:
        self.rounds.append(list(requests))
        assert self.go.wait(10)
        if 13 in requests:
            raise KeyError("the database is away")
        return [ValueError("odd") if request % 2 else 2 * request for request in requests]


async def asked(served: Together[int, int], *requests: int) -> list[asyncio.Task[int]]:
    """So many requests that wait now."""
    tasks = [asyncio.create_task(served.run(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


async def _all(tasks: list[asyncio.Task[int]]) -> list[Any]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


@pytest.fixture
def service() -> Service:
    return Service()


def test_what_comes_meanwhile_is_served_at_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 3)

    async def act() -> None:
        served = Together(service)
        tasks = await asked(served, 0, 2, 4, 6, 8)
        service.go.set()
        assert await _all(tasks) == [0, 4, 8, 12, 16]
        served.close()

    asyncio.run(act())
    assert service.rounds == [[0], [2, 4, 6], [8]]


def test_one_that_fails_does_not_hinder_the_others(service: Service) -> None:
    async def act() -> None:
        served = Together(service)
        tasks = await asked(served, 0, 1, 2)
        service.go.set()
        first, second, third = await _all(tasks)
        assert (first, str(second), third) == (0, "odd", 4)
        with pytest.raises(KeyError):
            await served.run(13)
        assert await served.run(4) == 8, "and the next round is served"
        served.close()

    asyncio.run(act())


def test_who_has_given_up_is_not_served(service: Service) -> None:
    """Threat: an HSM thaws, and issues what its sender was told would not be."""

    async def act() -> None:
        served = Together(service, patience_seconds=0.05)
        tasks = await asked(served, 0, 2)
        assert [type(outcome) for outcome in await _all(tasks)] == [SignerError, SignerError]
        last = await asked(served, 4)
        service.go.set()
        assert await _all(last) == [8]
        served.close()

    asyncio.run(act())
    assert service.rounds == [[0], [4]]
