"""A ceremony as it is written down, once: script, engine and playbook all follow it.

Definitions lie in `playbooks/ceremonies/scripts/`, each named after the playbook that acts. What several ceremonies
share (who arrives, how it ends) lies in `parts/` beside them and is included by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, StringConstraints

from kepil.ceremony.roles import Role
from kepil.errors import KepilError
from kepil.signed.document import Document, Line, Name, build, compose, parse

Language = Literal["kk", "ru", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("kk", "ru", "en")

KINDS: Final = ("partition", "shares", "opened", "state", "key", "request", "certificate", "crl", "file", "backup")
Thing = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(KINDS)}):[a-z0-9{{}}][a-z0-9._{{}}-]*$")]
"""What steps need and make: kind and name, as `key:krnca-rsa`. In a definition `{name}` stands for a member's name.

`opened:root` is a module that custodians have opened, until it is closed. One that was closed is opened again under
another name, `opened:root-again`. `state:root` is what the roots signed before, brought to their host.
"""

Side = Literal["estate", "root"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)
"""The two sides of the air gap: hosts that have a network, and the offline root's."""

Each = Annotated[
    str, StringConstraints(pattern=r"^((chosen-)?root|((next|past|other|served|chosen)-)?(issuing|ocsp|tsp))$")
]
"""A member of every hierarchy that the environment has, in the generation that issues.

`next` are those that shall follow, as `pki_generations` has them; `past` those on record that it names no more; `other`
all on record but the ones that issue; `served` all that it names, of those that shall follow the ones on record;
`chosen` those of the issuing CAs that the plan is about, of whatever generation: the ones that issue if none is named.
"""


class DefinitionError(KepilError):
    """A definition cannot be read, or cannot work; the message names file, step and what is wrong."""


class Text(Document):
    """The same in the three languages of the minutes."""

    kk: Line
    ru: Line
    en: Line

    def filled(self, values: Mapping[str, str]) -> Text:
        """The text with `{name}` and the like put in. Raises KeyError for a word that nobody knows."""
        return Text(kk=self.kk.format_map(values), ru=self.ru.format_map(values), en=self.en.format_map(values))


class Step(Document):
    """One numbered step: who acts, who confirms, what is expected, what it needs and what it makes.

    `confirms` is how many people of each role confirm; they are all different people. `act` is the tag under which the
    ceremony's playbook does it, on the hosts of the side that `at` names; a step without one is done by people alone.
    `account` says that the act also reports every key that the HSMs of its side hold; `empty`, that none of those that
    the plan destroys there may be among them any more. `order` says that an order names what the CRL lists anew: its
    SHA-256 is shown to those who confirm. `secret` says that secrets pass: then nothing but what `makes` names is
    written down. `read_aloud` says that fingerprints are read aloud and that who confirms types a row of each.
    """

    id: Name
    each: Each | None = None
    title: Text
    expect: Text
    actor: Role
    confirms: Annotated[dict[Role, Annotated[int, Field(ge=1, le=20)]], Field(min_length=1)]
    act: Name | None = None
    at: Side = "estate"
    needs: tuple[Thing, ...] = ()
    makes: tuple[Thing, ...] = ()
    destroys: tuple[Thing, ...] = ()
    account: bool = False
    empty: bool = False
    order: bool = False
    secret: bool = False
    read_aloud: bool = False


class Part(Document):
    """Steps that several ceremonies share."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


class Definition(Document):
    """A ceremony. `roles` is how many of each role must be there; `holds` what earlier ceremonies left for it.

    In a file, `part: NAME` among the steps stands for that part's steps; `begins` and `ends` name parts around them.

    `threshold` is how many shares open a partition, in the ceremony that hands them out (CP-6.4).
    """

    id: Name
    title: Text
    purpose: Text
    clauses: Annotated[tuple[Line, ...], Field(min_length=1)]
    roles: dict[Role, Annotated[int, Field(ge=1, le=20)]]
    holds: dict[Thing, Literal["once"] | Each | tuple[Each, ...]] = Field(default_factory=dict)
    begins: tuple[Name, ...] = ()
    ends: tuple[Name, ...] = ()
    threshold: Annotated[int, Field(ge=2, le=16)] | None = None
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]


def read_definition(path: Path) -> Definition:
    """The definition in a file, with the parts that it names. Raises KepilError."""
    stated = compose(_read(path), path)[1]
    if isinstance(stated, dict) and isinstance(stated.get("steps"), list):
        stated["steps"] = [one for step in stated["steps"] for one in _with_parts(path, step)]
    definition = build(Definition, stated, path)
    if definition.id != path.stem:
        raise DefinitionError(f"{path}: id: {definition.id!r}; the file's name is its id: call it {path.stem}")
    before = [step for name in definition.begins for step in _part(path, name)]
    after = [step for name in definition.ends for step in _part(path, name)]
    changes: dict[str, Any] = {"steps": (*before, *definition.steps, *after), "begins": (), "ends": ()}
    return definition.model_copy(update=changes)


def _with_parts(path: Path, step: Any) -> Sequence[Any]:
    """What stands for a step in a file: itself, or those of the part that it names."""
    return _part(path, step["part"]) if isinstance(step, dict) and step.keys() == {"part"} else [step]


def _part(path: Path, name: str) -> tuple[Step, ...]:
    file = path.parent / "parts" / f"{name}.yml"
    return parse(_read(file), Part, file).steps


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yml"))) or "nothing"
        raise DefinitionError(f"{path}: there is no such file; the folder has {known}") from error
