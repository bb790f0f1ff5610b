"""The course of a ceremony, from its journal alone. The engine and the verification follow the same rules.

`follow` takes one entry after the other and refuses what may not come next, so that a journal which was written by
anything but the rules is no journal of a ceremony.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from kepil.ceremony.definition import SIDES, Side, Step, Thing
from kepil.ceremony.evidence import Evidence, Module, kind, name_of, read_evidence
from kepil.ceremony.examination import ABORTERS, CourseError, examine
from kepil.ceremony.medium import Crossed, refuse_signers
from kepil.ceremony.people import People
from kepil.ceremony.plan import Plan
from kepil.ceremony.reconcile import reconcile
from kepil.ceremony.roles import Role
from kepil.ceremony.statement import Signed, Statement
from kepil.journal.chain import Entry
from kepil.signed.document import Document, Line, Name, build

Phase = Literal["gathering", "working", "removing", "closing", "closed"]


class Removal(Document):
    """How a thing was destroyed after an abort, and what crossed for it."""

    thing: Thing
    how: Line
    media: dict[Name, Crossed]


@dataclass
class Course:
    """Where a ceremony stands."""

    plan: Plan
    people: People
    ceremony: Name
    entries: int
    head: str
    phase: Phase = "gathering"
    step: int = 0
    began: bool = False
    possible: list[Thing] = field(default_factory=list)
    evidence: Evidence | None = None
    present: list[str] = field(default_factory=list)
    confirmed: list[tuple[str, Role]] = field(default_factory=list)
    aborters: list[str] = field(default_factory=list)
    closers: list[str] = field(default_factory=list)
    made: dict[Thing, dict[str, Any]] = field(default_factory=dict)
    removed: dict[Thing, str] = field(default_factory=dict)
    destroyed: dict[Thing, str] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    accounts: dict[Side, list[Mapping[str, str]]] = field(default_factory=lambda: {side: [] for side in SIDES})
    """What the modules of each side of the air gap named, account after account."""
    media: dict[Name, tuple[Name, Crossed]] = field(default_factory=dict)
    """What crossed to or from the offline root, by name, with the step that wrote it, or whose work an abort undid."""

    @cached_property
    def plan_sha256(self) -> str:
        """Of the plan, which no course changes: every statement is held against it."""
        return self.plan.sha256

    @property
    def current(self) -> Step:
        """The step that the ceremony stands at."""
        return self.plan.steps[self.step]

    @property
    def aborted(self) -> bool:
        """Whether enough people have ended it before its end."""
        return len(self.aborters) >= ABORTERS

    @property
    def outcome(self) -> Literal["completed", "aborted"]:
        """How it ends, once it does."""
        return "aborted" if self.aborted else "completed"

    def remains(self) -> list[Thing]:
        """What this ceremony made, or may have begun to make, and what has not been destroyed since."""
        possible = dict.fromkeys([*self.made, *self.possible])
        return [thing for thing in possible if thing not in self.destroyed and thing not in self.removed]

    def stands(self, thing: Thing) -> bool:
        """Whether an abort leaves a thing: a CRL that its step's people confirmed, unless its root was made here."""
        confirmed = {made for step in self.plan.steps[: self.step] for made in step.makes}
        return kind(thing) == "crl" and thing in confirmed and f"certificate:{name_of(thing)}" not in self.made

    def key_hashes(self) -> dict[str, str]:
        """SHA-256 of the public key of each key made here, by name."""
        return {name_of(thing): made["sha256"] for thing, made in self.made.items() if kind(thing) == "key"}

    def awaited(self) -> list[str]:
        """Whose signatures are awaited next; an empty list where something is to be done first."""
        match self.phase:
            case "gathering":
                return [person.id for person in self.people.people if person.id not in self.present]
            case "working" if not self.must_act():
                return [f"{role} ({number})" for role, number in self.open_roles().items()]
            case "closing":
                return [person for person in self._who_closes() if person not in self.closers]
            case _:
                return []

    def must_act(self) -> bool:
        """Whether the step's act is still to be done."""
        return self.phase == "working" and self.current.act is not None and self.evidence is None

    def may_sign(self, identity: str) -> Role | None:
        """In which role this person's signature is awaited now, if it is."""
        person = self.people.get(identity)
        if person is None:
            return None
        if self.phase == "working":
            if self.must_act() or identity in [who for who, _ in self.confirmed]:
                return None
            return next((role for role in self.open_roles() if role in person.roles), None)
        return person.roles[0] if identity in self.awaited() else None

    def follow(self, entry: Entry) -> None:
        """Take the next entry. Raises KepilError where it may not come next, or its signature does not hold."""
        if self.phase == "closed":
            raise CourseError(f"entry {entry.number}: the ceremony was closed before it")
        if not isinstance(entry.data, dict):
            raise CourseError(f"entry {entry.number}: its data are no mapping")
        if entry.event not in (*SIGNED, *FIELDS):
            raise CourseError(f"entry {entry.number}: {entry.event!r} may not be there")
        if entry.event in SIGNED:
            self._take_signed(entry)
        elif set(entry.data) != FIELDS[entry.event]:
            raise CourseError(f"entry {entry.number}: '{entry.event}' says {', '.join(sorted(FIELDS[entry.event]))}")
        else:
            getattr(self, f"_{entry.event}")(entry.data)
        self.head, self.entries = entry.sha256, self.entries + 1

    def tried(self, event: str, data: Mapping[str, Any]) -> Course:
        """Where the ceremony would stand after an entry that nobody signs. Raises KepilError where it may not come."""
        trial = copy.deepcopy(self)
        trial.follow(Entry(self.entries + 1, "", event, data, self.head, sha256=""))
        return trial

    def _take_signed(self, entry: Entry) -> None:
        signed = build(Signed, dict(entry.data), Path(f"entry {entry.number}"))
        if signed.statement.act != entry.event:
            raise CourseError(
                f"entry {entry.number}: it is called {entry.event}, and '{signed.statement.act}' was signed"
            )
        examine(self, signed)
        getattr(self, f"_{entry.event}")(signed.statement)

    def open_roles(self) -> dict[Role, int]:
        """How many people of each role are still to confirm the current step."""
        taken = Counter(role for _, role in self.confirmed)
        return {role: n - taken[role] for role, n in self.current.confirms.items() if n > taken[role]}

    def _who_closes(self) -> list[str]:
        return self.aborters if self.aborted else [person.id for person in self.people.people]

    # What each event does; signed ones have been examined.

    def _present(self, statement: Statement) -> None:
        self.present.append(statement.person)
        if not self.awaited():
            self.phase = "closing" if self.step == len(self.plan.steps) else "working"

    def _began(self, data: Mapping[str, Any]) -> None:
        if not self.must_act() or data != {"step": self.current.id} or self.began:
            raise CourseError(f"step {data.get('step')} may not begin here")
        self.began = True
        self.possible = [*self.possible, *self.current.makes]

    def _performed(self, data: Mapping[str, Any]) -> None:
        if not (self.must_act() and self.began) or data.get("step") != self.current.id:
            raise CourseError(f"step {data.get('step')} was not begun")
        evidence = read_evidence(self.current, data["evidence"])
        self._refuse_openers(evidence)
        self.made |= evidence.made
        self.possible = []
        self.destroyed |= evidence.destroyed
        self.modules |= {module.serial: module for module in evidence.modules}
        self._cross(self.current.id, evidence.media)
        if evidence.account is not None:
            self.accounts[self.current.at].append(evidence.account)
            reconcile(self)
        self.evidence, self.began = evidence, False

    def _refuse_openers(self, evidence: Evidence) -> None:
        """A module opens with enough shares of custodians who are here, unless this very step initialised it."""
        for thing, made in evidence.made.items():
            if kind(thing) != "opened" or (not made["holders"] and f"partition:{name_of(thing)}" in evidence.made):
                continue
            here = {person.id for person in self.people.holders("custodian")}
            if strangers := sorted(set(made["holders"]) - here):
                raise CourseError(f"{thing}: {', '.join(strangers)} is no custodian of this ceremony")
            if len(set(made["holders"])) < made["threshold"]:
                given = ", ".join(made["holders"]) or "nobody"
                raise CourseError(f"{thing}: {made['threshold']} custodians open it, and shares were given by {given}")

    def _cross(self, step: Name, media: Mapping[Name, Crossed]) -> None:
        if again := sorted(media.keys() & self.media.keys()):
            raise CourseError(f"step {step}: medium {', '.join(again)} crossed already: each crosses once")
        for name, crossed in media.items():
            refuse_signers(Path(f"step {step}: medium {name}"), crossed.signed, self.people)
            self.media[name] = step, crossed

    def _failed(self, data: Mapping[str, Any]) -> None:
        if not self.began or data.get("step") != self.current.id:
            raise CourseError(f"step {data.get('step')} was not begun, so it cannot have failed")

    def _confirm(self, statement: Statement) -> None:
        self.confirmed.append((statement.person, statement.role))
        if not self.open_roles():
            self.step, self.confirmed, self.evidence = self.step + 1, [], None
            if self.step == len(self.plan.steps):
                self.phase = "closing"

    def _refused(self, data: Mapping[str, Any]) -> None:
        """An attempt changes nothing; it stands in the minutes."""

    def _resumed(self, data: Mapping[str, Any]) -> None:
        """The same people gather again; the step goes on where it stood, and an act that had begun begins again."""
        if self.phase in ("gathering", "working") or (self.phase == "closing" and not self.aborted):
            self.phase, self.present, self.began = "gathering", [], False

    def _abort(self, statement: Statement) -> None:
        self.aborters.append(statement.person)
        if self.aborted:
            self.closers = []
            self.phase = "removing" if self.remains() else "closing"

    def _removed(self, data: Mapping[str, Any]) -> None:
        if self.phase != "removing" or data.get("thing") not in self.remains():
            raise CourseError(f"{data.get('thing')} is not among what is to be removed: {', '.join(self.remains())}")
        removal = build(Removal, data, Path(f"removal of {data['thing']}"))
        if removal.media:
            step = self.plan.step_of(removal.thing)
            self._cross(step.id if step else self.current.id, removal.media)
        self.removed[removal.thing] = removal.how
        if not self.remains():
            self.phase = "closing"

    def _close(self, statement: Statement) -> None:
        self.closers.append(statement.person)
        if not self.awaited():
            self.phase = "closed"


SIGNED = ("present", "confirm", "abort", "close")
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "began": frozenset({"step"}),
    "performed": frozenset({"step", "evidence"}),
    "failed": frozenset({"step", "reason"}),
    "refused": frozenset({"act", "person", "role", "reason"}),
    "resumed": frozenset({"reason"}),
    "removed": frozenset({"thing", "how", "media"}),
}
"""What entries that nobody signs say, by their event."""


RULES = 3
"""The version of these rules, in a journal's first entry: what would refuse an older journal is a new version."""


def opening(ceremony: Name, plan: Plan, people: People) -> dict[str, Any]:
    """What the first entry says: all that the journal needs to be understood without anything beside it."""
    stated = plan.model_dump(mode="json", exclude_defaults=True)
    known = people.model_dump(mode="json", exclude_none=True)
    return {"ceremony": ceremony, "plan": stated, "people": known, "rules": RULES}


def begin(first: Entry) -> Course:
    """The course that a journal's first entry opens. Raises KepilError where it opens none that can be held."""
    where = Path(f"entry {first.number}")
    if (
        first.event != "opened"
        or not isinstance(first.data, dict)
        or set(first.data) != {"ceremony", "plan", "people", "rules"}
    ):
        raise CourseError(f"{where}: a ceremony is opened by its first entry")
    if first.data["rules"] != RULES:
        raise CourseError(f"{where}: held by rules {first.data['rules']}; this version knows {RULES} alone")
    plan, people = build(Plan, first.data["plan"], where), build(People, first.data["people"], where)
    if dict(first.data) != opening(first.data["ceremony"], plan, people):
        raise CourseError(f"{where}: not as this project opens ceremonies")
    plan.check()
    people.check(plan)
    return Course(plan, people, first.data["ceremony"], entries=1, head=first.sha256)


def follow(entries: Iterable[Entry]) -> Course:
    """Where a ceremony stands after these entries. Raises KepilError that names the first which may not be there."""
    remaining = iter(entries)
    first = next(remaining, None)
    if first is None:
        raise CourseError("the journal is empty: no ceremony was opened")
    course = begin(first)
    for entry in remaining:
        course.follow(entry)
    return course
