"""Holds a ceremony: writes what happens to its journal, and lets nothing happen that may not come next.

A ceremony's folder holds `journal.jsonl` (with its head) and `files/`. Whoever opens the folder again finds the
ceremony where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from kepil.ceremony.course import SIGNED, Course, follow, opening
from kepil.ceremony.definition import Step, Thing
from kepil.ceremony.evidence import FILES, check_file
from kepil.ceremony.examination import CourseError, examine
from kepil.ceremony.people import People
from kepil.ceremony.plan import Plan
from kepil.ceremony.roles import Role
from kepil.ceremony.shown import shown
from kepil.ceremony.statement import TIME, Act, Signed, Statement
from kepil.errors import KepilError
from kepil.journal.chain import GENESIS, Entry, Journal, now

JOURNAL = "journal.jsonl"
STANDS = "stays: it was confirmed before the abort, and a signed revocation is not taken back"


class RefusedError(KepilError):
    """An attempt that is not allowed. It is in the journal."""


class ActFailedError(KepilError):
    """A step's act did not succeed. It is in the journal; the step can be tried again, or the ceremony aborted."""


class Removed(NamedTuple):
    """How a thing was destroyed, and the media that crossed for it."""

    how: str
    media: Mapping[str, Any] = MappingProxyType({})


class Performer(Protocol):
    """What does the acts. Both are repeated after an interruption: they find what is there, or make it."""

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """Do a step's act, leave its files in the folder's `files`, return evidence. Raises KepilError."""

    def remove(self, thing: Thing, folder: Path) -> Removed:
        """Destroy what an aborted ceremony left, or find that it is not there. Raises KepilError."""


class Ceremony:
    """A ceremony that is being held, or was."""

    def __init__(self, folder: Path) -> None:
        """Raises KepilError where the folder holds none, or its journal is not what was written."""
        self.folder = folder
        self.journal = Journal(folder / JOURNAL)
        self.course: Course = follow(self.journal.entries())

    @property
    def people(self) -> People:
        """Who takes part."""
        return self.course.people

    @classmethod
    def open(cls, folder: Path, plan: Plan, people: People, at: datetime | None = None) -> Ceremony:
        """Begin in a folder. Raises KepilError where these people are too few, or the folder is a ceremony's."""
        people.check(plan)
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        journal = Journal(folder / JOURNAL)
        if journal.entries():
            raise CourseError(f"{folder}: a ceremony was opened here already; resume it, or take another folder")
        identity = f"{plan.id.replace('_', '-')}-{(at or now()):%Y%m%d-%H%M%S}"
        journal.append("opened", opening(identity, plan, people), after=GENESIS)
        return cls(folder)

    @classmethod
    def resume(cls, folder: Path, reason: str) -> Ceremony:
        """Take up an interrupted ceremony. Raises KepilError where the folder holds none, or one that is over."""
        Journal(folder / JOURNAL).recover()
        made = cls(folder)
        (folder / FILES).mkdir(exist_ok=True)  # a medium carries no empty folder
        made._append("resumed", {"reason": reason})
        return made

    def statement(
        self, act: Act, person: str, role: Role, *, typed: str | None = None, note: str | None = None
    ) -> Statement:
        """What this person signs now."""
        known = self.people.get(person)
        return Statement(
            act=act,
            ceremony=self.course.ceremony,
            plan=self.course.plan.sha256,
            step=self.course.current.id if act == "confirm" and self.course.phase == "working" else None,
            previous=self.course.head,
            person=person,
            role=role,
            shown=shown(self.course, act, known.language if known else "en") if self._has(act) else {},
            typed=typed,
            note=note,
            time=now().strftime(TIME),
        )

    def _has(self, act: Act) -> bool:
        return act != "confirm" or self.course.phase == "working"

    def accept(self, signed: Signed) -> None:
        """Take a signature. Raises RefusedError, and records the attempt, where it may not come or does not hold."""
        try:
            examine(self.course, signed)
        except KepilError as error:
            statement = signed.statement
            self.refuse(statement.act, statement.person, statement.role, str(error))
            raise RefusedError(f"refused, and in the journal: {error}") from error
        self._append(signed.statement.act, signed.model_dump(mode="json", exclude_none=True))

    def refuse(self, act: str, person: str, role: str, reason: str) -> None:
        """Write down that somebody tried what is not allowed; names may be what anybody typed at a terminal."""
        stated = {"act": act, "person": person, "role": role, "reason": reason}
        self._append("refused", {name: _line(words) for name, words in stated.items()})

    def perform(self, performer: Performer) -> None:
        """Do the act of the current step. Raises ActFailedError; the failure is in the journal."""
        if not self.course.must_act():
            raise CourseError(f"nothing is to be done now: awaited are {', '.join(self.course.awaited())}")
        step = self.course.current
        if not self.course.began:
            self._append("began", {"step": step.id})
        try:
            stated = dict(performer.perform(step, self.folder))
            self._examine(step, stated)
        except KepilError as error:
            self._append("failed", {"step": step.id, "reason": _line(error)})
            raise ActFailedError(f"step {step.id}: {error}") from error
        self._append("performed", {"step": step.id, "evidence": stated})

    def _examine(self, step: Step, stated: Mapping[str, Any]) -> None:
        """Raise KepilError where the evidence would not stand in the journal, or a file is not what it says."""
        trial = self.course.tried("performed", {"step": step.id, "evidence": stated})
        for thing in trial.evidence.made if trial.evidence else ():
            check_file(self.folder, thing, trial.made, trial.key_hashes())

    def remove_remains(self, performer: Performer) -> None:
        """After an abort: destroy what is left and does not stand, one thing after the other.

        Raises KepilError where that fails.
        """
        for thing in reversed(self.course.remains()):
            removed = Removed(STANDS) if self.course.stands(thing) else performer.remove(thing, self.folder)
            self._append("removed", {"thing": thing, "how": _line(removed.how), "media": dict(removed.media)})

    def _append(self, event: str, data: Mapping[str, Any]) -> Entry:
        """Write what may come next; a signature has been examined already. Raises CourseError once it is closed."""
        if self.course.phase == "closed":
            raise CourseError(f"{self.folder}: ceremony {self.course.ceremony} is over: {self.course.outcome}")
        if event not in SIGNED:
            self.course.tried(event, data)
        entry = self.journal.append(event, data, after=self.course.head)
        self.course.follow(entry)
        return entry


def _line(words: object) -> str:
    """One line that can be kept and shown, whatever was typed."""
    return "".join(letter for letter in " ".join(str(words).split()) if letter.isprintable())[:1000]
