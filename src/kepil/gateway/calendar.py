"""Kazakhstan's working days: weekends, public holidays and days that the government moved (GW-13, GW-16).

Holidays and moved days of past years come with the package `holidays`. A government order that moves days of this year
or the next is younger than any package: its days are stated in the inventory (`gateway_days_off`,
`gateway_working_days`).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from functools import lru_cache

import holidays

from kepil.gateway.organisation import KAZAKHSTAN


class Calendar:
    """Which days are working days. Two calendars of the same stated days say the same."""

    def __init__(self, days_off: Collection[date] = (), working_days: Collection[date] = ()) -> None:
        self._off = frozenset(days_off)
        self._working = frozenset(working_days)
        if both := sorted(self._off & self._working):
            raise ValueError(f"{both[0]} is stated as a day off and as a working day; leave one")

    def is_working(self, day: date) -> bool:
        """Whether people work on a day."""
        if day in self._working:
            return True
        return day not in self._off and _is_working(day)

    def after(self, day: date, count: int) -> date:
        """The working day that is the count-th after a day, which itself is not counted."""
        while count:
            day += timedelta(days=1)
            count -= self.is_working(day)
        return day


@lru_cache(maxsize=8192)
def _is_working(day: date) -> bool:
    return _kazakhstan(day.year).is_working_day(day)


@lru_cache(maxsize=256)
def _kazakhstan(year: int) -> holidays.HolidayBase:
    return holidays.country_holidays("KZ", years=[year])


def day_of(at: datetime) -> date:
    """The day that it is in Kazakhstan at a moment."""
    return at.astimezone(KAZAKHSTAN).date()
