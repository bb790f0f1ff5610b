"""Work that goes on beside answering, as long as a service serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Have it go on during the block, and no longer.

    Until Python 3.12 `asyncio.wait_for`, which psycopg connects by, loses a cancellation that comes as it ends.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)
