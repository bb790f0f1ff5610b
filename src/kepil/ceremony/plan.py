"""A definition for one environment: its steps once for each hierarchy, numbered, found sound. This is what is held."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, cast, get_args

from pydantic import Field

from kepil.ceremony.definition import Definition, DefinitionError, Each, Side, Step, Text, Thing
from kepil.ceremony.roles import Role
from kepil.ceremony.soundness import check
from kepil.journal.chain import canonical
from kepil.pki.generation import Authority, Kind, authorities, issuers, members_named
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

    def first(self, thing: Thing) -> bool:
        """Whether a CRL is its root's first, which is found where it stands: the plan makes the certificate too."""
        certificate = f"certificate:{thing.partition(':')[2]}"
        return any(certificate in step.makes for step in self.steps)

    def check(self) -> None:
        """Raise DefinitionError where it cannot work."""
        check(self.id, self.roles, self.holds, self.steps, self.threshold)

    def write(self, path: Path) -> None:
        """Write once; raises DocumentError where the file is there."""
        write_once(path, self.content)


@dataclass(frozen=True)
class Members:
    """The members of an environment's hierarchies in all their generations, and the names of the keys on record.

    `issuing` names the issuing CAs that are chosen; empty means those that issue.
    """

    hierarchies: Mapping[str, Any]
    made: Sequence[Authority]
    recorded: Collection[str]
    issuing: Collection[str] = ()

    def words(self, each: Each) -> Iterator[dict[str, str]]:
        """What `{name}` and the like stand for, for each such member, once.

        `{issuing}` is the CA of its generation, which certifies it; `{before}` the one that issues now.
        """
        which, _, kind = cast(tuple[str, str, Kind], each.rpartition("-"))
        issuing = {one["family"]: one["issuing"]["name"] for one in self.made if one["stage"] == "current"}
        named: dict[str, dict[str, str]] = {}
        for authority in self.made:
            names = {one: authority[one]["name"] for one in get_args(Kind) if one in authority}
            names["before"] = issuing[authority["family"]]
            for member in self._meant(authority, which, kind):
                own = {"name": member["name"], "family": authority["family"], "partition": member["partition"]}
                named.setdefault(member["name"], {**names, **own})
        yield from named.values()

    def _meant(self, authority: Authority, which: str, kind: Kind) -> Iterable[Mapping[str, Any]]:
        stage, renewed = authority["stage"], authority["renewal"]
        if which in ("past", "other"):
            return self._recorded(authority, which, kind) if stage == "current" else []
        if which == "next" and kind in renewed:
            return [renewed[kind]]
        meant = {
            "": stage == "current",
            "next": stage == "next",
            "served": self._served(authority, kind),
            "chosen": self._served(authority, kind) and self._chosen(authority),
        }
        return [authority[kind]] if meant[which] else []

    def _served(self, authority: Authority, kind: Kind) -> bool:
        """Whether the authority has such a member; of those that follow, one that was made, and the root, which was."""
        made = authority["stage"] != "next" or kind == "root"
        return kind in authority and (made or authority[kind]["name"] in self.recorded)

    def _chosen(self, authority: Authority) -> bool:
        return authority["issuing"]["name"] in self.issuing if self.issuing else authority["stage"] == "current"

    def _recorded(self, authority: Authority, which: str, kind: Kind) -> Iterable[Mapping[str, Any]]:
        named: Container[str] = issuers(self.made) if which == "past" else {authority[kind]["name"]}
        hierarchy = {authority["family"]: self.hierarchies[authority["family"]]}
        return [one for one in members_named(hierarchy, kind, self.recorded) if one["name"] not in named]


def make_plan(
    definition: Definition,
    environment: str,
    hierarchies: Mapping[str, Any],
    generations: Mapping[str, Any] | None = None,
    recorded: Collection[str] = (),
    used: Collection[str] = (),
    issuing: Collection[str] = (),
) -> Plan:
    """The plan for an environment's hierarchies, as they are known, in the generations of its `pki_generations`.

    `recorded` names the keys of the environment that are on record, `used` those that were destroyed, `issuing` the
    issuing CAs that it is about, where it is not about those that issue. Raises DefinitionError where it cannot work,
    or has nothing to act on; ProfileError for generations that contradict each other.
    """
    members = Members(hierarchies, authorities(hierarchies, generations or {}), recorded, issuing)
    _refuse_used(definition, members, used)
    _refuse_unknown(definition, members)
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
        known = "name, family, root, issuing, ocsp, tsp, before, partition, and those only in steps with `each`"
        raise DefinitionError(f"{definition.id}: {{{error.args[0]}}} stands for nothing; known are {known}") from error
    if len(plan.steps) == sum(step.each is None for step in definition.steps) < len(definition.steps):
        raise DefinitionError(
            f"{definition.id}: nothing to act on in {environment}: its pki_generations names nothing next that is to "
            "be made, or all that is on record (docs/ceremonies.md, Generations)"
        )
    plan.check()
    return plan


def read_plan(path: Path) -> Plan:
    """A plan that was written; it is examined again. Raises KepilError."""
    plan = parse(path.read_bytes(), Plan, path)
    if plan.content != path.read_bytes():
        raise DefinitionError(f"{path}: not as this project writes plans: make it again with kepil ceremony plan")
    plan.check()
    return plan


def _refuse_used(definition: Definition, members: Members, used: Collection[str]) -> None:
    """A number is given once: what a destroyed key had certified is still published under its name."""
    coming = {each for step in definition.steps if (each := step.each) and each.startswith("next-")}
    for name in sorted(words["name"] for each in coming for words in members.words(each) if words["name"] in used):
        raise DefinitionError(
            f"{definition.id}: {name} was the name of a key that was destroyed: take a higher number in pki_generations"
        )


def _refuse_unknown(definition: Definition, members: Members) -> None:
    """A chosen issuing CA is one that the environment has, in a ceremony that is about chosen ones."""
    if members.issuing and not any(step.each and step.each.startswith("chosen-") for step in definition.steps):
        raise DefinitionError(f"{definition.id}: {', '.join(members.issuing)}: it is not about chosen issuing CAs")
    there = [words["name"] for words in members.words("served-issuing")]
    if unknown := [name for name in members.issuing if name not in there]:
        raise DefinitionError(
            f"{definition.id}: no issuing CA {', '.join(unknown)}: pki_generations has {', '.join(there)} "
            "(docs/ceremonies.md, Generations)"
        )


def _held(definition: Definition, members: Members) -> Iterator[Thing]:
    for thing, which in definition.holds.items():
        if which == "once":
            yield thing
        else:
            each = (which,) if isinstance(which, str) else which
            yield from dict.fromkeys(thing.format_map(words) for one in each for words in members.words(one))


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
