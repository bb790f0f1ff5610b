"""Signatures beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from kepil.pki.signer import SignerError

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
PATIENCE_SECONDS = 10.0


class SigningThreads:
    """A few threads that build and sign answers.

    A frozen HSM blocks a call for ever. A requester waits PATIENCE_SECONDS for it, and what it can hold up are these
    threads and no more; they serve again when it thaws.
    """

    def __init__(self, threads: int = THREADS, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="sign")
        self._patience_seconds = patience_seconds

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in a thread. Raises SignerError when it takes too long, and whatever it raises."""
        work = asyncio.get_running_loop().run_in_executor(self._executor, partial(function, *args, **kwargs))
        try:
            async with asyncio.timeout(self._patience_seconds):
                return await work
        except TimeoutError as error:
            raise SignerError(
                f"no signature within {self._patience_seconds:g} s; check that the HSM answers"
            ) from error

    def close(self) -> None:
        """Stop without waiting for what is still blocked."""
        self._executor.shutdown(wait=False, cancel_futures=True)
