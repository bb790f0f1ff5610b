"""The IP-address catalogue watch (GW-13): what becomes of a source that the catalogue lacks.

    unseen ──seen──▶ seen ──operator told──▶ told ──five working days──▶ blocked
       ▲               └───────────┴────────────┴── the catalogue lists it: at once ──┘

The state of a source is computed from facts, and facts are only added: seen, told, listed, each with its moment. Two
gateways that have each other's facts have the same set of facts, and so the same states; in whatever order they came,
and however often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import Enum
from ipaddress import IPv4Address

from kepil.gateway.calendar import Calendar, day_of
from kepil.gateway.organisation import KAZAKHSTAN

WORKING_DAYS = 5
"""The operator has these, after the day on which he was told."""
FORGOTTEN_AFTER = timedelta(days=60)
"""A source that was seen this long ago and never told of leaves no trace."""


class Event(Enum):
    """What can be said of a source."""

    SEEN = "seen"
    """A packet came from it while the catalogue lacked it."""
    TOLD = "told"
    """Its operator was mailed a list with it."""
    LISTED = "listed"
    """The catalogue was found to list it."""


class State(Enum):
    """Where a source stands."""

    UNSEEN = "unseen"
    SEEN = "seen"
    TOLD = "told"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Fact:
    """One thing that happened."""

    source: IPv4Address
    event: Event
    at: datetime
    operator: str = ""


@dataclass(frozen=True)
class History:
    """What counts of one source: since it was last listed."""

    seen: datetime | None
    told: datetime | None
    listed: datetime | None

    def blocked_from(self, calendar: Calendar) -> datetime | None:
        """The first moment at which it is blocked; None while its operator was not told."""
        return deadline(self.told, calendar) if self.told is not None else None

    def state(self, at: datetime, calendar: Calendar) -> State:
        """Its state at a moment."""
        begins = self.blocked_from(calendar)
        if begins is not None:
            return State.BLOCKED if at >= begins else State.TOLD
        return State.SEEN if self.seen is not None else State.UNSEEN


def deadline(told: datetime, calendar: Calendar) -> datetime:
    """The end of the fifth working day after the day of the notice, by Kazakhstan's clock."""
    last = calendar.after(day_of(told), WORKING_DAYS)
    return datetime.combine(last + timedelta(days=1), time(), KAZAKHSTAN)


def histories(facts: Iterable[Fact]) -> dict[IPv4Address, History]:
    """What counts of every source, whatever the order of the facts."""
    by_source: dict[IPv4Address, list[Fact]] = {}
    for fact in facts:
        by_source.setdefault(fact.source, []).append(fact)
    return {source: _history(mine) for source, mine in sorted(by_source.items())}


def _history(facts: Iterable[Fact]) -> History:
    moments: dict[Event, list[datetime]] = {event: [] for event in Event}
    for fact in facts:
        moments[fact.event].append(fact.at)
    listed = max(moments[Event.LISTED], default=None)

    def since(event: Event) -> datetime | None:
        return min((at for at in moments[event] if listed is None or at > listed), default=None)

    return History(since(Event.SEEN), since(Event.TOLD), listed)


def blocked(facts: Iterable[Fact], at: datetime, calendar: Calendar) -> frozenset[IPv4Address]:
    """The sources that are blocked at a moment."""
    return frozenset(
        source for source, history in histories(facts).items() if history.state(at, calendar) is State.BLOCKED
    )


def to_tell(
    facts: Iterable[Fact], operator_of: Callable[[IPv4Address], str | None], calendar: Calendar, at: datetime
) -> dict[str, list[IPv4Address]]:
    """The sources that each operator is to be told of: those seen of which he was not. Each is told of once."""
    found: dict[str, list[IPv4Address]] = {}
    for source, history in histories(facts).items():
        operator = operator_of(source)
        if operator is not None and history.state(at, calendar) is State.SEEN:
            found.setdefault(operator, []).append(source)
    return found


def observe(
    facts: Iterable[Fact], seen: Mapping[IPv4Address, datetime], is_listed: Callable[[IPv4Address], bool], at: datetime
) -> set[Fact]:
    """The facts with what a gateway finds now: sources seen (and when first), and what the catalogue lists by now.

    What was seen before the source was last listed counts for nothing, however often it is said again.
    """
    known = set(facts)
    before = histories(known)
    for source, history in before.items():
        if (history.seen or history.told) and is_listed(source):
            known.add(Fact(source, Event.LISTED, at))
    for source, first in seen.items():
        counts = source in before and before[source].seen is not None
        if not counts and not is_listed(source):
            known.add(Fact(source, Event.SEEN, first))
    return known


def forget(facts: Iterable[Fact], at: datetime) -> set[Fact]:
    """The facts without what counts no more: older than a listing, seen long ago and never told.

    No source's state changes by it, but that one seen long ago is unseen again. A source's last listing is never
    forgotten: a gateway that was away brings notices of before it, however long it was away.
    """
    known = set(facts)
    before = histories(known)
    return {fact for fact in known if _counts(fact, before[fact.source], at - FORGOTTEN_AFTER)}


def _counts(fact: Fact, history: History, limit: datetime) -> bool:
    if fact.event is Event.LISTED:
        return fact.at == history.listed
    if history.listed is not None and fact.at <= history.listed:
        return False
    return fact.event is Event.TOLD or history.told is not None or fact.at >= limit
