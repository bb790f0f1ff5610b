"""The modules' own account of their keys, held against the journal: no key appears or goes unseen (CP-5.4, CP-6.2)."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import TYPE_CHECKING

from kepil.ceremony.evidence import kind, name_of
from kepil.errors import KepilError

if TYPE_CHECKING:
    from kepil.ceremony.course import Course
    from kepil.ceremony.definition import Side


class ReconciliationError(KepilError):
    """The modules hold other keys than the journal says; the message names each."""


def reconcile(course: Course) -> None:
    """Raise ReconciliationError unless the last account is the first, plus what was made, minus what was destroyed.

    Accounts are those of the current step's side of the air gap, where its keys are made and destroyed. A key that is
    to be destroyed stands in the first: what is not there cannot be seen to go.
    """
    side = course.current.at
    accounts = course.accounts[side]
    expected = dict(accounts[0])
    if missing := sorted(_doomed(course, side) - expected.keys()):
        raise ReconciliationError(
            f"to be destroyed, and not held: {', '.join(missing)}; find out where it is, or who destroyed it before"
        )
    _refuse_left_over(course, side)
    if len(accounts) > 1:
        expected |= {name: key for name, key in course.key_hashes().items() if course.plan.at(f"key:{name}") == side}
    for thing in course.destroyed:
        expected.pop(name_of(thing), None)
    found = accounts[-1]
    wrong = [
        *(f"{name} is held and stands in no journal" for name in found if name not in expected),
        *(f"{name} stands in the journal and is not held" for name in expected if name not in found),
        *(f"{name} is another key than the journal's" for name, key in expected.items() if found.get(name, key) != key),
    ]
    if wrong:
        raise ReconciliationError(f"the modules' account and the journal differ: {'; '.join(sorted(wrong))}")


def _refuse_left_over(course: Course, side: Side) -> None:
    """Where a plan leaves no key of its hierarchies, refuse one at its end, and before it one that is not destroyed."""
    if not any(step.empty for step in course.plan.steps if step.at == side):
        return
    doomed = _doomed(course, side)
    stems = {_stem(name) for name in doomed}
    held = {name for name in course.accounts[side][-1] if _stem(name) in stems}
    if left := sorted(held if course.current.empty else held - doomed):
        raise ReconciliationError(
            f"no key may be left when this ceremony ends, and {', '.join(left)} is held and not destroyed: find out "
            "why; where the plan does not name it, abort, and make the plan anew where its record is"
        )


def _stem(name: str) -> str:
    """What all generations of a key are called (`kepil.pki.generation`)."""
    return re.sub(r"-[0-9]+$", "", name)


def _doomed(course: Course, side: Side) -> set[str]:
    """Names of the keys that the plan destroys on a side and does not make."""
    steps = [step for step in course.plan.steps if step.at == side]
    made, destroyed = (
        {name_of(thing) for step in steps for thing in things(step) if kind(thing) == "key"}
        for things in (attrgetter("makes"), attrgetter("destroys"))
    )
    return destroyed - made
