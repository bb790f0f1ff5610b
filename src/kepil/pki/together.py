"""Requests that come while others are being served, served together: nobody waits for company, many share a commit."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Generic, TypeVar

from kepil.pki.signer import SignerError
from kepil.pki.signing import PATIENCE_SECONDS

T = TypeVar("T")
R = TypeVar("R")

MOST: Final = 32
"""Requests that are served at once, and fail together when the database does."""


class Together(Generic[T, R]):
    """A thread that serves all requests that wait, then all that have come in the meantime, and so on.

    `serve` gives for each request the answer, or the exception that its sender gets. A requester waits as long as for
    `SigningThreads`; a request that nobody waits for any more is not served. For one event loop.
    """

    def __init__(
        self, serve: Callable[[Sequence[T]], Sequence[R | Exception]], patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._serve, self._patience_seconds = serve, patience_seconds
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="together")
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._busy = False

    async def run(self, request: T) -> R:
        """The answer. Raises SignerError when it takes too long, and what `serve` gives or raises."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if not self._busy:
            self._begin()
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await future
        except TimeoutError as error:
            raise SignerError(
                f"no signature within {self._patience_seconds:g} s; check that the HSM answers"
            ) from error

    def close(self) -> None:
        """Stop without waiting for what is still blocked."""
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self) -> None:
        taken = list[tuple[T, asyncio.Future[R]]]()
        while self._waiting and len(taken) < MOST:
            request, future = self._waiting.popleft()
            if not future.done():
                taken.append((request, future))
        self._busy = bool(taken)
        if taken:
            requests, futures = zip(*taken, strict=True)
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._outcomes, requests)
            work.add_done_callback(partial(self._answer, futures))

    def _answer(self, futures: Sequence[asyncio.Future[R]], work: asyncio.Future[Sequence[R | Exception]]) -> None:
        if not work.cancelled():  # as it is when the service ends
            self._begin()
            for future, outcome in zip(futures, work.result(), strict=True):
                if future.done():
                    continue  # nobody waits for it any more
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def _outcomes(self, requests: Sequence[T]) -> Sequence[R | Exception]:
        """What the thread runs."""
        try:
            return self._serve(requests)
        except Exception as error:
            return [error] * len(requests)
