"""From the step at which a ceremony stands to its end, whoever sits at the desk: people, or a rehearsal."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kepil.ceremony.course import Course
from kepil.ceremony.definition import Language
from kepil.ceremony.engine import ActFailedError, Ceremony, Performer, RefusedError
from kepil.ceremony.people import People
from kepil.ceremony.statement import Signed
from kepil.ceremony.words import role_text, say


class Desk(Protocol):
    """Where people see what happens, and sign. Where nobody sits, not every signature is worth a line."""

    attended: bool
    ceremony: Ceremony | None
    """The one that is held: who comes to the desk and may not sign stands in its journal."""

    def say(self, line: str) -> None:
        """Show a line to everyone."""

    def sign(self, ceremony: Ceremony) -> Signed:
        """The next signature: one of those awaited, or of someone who aborts. Raises KepilError."""

    def sign_medium(self, medium: Path, people: People) -> None:
        """Have a medium signed by who wrote it and by who looked on. Raises KepilError."""

    def failed(self, ceremony: Ceremony, error: ActFailedError) -> Signed | None:
        """What to do about an act that failed: try it again (None), or abort with this signature."""


def hold(ceremony: Ceremony, performer: Performer, desk: Desk, language: Language = "en") -> Course:
    """Go on until the ceremony is closed, and return how it went. Raises KepilError where it cannot go on."""
    said: object = None
    desk.ceremony = ceremony
    while ceremony.course.phase != "closed":
        line = progress(ceremony.course, language)
        news = line if desk.attended else _where(ceremony.course)
        if news != said:
            desk.say(line)
            said = news
        _go_on(ceremony, performer, desk)
    desk.say(progress(ceremony.course, language))
    return ceremony.course


def _where(course: Course) -> tuple[object, ...]:
    """Where it stands, whoever has signed."""
    return course.phase, course.step, course.must_act()


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
    words, where = say(language), f"[{course.step}/{len(course.plan.steps)}]"
    awaited = ", ".join(course.awaited())
    outcome = words[course.outcome]
    match course.phase:
        case "gathering":
            title = getattr(course.plan.title, language)
            return f"{where} {title}: {words['screen_awaited'].format(who=awaited)}"
        case "working":
            return _working(course, language)
        case "removing":
            return f"{where} {words['screen_removing'].format(what=', '.join(course.remains()))}"
        case "closing":
            return f"{where} {words['screen_closing'].format(outcome=outcome, who=awaited)}"
        case "closed":
            return f"{where} {words['screen_closed'].format(outcome=outcome, head=course.head)}"


def _working(course: Course, language: Language) -> str:
    words, step = say(language), course.current
    where = f"[{course.step + 1}/{len(course.plan.steps)}] {getattr(step.title, language)}"
    if course.must_act():
        who = role_text(step.actor, "name", language)
        return f"{where}: {words['screen_acts'].format(who=who, where=words[f'at_{step.at}'])}"
    roles = [f"{role_text(role, 'name', language)} ({number})" for role, number in course.open_roles().items()]
    return f"{where}: {words['screen_awaited'].format(who=', '.join(roles))}"
