"""Certificates with which a service signs and that end soon: its journal and its health say so (CP-4.10)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from kepil.pki.web.beside import beside

NOTICE = timedelta(days=30)
"""How long before its end a certificate is told of: people have to come together to make another."""
DAY_SECONDS = 24 * 60 * 60.0

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The host's clock."""
    return datetime.now(UTC)


def ending(ends: Mapping[str, datetime], now: datetime) -> dict[str, int]:
    """Whole days that are left, negative ones after the end, for those that end within the notice."""
    return {name: (end - now).days for name, end in ends.items() if end - now < NOTICE}


def tell(ends: Mapping[str, datetime], now: datetime) -> None:
    """A warning in the journal for each of them."""
    for name, days in ending(ends, now).items():
        log.warning(
            "certificate of %s ends in %d days, at %s: hold ceremony renewal (docs/ceremonies.md, Generations)",
            name,
            days,
            ends[name].isoformat(),
        )


@asynccontextmanager
async def told(ends: Mapping[str, datetime], now: Callable[[], datetime] = utc_now) -> AsyncIterator[None]:
    """Tell of them at once and each day, during the block."""

    async def daily() -> None:
        while True:
            tell(ends, now())
            await asyncio.sleep(DAY_SECONDS)

    async with beside(daily()):
        yield
