"""The people of one ceremony: what each is, and the keys by which each is known."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from kepil.ceremony.definition import Language
from kepil.ceremony.plan import Plan
from kepil.ceremony.roles import Role, conflict
from kepil.errors import KepilError
from kepil.journal.chain import canonical
from kepil.signed.document import Document, Line, Name, parse, write_once
from kepil.signed.signatures import AllowedSigners

NAMESPACE = "ceremony@kepil"
"""What signatures in ceremonies are for: one made for a change, a login or a mail does not count."""

SshKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9@.-]+ [A-Za-z0-9+/]+=*$", strip_whitespace=True)]


class PeopleError(KepilError):
    """These people cannot hold this ceremony; the message names them and who is lacking."""


class Person(Document):
    """A participant. `key` is an SSH public key: of a file, a smart card or a FIDO token.

    `certificate` (PEM) is what a custodian's shares are encrypted to; its key may lie on the same card.
    """

    id: Name
    name: Line
    organisation: Line
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    language: Language = "kk"
    key: SshKey
    certificate: Annotated[str, StringConstraints(pattern=r"^-----BEGIN CERTIFICATE-----\n")] | None = None

    @field_validator("roles")
    @classmethod
    def _refuse_conflict(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if pair := conflict(roles):
            raise ValueError(f"nobody may be {pair[0]} and {pair[1]} at once")
        if len(set(roles)) < len(roles):
            raise ValueError("a role is there twice")
        return roles

    @field_validator("key")
    @classmethod
    def _refuse_other_type(cls, key: str) -> str:
        kind, encoded = key.split()
        inside = base64.b64decode(encoded)
        if inside[4 : 4 + int.from_bytes(inside[:4])] != kind.encode():
            raise ValueError(f"this is no {kind} key")
        return key


class People(Document):
    """All participants; each is one person with one key."""

    people: Annotated[tuple[Person, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _refuse_doubles(self) -> Self:
        for what in ("id", "key", "name"):
            values = [getattr(person, what) for person in self.people]
            if twice := [value for number, value in enumerate(values) if value in values[:number]]:
                raise ValueError(f"two participants have the {what} {twice[0]!r}: one person, one key")
        return self

    @property
    def content(self) -> bytes:
        """The participants as canonical JSON, which is kept and hashed."""
        return canonical(self.model_dump(mode="json", exclude_none=True))

    @property
    def sha256(self) -> str:
        """Of the content."""
        return sha256(self.content).hexdigest()

    def write(self, path: Path) -> None:
        """Write once; raises DocumentError where the file is there."""
        write_once(path, self.content)

    def get(self, identity: str) -> Person | None:
        """The participant with this id, if there is one."""
        return next((person for person in self.people if person.id == identity), None)

    def holders(self, role: Role) -> list[Person]:
        """Who holds a role."""
        return [person for person in self.people if role in person.roles]

    def check(self, plan: Plan) -> None:
        """Raise PeopleError unless they are enough for every step of a plan."""
        lacking = [*self._too_few(plan), *self._steps_without_people(plan), *self._without_certificate(plan)]
        if lacking:
            raise PeopleError(f"{plan.id}: these people cannot hold this ceremony: {'; '.join(lacking)}")

    def _too_few(self, plan: Plan) -> Iterator[str]:
        for role, number in plan.roles.items():
            if len(self.holders(role)) < number:
                yield f"{number} {role} must be there, and there are {len(self.holders(role))}"

    def _steps_without_people(self, plan: Plan) -> Iterator[str]:
        for step in plan.steps:
            slots = [role for role, number in step.confirms.items() for _ in range(number)]
            if not self._fill(slots):
                yield f"step {step.id} needs {len(slots)} different people"

    def _without_certificate(self, plan: Plan) -> Iterator[str]:
        if plan.threshold is not None:
            for person in self.holders("custodian"):
                if person.certificate is None:
                    yield f"{person.id} has no certificate, to which the share is to be encrypted"

    def _fill(self, slots: Sequence[Role]) -> bool:
        """Whether as many different people can stand in these roles (augmenting paths in a bipartite graph)."""
        standing: dict[str, int] = {}

        def place(slot: int, seen: set[str]) -> bool:
            for person in self.holders(slots[slot]):
                if person.id not in seen:
                    seen.add(person.id)
                    if person.id not in standing or place(standing[person.id], seen):
                        standing[person.id] = slot
                        return True
            return False

        return all(place(slot, set()) for slot in range(len(slots)))

    def allowed_signers(self, folder: Path) -> AllowedSigners:
        """The participants' keys as OpenSSH reads them, in a file in this folder."""
        path = folder / "allowed_signers"
        lines = [f'{person.id} namespaces="{NAMESPACE}" {person.key}\n' for person in self.people]
        path.write_text("".join(lines), encoding="ascii")
        return AllowedSigners(path, NAMESPACE)


def read_people(path: Path) -> People:
    """The participants in a file (YAML, or the JSON of a bundle). Raises DocumentError."""
    return parse(path.read_bytes(), People, path)


def keys_of(people: People) -> Mapping[str, str]:
    """Each participant's key."""
    return {person.id: person.key for person in people.people}
