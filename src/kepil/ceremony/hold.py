"""From the step at which a ceremony stands to its end, whoever sits at the desk: people, or a rehearsal."""

from __future__ import annotations

from typing import Protocol

from kepil.ceremony.course import Course
from kepil.ceremony.definition import Language
from kepil.ceremony.engine import ActFailedError, Ceremony, Performer, RefusedError
from kepil.ceremony.statement import Signed


class Desk(Protocol):
    """Where people see what happens, and sign."""

    def say(self, line: str) -> None:
        """Show a line to everyone."""

    def sign(self, ceremony: Ceremony) -> Signed:
        """The next signature: one of those awaited, or of someone who aborts. Raises KepilError."""

    def failed(self, ceremony: Ceremony, error: ActFailedError) -> Signed | None:
        """What to do about an act that failed: try it again (None), or abort with this signature."""


def hold(ceremony: Ceremony, performer: Performer, desk: Desk, language: Language = "en") -> Course:
    """Go on until the ceremony is closed, and return how it went. Raises KepilError where it cannot go on."""
    said = ""
    while ceremony.course.phase != "closed":
        line = progress(ceremony.course, language)
        if line != said:
            desk.say(line)
            said = line
        _go_on(ceremony, performer, desk)
    desk.say(progress(ceremony.course, language))
    return ceremony.course


def _go_on(ceremony: Ceremony, performer: Performer, desk: Desk) -> None:
    if ceremony.course.phase == "removing":
        ceremony.remove_remains(performer)
        return
    if ceremony.course.must_act():
        try:
            ceremony.perform(performer)
            return
        except ActFailedError as error:
            desk.say(str(error))
            signed = desk.failed(ceremony, error)
            if signed is None:
                return
    else:
        signed = desk.sign(ceremony)
    try:
        ceremony.accept(signed)
    except RefusedError as error:
        desk.say(str(error))


def progress(course: Course, language: Language = "en") -> str:
    """One line: step k of n, what it is, and who is awaited."""
    number, awaited = len(course.plan.steps), ", ".join(course.awaited())
    match course.phase:
        case "gathering":
            return f"[{course.step}/{number}] {getattr(course.plan.title, language)}: awaited are {awaited}"
        case "working":
            who = awaited or f"{course.current.actor}, who acts"
            return f"[{course.step + 1}/{number}] {getattr(course.current.title, language)}: awaited are {who}"
        case "removing":
            return f"[{course.step}/{number}] aborted: removing {', '.join(course.remains())}"
        case "closing":
            return f"[{course.step}/{number}] {course.outcome}: to close the journal, awaited are {awaited}"
        case "closed":
            return f"[{course.step}/{number}] {course.outcome} and closed; the journal's head is {course.head}"
