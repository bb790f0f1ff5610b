"""The two desks: a terminal at which people sit, and a rehearsal that signs with the keys it made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kepil.ceremony.course import Course
from kepil.ceremony.engine import ActFailedError, Ceremony
from kepil.ceremony.medium import CARRIER, read_medium, sign_medium
from kepil.ceremony.people import People, Person
from kepil.ceremony.roles import INDEPENDENT, Role
from kepil.ceremony.shown import row_asked, rows, typed_row
from kepil.ceremony.statement import Act, Signed, Statement, sign
from kepil.errors import KepilError
from kepil.signed.signatures import SignatureError

ABORT = "abort"
NO_ROLE = "none"
"""What the journal says of somebody who takes no part."""
SIGN_MEDIA: Final[dict[str, frozenset[Role]]] = {
    f"{CARRIER} who wrote it": frozenset({CARRIER}),
    "witness or auditor who looked on": INDEPENDENT,
}
"""In which order, and as what, two people sign a medium."""


class DeskError(KepilError):
    """Nobody is there to sign."""


class NobodyError(KepilError):
    """Who came to the desk takes no part."""


def act_awaited(course: Course) -> Act:
    """What a signature says now."""
    return {"gathering": "present", "working": "confirm"}.get(course.phase, "close")  # type: ignore[return-value]


def signers(people: People, role: str) -> list[str]:
    """Who may sign a medium as this."""
    return [person.id for person in people.people if not SIGN_MEDIA[role].isdisjoint(person.roles)]


class Unattended:
    """A rehearsal: each person whose signature is awaited signs at once, with the key file of her name in `keys`."""

    attended = False
    ceremony: Ceremony | None = None

    def __init__(self, keys: Path, say: Callable[[str], None] = print) -> None:
        self.keys, self.say = keys, say

    def sign(self, ceremony: Ceremony) -> Signed:
        """The signature of the next person who is awaited. Raises KepilError."""
        for person in ceremony.people.people:
            role = ceremony.course.may_sign(person.id)
            if role is not None:
                act = act_awaited(ceremony.course)
                typed = typed_row(ceremony.course) if act == "confirm" else None
                return sign(ceremony.statement(act, person.id, role, typed=typed), self.keys / person.id, quiet=True)
        raise DeskError(f"nobody can sign: awaited are {', '.join(ceremony.course.awaited())}")

    def sign_medium(self, medium: Path, people: People) -> None:
        """An operator signs, and a witness or auditor, each with the key of her name. Raises KepilError."""
        for role in SIGN_MEDIA:
            who = signers(people, role)[0]
            sign_medium(medium, who, self.keys / who, people, quiet=True)

    def failed(self, ceremony: Ceremony, error: ActFailedError) -> Signed | None:
        """A rehearsal stops where an act fails; it can be resumed, or aborted."""
        raise error


class Terminal:
    """People come to the keyboard one after the other, each with her own key: a file, or a card known to the agent.

    Who comes and may not sign, or cannot, stands in the journal.
    """

    attended = True
    ceremony: Ceremony | None = None

    def __init__(self, keys: Path) -> None:
        self.keys = keys

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)

    def sign(self, ceremony: Ceremony) -> Signed:
        """Ask who signs, show what is signed, and sign; ask again where that fails. Raises DeskError."""
        while True:
            who = self._ask(f"Who signs? (name of a participant, or '{ABORT}') ")
            try:
                return self._abort(ceremony) if who == ABORT else self._signed(ceremony, who)
            except (NobodyError, SignatureError):
                continue  # it has been said, and written down

    def sign_medium(self, medium: Path, people: People) -> None:
        """Show what a medium holds, and ask who wrote it and who looked on. Raises KepilError."""
        manifest = read_medium(medium)
        self.say(f"Medium {medium.name} ({manifest.direction}), to be signed by {' and by '.join(SIGN_MEDIA)}:")
        self._show({place: one.sha256 for place, one in manifest.files.items()})
        for role in SIGN_MEDIA:
            while not self._signs_medium(medium, role, people):
                pass

    def _signs_medium(self, medium: Path, role: str, people: People) -> bool:
        names = signers(people, role)
        who = self._ask(f"Who signs it as {role}? ({', '.join(names)}; empty: nobody) ")
        if not who:
            raise DeskError(f"{medium}: nobody signed it as {role}: sign it when the act is tried again, or abort")
        wrong = ""
        if who not in names:
            wrong = f"{who} is no {role} of this ceremony: {', '.join(names)}"
        else:
            try:
                sign_medium(medium, who, self._key(who), people)
            except SignatureError as error:
                wrong = str(error)
        if wrong:
            self._refuse(self.ceremony, "medium", who, f"{medium.name}: {wrong}")
        return not wrong

    def failed(self, ceremony: Ceremony, error: ActFailedError) -> Signed | None:
        """Ask whether to try again."""
        while self._ask(f"Try again? (empty: yes, or '{ABORT}') ") == ABORT:
            try:
                return self._abort(ceremony)
            except (NobodyError, SignatureError):
                continue
        return None

    def _participant(self, ceremony: Ceremony, act: str, who: str) -> Person:
        person = ceremony.people.get(who)
        if person is None:
            reason = f"{who} is no participant: {', '.join(one.id for one in ceremony.people.people)}"
            raise NobodyError(self._refuse(ceremony, act, who, reason))
        return person

    def _refuse(self, ceremony: Ceremony | None, act: str, who: str, reason: str) -> str:
        """Say why somebody may not sign, and write it down; who typed nothing tried nothing."""
        self.say(reason)
        if ceremony is not None and who:
            person = ceremony.people.get(who)
            ceremony.refuse(act, who, person.roles[0] if person else NO_ROLE, reason)
        return reason

    def _abort(self, ceremony: Ceremony) -> Signed:
        person = self._participant(ceremony, ABORT, self._ask("Who aborts? "))
        note = self._ask("Why? ") or None
        statement = ceremony.statement("abort", person.id, person.roles[0], note=note)
        self._show(statement.shown)
        return self._sign(ceremony, statement)

    def _signed(self, ceremony: Ceremony, who: str) -> Signed:
        """A signature; the engine refuses one that is not awaited, and writes that down."""
        course = ceremony.course
        act = act_awaited(course)
        person = self._participant(ceremony, act, who)
        role = course.may_sign(person.id) or person.roles[0]
        self._show(ceremony.statement(act, person.id, role).shown)
        typed = note = None
        if act == "confirm":
            if typed_row(course) is not None:
                typed = self._ask(f"Type row {row_asked(course)} of the certificate's fingerprint: ")
            note = self._ask("Deviation from the script (empty: none): ") or None
        return self._sign(ceremony, ceremony.statement(act, person.id, role, typed=typed, note=note))

    def _sign(self, ceremony: Ceremony, statement: Statement) -> Signed:
        try:
            return sign(statement, self._key(statement.person))
        except SignatureError as error:
            self._refuse(ceremony, statement.act, statement.person, str(error))
            raise

    def _show(self, shown: dict[str, str]) -> None:
        for name, value in shown.items():
            if len(value) == 64:  # noqa: PLR2004 -- a SHA-256 in hexadecimal digits, read aloud in rows
                self.say(f"  {name}:")
                for number, row in enumerate(rows(value), start=1):
                    self.say(f"    {number}:  {row}")
            else:
                self.say(f"  {name}: {value}")

    def _key(self, who: str) -> Path:
        private, public = self.keys / who, self.keys / f"{who}.pub"
        return private if private.exists() else public

    def _ask(self, question: str) -> str:
        try:
            return input(question).strip()
        except EOFError as error:
            raise DeskError("the terminal was closed; the ceremony can be resumed at this step") from error


def at_terminal() -> bool:
    """Whether somebody sits there."""
    return sys.stdin.isatty()
