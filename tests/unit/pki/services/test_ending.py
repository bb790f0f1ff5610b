"""Certificates of services that end soon are told of while there is time to make others."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from kepil.pki.web import ending

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ENDS = {
    "nca-rsa": NOW + timedelta(days=29, hours=1),
    "nca-rsa-2": NOW + timedelta(days=31),
    "nca-gost": NOW - timedelta(hours=1),
}


@pytest.mark.clause("CP-4.10")
def test_what_ends_within_a_month_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert ending.ending(ENDS, NOW) == {"nca-rsa": 29, "nca-gost": -1}
    with caplog.at_level(logging.WARNING):
        ending.tell(ENDS, NOW)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "certificate of nca-rsa ends in 29 days, at 2026-12-28T01:00:00+00:00: hold ceremony renewal" in caplog.text
    assert "nca-rsa-2" not in caplog.text


def test_it_is_told_at_the_start_and_again(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "DAY_SECONDS", 0)

    async def serve() -> None:
        async with ending.told({"nca-rsa": NOW}, lambda: NOW):
            while len(caplog.records) < 2:
                await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        asyncio.run(asyncio.wait_for(serve(), 60))
    assert "ends in 0 days" in caplog.text
