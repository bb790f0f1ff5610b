"""A definition for one environment: its steps once for each hierarchy, numbered, found sound. This is what is held."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from kepil.ceremony.definition import Definition, DefinitionError, Each, Side, Step, Text, Thing
from kepil.ceremony.roles import Role
from kepil.ceremony.soundness import check
from kepil.journal.chain import canonical
from kepil.signed.document import Document, Line, Name, parse, write_once


class Plan(Document):
    """What the engine steps through; its SHA-256 is in the journal's first entry and in every signature."""

    id: Name
    environment: Name
    title: Text
    purpose: Text
    clauses: tuple[Line, ...]
    roles: dict[Role, int]
    holds: tuple[Thing, ...] = ()
    threshold: int | None = None
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @property
    def content(self) -> bytes:
        """The plan as canonical JSON: these bytes are printed, carried, hashed and kept."""
        return canonical(self.model_dump(mode="json", exclude_defaults=True))

    @property
    def sha256(self) -> str:
        """Of the content."""
        return sha256(self.content).hexdigest()

    def step_of(self, thing: Thing) -> Step | None:
        """The step that makes a thing, or else the first that destroys it, or else that needs it."""
        for of in (attrgetter("makes"), attrgetter("destroys"), attrgetter("needs")):
            if steps := [step for step in self.steps if thing in of(step)]:
                return steps[0]
        return None

    def at(self, thing: Thing) -> Side:
        """On which side of the air gap a thing is."""
        step = self.step_of(thing)
        return step.at if step else "estate"

    def check(self) -> None:
        """Raise DefinitionError where it cannot work."""
        check(self.id, self.roles, self.holds, self.steps, self.threshold)

    def write(self, path: Path) -> None:
        """Write once; raises DocumentError where the file is there."""
        write_once(path, self.content)


@dataclass(frozen=True)
class Members:
    """The members of an environment's hierarchies, and the names of the keys that follow some of them."""

    hierarchies: Mapping[str, Any]
    following: Collection[str]

    def words(self, each: Each) -> Iterator[dict[str, str]]:
        """What `{name}` and the like stand for, for that member of each hierarchy that has it."""
        for family, hierarchy in self.hierarchies.items():
            names = {kind: hierarchy[kind]["name"] for kind in ("root", "issuing", "ocsp", "tsp")}
            member = hierarchy["issuing" if each == "following" else each]
            name = f"{member['name']}-next" if each == "following" else member["name"]
            if each != "following" or name in self.following:
                yield {**names, "name": name, "family": family, "partition": member["partition"]}


def make_plan(
    definition: Definition, environment: str, hierarchies: Mapping[str, Any], following: Collection[str] = ()
) -> Plan:
    """The plan for an environment's `pki_hierarchies`. Raises DefinitionError where it cannot work.

    `following` names the keys of the environment that follow others (`NAME-next`), as its records have them.
    """
    members = Members(hierarchies, following)
    try:
        plan = Plan(
            id=definition.id,
            environment=environment,
            title=definition.title,
            purpose=definition.purpose,
            clauses=definition.clauses,
            roles=definition.roles,
            holds=tuple(_held(definition, members)),
            threshold=definition.threshold,
            steps=tuple(_steps(definition, members)),
        )
    except KeyError as error:
        known = "name, family, root, issuing, ocsp, tsp, partition, and those only in steps with `each`"
        raise DefinitionError(f"{definition.id}: {{{error.args[0]}}} stands for nothing; known are {known}") from error
    plan.check()
    return plan


def read_plan(path: Path) -> Plan:
    """A plan that was written; it is examined again. Raises KepilError."""
    plan = parse(path.read_bytes(), Plan, path)
    if plan.content != path.read_bytes():
        raise DefinitionError(f"{path}: not as this project writes plans: make it again with kepil ceremony plan")
    plan.check()
    return plan


def _held(definition: Definition, members: Members) -> Iterator[Thing]:
    for thing, each in definition.holds.items():
        if each == "once":
            yield thing
        else:
            yield from (thing.format_map(words) for words in members.words(each))


def _steps(definition: Definition, members: Members) -> Iterator[Step]:
    for step in definition.steps:
        if step.each is None:
            yield step
        else:
            yield from (_filled(step, words) for words in members.words(step.each))


def _filled(step: Step, words: Mapping[str, str]) -> Step:
    changes: dict[str, Any] = {
        "id": f"{step.id}-{words['name']}",
        "each": None,
        "title": step.title.filled(words),
        "expect": step.expect.filled(words),
        **{kind: tuple(t.format_map(words) for t in getattr(step, kind)) for kind in ("needs", "makes", "destroys")},
    }
    return step.model_copy(update=changes)
