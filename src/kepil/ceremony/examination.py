"""What a signature must be to be taken at the place where a ceremony stands: the four eyes are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kepil.ceremony.roles import INDEPENDENT
from kepil.ceremony.shown import shown, typed_row
from kepil.ceremony.statement import Signed, Statement, verify
from kepil.errors import KepilError

if TYPE_CHECKING:
    from kepil.ceremony.course import Course

ABORTERS = 2
"""How many people end a ceremony before its end; one of them is independent."""


class CourseError(KepilError):
    """This may not come next in a ceremony; the message says what is awaited."""


def examine(course: Course, signed: Signed) -> None:
    """Raise KepilError unless this statement may come next, says what was shown, and is signed by who it names."""
    statement = signed.statement
    if (statement.ceremony, statement.plan) != (course.ceremony, course.plan_sha256):
        raise CourseError(f"{statement.person}: the signature is for another ceremony")
    if statement.previous != course.head:
        raise CourseError(f"{statement.person}: the signature follows another entry; show it again and sign anew")
    verify(signed, course.people)
    _place(course, statement)
    person = course.people.get(statement.person)
    if person is None or statement.shown != shown(course, statement.act, person.language):
        raise CourseError(f"{statement.person}: something else was shown than this step shows")


def _place(course: Course, statement: Statement) -> None:
    who, role = statement.person, statement.role
    person = course.people.get(who)
    if person is None or role not in person.roles:
        raise CourseError(f"{who} is no {role} of this ceremony")
    if statement.act == "abort":
        _abort(course, statement)
        return
    wanted = {"gathering": "present", "working": "confirm", "closing": "close"}.get(course.phase)
    if statement.act != wanted or (course.must_act()):
        raise CourseError(f"{who}: '{statement.act}' is not awaited now: {', '.join(course.awaited()) or 'an act'} is")
    if statement.act != "confirm":
        if who not in course.awaited():
            raise CourseError(f"{who} is not awaited: {', '.join(course.awaited())}")
        return
    _confirmation(course, statement)


def _confirmation(course: Course, statement: Statement) -> None:
    who, role, step = statement.person, statement.role, course.current
    if statement.step != step.id:
        raise CourseError(f"{who}: step {step.id} is to be confirmed, not {statement.step}")
    if who in [other for other, _ in course.confirmed]:
        raise CourseError(f"{who} has confirmed step {step.id} already; it needs {', '.join(course.awaited())} besides")
    if role not in course.open_roles():
        raise CourseError(f"{who}: step {step.id} awaits no {role}, but {', '.join(course.awaited())}")
    if statement.typed != typed_row(course):
        raise CourseError(f"{who}: what was typed is not the row of the fingerprint that was asked for: read it again")


def _abort(course: Course, statement: Statement) -> None:
    if course.aborted:
        raise CourseError("the ceremony has been aborted already")
    if statement.note is None:
        raise CourseError(f"{statement.person}: say why the ceremony is aborted")
    people = [*course.aborters, statement.person]
    if len(set(people)) < len(people):
        raise CourseError(f"{statement.person} has signed already; {ABORTERS} different people abort a ceremony")
    if len(people) == ABORTERS and not any(_independent(course, person) for person in people):
        raise CourseError(f"one of those who abort is {' or '.join(sorted(INDEPENDENT))}")


def _independent(course: Course, identity: str) -> bool:
    person = course.people.get(identity)
    return person is not None and not INDEPENDENT.isdisjoint(person.roles)
