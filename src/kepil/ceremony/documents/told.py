"""What a journal tells, arranged for people: step by step, who confirmed what, what went otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kepil.ceremony.course import Course, begin
from kepil.ceremony.definition import SIDES, Side, Step, Thing
from kepil.ceremony.evidence import fingerprint, kind
from kepil.ceremony.roles import Role
from kepil.journal.chain import Entry


@dataclass(frozen=True)
class Confirmation:
    """Who confirmed, as what, when, and how it deviated from the script."""

    person: str
    role: Role
    time: str
    note: str | None


@dataclass(frozen=True)
class Incident:
    """What was refused, failed, interrupted or aborted."""

    time: str
    kind: str
    words: str


@dataclass
class ToldStep:
    """A step as it went."""

    number: int
    step: Step
    performed: str = ""
    made: Sequence[tuple[Thing, str]] = ()
    destroyed: Sequence[Thing] = ()
    confirmations: list[Confirmation] = field(default_factory=list)


@dataclass
class Told:
    """A ceremony as its journal tells it."""

    course: Course
    began: str
    ended: str
    steps: list[ToldStep]
    incidents: list[Incident] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """completed, aborted or unfinished."""
        return self.course.outcome if self.course.phase == "closed" else "unfinished"

    @property
    def reconciled(self) -> bool:
        """Whether the modules' accounts before and after agree with the journal; the course saw to it that they do."""
        due = [side for side in SIDES if any(step.account for step in self.course.plan.steps if step.at == side)]
        return all(len(self.course.accounts[side]) > 1 for side in due)

    @property
    def account_due(self) -> bool:
        """Whether the modules are asked for an account in this ceremony."""
        return any(step.account for step in self.course.plan.steps)

    def gone(self, thing: Thing) -> bool:
        """Whether a thing was destroyed after it was made."""
        return thing in self.course.removed or thing in self.course.destroyed

    def things(self, wanted: str) -> list[tuple[Thing, Mapping[str, Any]]]:
        """What was made of a kind."""
        return [(thing, made) for thing, made in self.course.made.items() if kind(thing) == wanted]

    def outputs(self) -> list[tuple[Thing, Mapping[str, Any]]]:
        """What was made and is no key; that a module was opened, or told what it had signed, stands with its step."""
        return [
            (thing, made) for thing, made in self.course.made.items() if kind(thing) not in ("key", "opened", "state")
        ]

    def accounts(self) -> Iterator[tuple[Side, Mapping[str, str], Mapping[str, str]]]:
        """The modules' accounts on each side of the air gap: the first, and the last of those after it."""
        for side, accounts in self.course.accounts.items():
            if accounts:
                yield side, accounts[0], accounts[-1] if len(accounts) > 1 else {}


def tell(entries: Sequence[Entry]) -> Told:
    """What a journal tells; raises KepilError where it is no journal of a ceremony."""
    course = begin(entries[0])
    steps = [ToldStep(number, step) for number, step in enumerate(course.plan.steps, start=1)]
    told = Told(course, began=entries[0].time, ended=entries[-1].time, steps=steps)
    for entry in entries[1:]:
        here = steps[min(course.step, len(steps) - 1)]
        course.follow(entry)
        _take(told, here, entry)
    return told


def _take(told: Told, here: ToldStep, entry: Entry) -> None:
    data = entry.data
    match entry.event:
        case "performed":
            evidence = data["evidence"]
            here.performed = entry.time
            here.made = [(thing, fingerprint(thing, made)) for thing, made in evidence.get("made", {}).items()]
            here.destroyed = list(evidence.get("destroyed", {}))
        case "confirm":
            stated = data["statement"]
            one = Confirmation(stated["person"], stated["role"], entry.time, stated.get("note"))
            here.confirmations.append(one)
            if one.note:
                words = f"{here.number} ({here.step.id}): {one.person}: {one.note}"
                told.incidents.append(Incident(entry.time, "deviation", words))
        case "abort":
            words = f"{data['statement']['person']}: {data['statement']['note']}"
            told.incidents.append(Incident(entry.time, "abort", words))
        case "refused":
            who, reason = data["person"], data["reason"]
            told.incidents.append(Incident(entry.time, "refused", reason if who in reason else f"{who}: {reason}"))
        case "failed":
            told.incidents.append(Incident(entry.time, "failed", f"{here.number} ({data['step']}): {data['reason']}"))
        case "resumed":
            told.incidents.append(Incident(entry.time, "resumed", f"{here.number} ({here.step.id}): {data['reason']}"))
        case "removed":
            told.incidents.append(Incident(entry.time, "removed", f"{data['thing']}: {data['how']}"))
