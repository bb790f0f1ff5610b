"""GW-13: five working days, then closed, then open again at once; and two gateways that agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepil.gateway.calendar import Calendar, day_of
from kepil.gateway.watch import (
    FORGOTTEN_AFTER,
    Event,
    Fact,
    State,
    blocked,
    deadline,
    forget,
    histories,
    observe,
    to_tell,
)
from kepil.gateway.watching import run

CALENDAR = Calendar()
SOURCE = IPv4Address("198.18.50.1")
TIMES = st.datetimes(datetime(2010, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))
SOURCES = st.integers(0, 3).map(lambda number: SOURCE + number)
FACTS = st.frozensets(st.builds(Fact, SOURCES, st.sampled_from(Event), TIMES), max_size=12)


def at(day: str, hour: int = 12) -> datetime:
    """An hour of a day by Kazakhstan's clock, which is five hours ahead."""
    return datetime.fromisoformat(f"{day}T{hour:02}:00:00+05:00")


def state(facts: set[Fact], moment: datetime) -> State:
    return histories(facts)[SOURCE].state(moment, CALENDAR)


def test_a_life() -> None:
    seen = observe(set(), {SOURCE: at("2026-11-16", 9)}, lambda _: False, at("2026-11-16", 10))
    assert state(seen, at("2027-01-01")) is State.SEEN  # nobody told the operator: his days do not run
    told = seen | {Fact(SOURCE, Event.TOLD, at("2026-11-16"), "telecom")}  # a Monday
    assert state(told, at("2026-11-23", 23)) is State.TOLD
    assert state(told, at("2026-11-24", 0)) is State.BLOCKED
    listed = observe(told, {}, lambda source: source == SOURCE, at("2026-11-25"))
    assert state(listed, at("2026-11-25")) is State.UNSEEN
    assert not blocked(listed, at("2030-01-01"), CALENDAR)
    again = observe(listed, {SOURCE: at("2026-12-01")}, lambda _: False, at("2026-12-01"))
    assert state(again, at("2026-12-01")) is State.SEEN
    assert not blocked(again, at("2030-01-01"), CALENDAR)  # of this time, nobody was told yet


def test_what_was_seen_before_a_listing_is_not_seen_anew() -> None:
    """The kernel's set remembers for sixty days: an old memory must not begin another term."""
    memory = {SOURCE: at("2026-11-16", 9)}
    facts = observe(set(), memory, lambda _: False, at("2026-11-16"))
    facts = observe(facts, memory, lambda _: True, at("2026-11-17"))
    facts = observe(facts, memory, lambda _: False, at("2026-11-18"))
    assert state(facts, at("2026-11-18")) is State.UNSEEN


def test_a_notice_of_before_a_listing_blocks_nobody_however_late_it_is_read() -> None:
    """A gateway was away for longer than anything else is remembered, and brings what it was told of last."""
    told = {Fact(SOURCE, Event.TOLD, at("2026-01-05"), "telecom")}
    opened = observe(told, {}, lambda _: True, at("2026-01-07"))
    later = at("2026-12-01")
    assert not blocked(forget(opened, later) | told, later, CALENDAR)


def test_what_the_catalogue_lists_is_not_seen() -> None:
    assert observe(set(), {SOURCE: at("2026-11-16")}, lambda _: True, at("2026-11-16")) == set()


def test_who_is_seen_again_and_again_leaves_one_fact() -> None:
    """The kernel's set may be made anew often; facts do not pile up."""
    facts = observe(set(), {SOURCE: at("2026-11-16", 9)}, lambda _: False, at("2026-11-16"))
    assert observe(facts, {SOURCE: at("2026-11-17", 9)}, lambda _: False, at("2026-11-17")) == facts


@pytest.mark.parametrize(
    ("told", "last"),
    [
        ("2026-11-16", "2026-11-23"),  # Monday: Tuesday to Monday
        ("2026-11-20", "2026-11-27"),  # Friday
        ("2026-11-21", "2026-11-27"),  # Saturday: days begin with Monday
        ("2025-03-19", "2025-03-31"),  # Nauryz with its moved days: the 21st to the 25th are off
        ("2024-12-30", "2025-01-09"),  # 3 January off for Sunday 5 January, worked, and 7 January off
        ("2024-05-03", "2024-05-14"),  # Saturday 4 May worked for Wednesday 8 May; 7 and 9 May off
    ],
)
def test_five_working_days_of_kazakhstans_calendar(told: str, last: str) -> None:
    ends = deadline(at(told), CALENDAR)
    assert day_of(ends - timedelta(seconds=1)).isoformat() == last


def test_days_that_the_government_moved_after_the_package_was_made() -> None:
    moved = Calendar(days_off=[date(2026, 11, 18)], working_days=[date(2026, 11, 21)])
    assert day_of(deadline(at("2026-11-16"), moved) - timedelta(seconds=1)) == date(2026, 11, 23)
    assert day_of(deadline(at("2026-11-19"), moved) - timedelta(seconds=1)) == date(2026, 11, 25)
    with pytest.raises(ValueError, match="2026-11-18 is stated as a day off and as a working day"):
        Calendar([date(2026, 11, 18)], [date(2026, 11, 18)])


@given(TIMES)
def test_the_term_is_five_working_days_whenever_it_begins(told: datetime) -> None:
    ends = deadline(told, CALENDAR)
    between = [day_of(told) + timedelta(days=n) for n in range(1, (day_of(ends) - day_of(told)).days)]
    assert sum(map(CALENDAR.is_working, between)) == 5
    assert CALENDAR.is_working(between[-1])
    assert timedelta(days=5) < ends - told < timedelta(days=21)


@given(TIMES, st.timedeltas(timedelta(0), timedelta(days=30)))
def test_no_term_that_begins_later_ends_earlier(told: datetime, later: timedelta) -> None:
    assert deadline(told, CALENDAR) <= deadline(told + later, CALENDAR)


@given(FACTS, FACTS, TIMES)
def test_two_gateways_agree(mine: frozenset[Fact], theirs: frozenset[Fact], moment: datetime) -> None:
    """Whatever each saw, in whatever order: with the same facts they block the same sources."""
    assert blocked([*mine, *theirs], moment, CALENDAR) == blocked([*theirs, *mine, *theirs], moment, CALENDAR)


@given(FACTS, TIMES)
def test_nobody_is_blocked_whose_operator_was_not_told_five_working_days_ago(
    facts: frozenset[Fact], moment: datetime
) -> None:
    for source in blocked(facts, moment, CALENDAR):
        told = [fact.at for fact in facts if fact.source == source and fact.event is Event.TOLD]
        assert any(deadline(each, CALENDAR) <= moment for each in told)


@given(FACTS, TIMES)
def test_a_listing_opens_at_once(facts: frozenset[Fact], moment: datetime) -> None:
    before = [fact for fact in facts if fact.at <= moment]
    after = observe(before, {}, lambda _: True, moment)
    assert not blocked(after, moment, CALENDAR)
    assert not blocked(after, moment + timedelta(days=3650), CALENDAR)


@given(FACTS, TIMES)
def test_each_source_is_told_of_once(facts: frozenset[Fact], moment: datetime) -> None:
    before = [fact for fact in facts if fact.at <= moment]
    told = to_tell(before, lambda _: "telecom", CALENDAR, moment)
    after = [*before, *(Fact(s, Event.TOLD, moment + timedelta(seconds=1)) for s in told.get("telecom", []))]
    assert not to_tell(after, lambda _: "telecom", CALENDAR, moment + timedelta(seconds=1))


@given(FACTS, TIMES)
def test_forgetting_changes_no_ones_state(facts: frozenset[Fact], moment: datetime) -> None:
    before = [fact for fact in facts if fact.at <= moment]
    kept = histories(forget(before, moment))
    for source, history in histories(before).items():
        state_before = history.state(moment, CALENDAR)
        state_after = kept[source].state(moment, CALENDAR) if source in kept else State.UNSEEN
        long_ago = history.seen is not None and history.seen < moment - FORGOTTEN_AFTER
        assert state_after is state_before or (state_before is State.SEEN and long_ago)


@given(FACTS, FACTS, TIMES)
def test_what_one_gateway_forgot_the_other_brings_back_without_harm(
    mine: frozenset[Fact], theirs: frozenset[Fact], moment: datetime
) -> None:
    """A gateway that was away brings old facts: nobody is blocked by them who would not be without forgetting."""
    known = [fact for fact in mine | theirs if moment - FORGOTTEN_AFTER <= fact.at <= moment]
    kept = forget(known, moment)
    assert blocked([*kept, *known], moment, CALENDAR) == blocked(known, moment, CALENDAR)


def test_a_source_without_an_operator_is_nobodys_to_tell() -> None:
    facts = [Fact(SOURCE, Event.SEEN, at("2026-11-16"))]
    assert to_tell(facts, lambda _: None, CALENDAR, at("2026-11-17")) == {}


STEPS = st.lists(
    st.fixed_dictionaries(
        {
            "hours": st.integers(0, 400),
            "who": st.integers(0, 1),
            "seen": st.frozensets(SOURCES, max_size=3),
            "catalogue": st.frozensets(SOURCES, max_size=2),
            "active": st.booleans(),
            "taken": st.booleans(),
            "reads": st.booleans(),
        }
    ),
    max_size=12,
)
"""Runs of the watch: how long after the one before, on which gateway, what passes it in between, what its policy lists,
whether it holds the address (both may, or neither), whether mail is taken, whether it has the other's facts anew."""


class Watcher:
    """One gateway: its kernel's set, its facts, and the copy that it has of the other's."""

    def __init__(self) -> None:
        self.kernel: dict[IPv4Address, datetime] = {}
        self.facts: set[Fact] = set()
        self.copy: set[Fact] = set()

    def passes(self, sources: frozenset[IPv4Address], moment: datetime) -> None:
        """Packets come. The kernel remembers a source's first for sixty days; those of blocked sources it drops."""
        self.kernel = {source: first for source, first in self.kernel.items() if first > moment - timedelta(days=60)}
        for source in sources - blocked(self.facts, moment, CALENDAR):
            self.kernel.setdefault(source, moment)

    def watch(self, listed: frozenset[IPv4Address], moment: datetime, *, active: bool, taken: bool) -> None:
        """One run."""

        def tell(*_: object) -> None:
            if not taken:
                raise OSError

        operator: Callable[[IPv4Address], str] = lambda _: "telecom"  # noqa: E731 - its type is stated
        told = tell if active else None
        self.facts = run(self.facts | self.copy, self.kernel, listed.__contains__, operator, told, CALENDAR, moment)


@pytest.mark.clause("GW-13")
@given(TIMES, STEPS, st.frozensets(SOURCES, max_size=2), st.integers(0, 1))
def test_whatever_happened_two_gateways_agree_after_an_exchange(
    begins: datetime, steps: list[dict[str, Any]], listed: frozenset[IPv4Address], active: int
) -> None:
    """Each saw and was told something else, knew an older catalogue, held the address by turns, and read the other
    late or never. Once each has read the other they block the same sources: those that follow from all that either
    ever knew, so that nothing is lost on the way. And who was seen has been told of."""
    pair, moment, ever = (Watcher(), Watcher()), begins.replace(microsecond=0), set[Fact]()
    for step in steps:
        moment += timedelta(hours=step["hours"])
        mine, other = pair[step["who"]], pair[1 - step["who"]]
        if step["reads"]:
            mine.copy = other.facts
        mine.passes(step["seen"], moment)
        mine.watch(step["catalogue"], moment, active=step["active"], taken=step["taken"])
        ever |= mine.facts
    for number in (0, 1, 0, 1):
        moment += timedelta(minutes=5)
        pair[number].copy = pair[1 - number].facts
        pair[number].watch(listed, moment, active=number == active, taken=True)
        ever |= pair[number].facts
    one, two = (states(each.facts, moment) for each in pair)
    assert one == two
    for day in range(30):
        later = moment + timedelta(days=day)
        both = [blocked(each.facts, later, CALENDAR) for each in pair]
        assert both == [blocked(ever, later, CALENDAR)] * 2
    assert not listed & set(one)
    assert State.SEEN not in one.values(), "who was seen is told of"


def states(facts: set[Fact], moment: datetime) -> dict[IPv4Address, State]:
    """Where each source stands that stands anywhere."""
    found = {source: history.state(moment, CALENDAR) for source, history in histories(facts).items()}
    return {source: each for source, each in found.items() if each is not State.UNSEEN}
