"""What a participant signs: one canonical line that says who, at which step, after which entry, and what was shown."""

from __future__ import annotations

import tempfile
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from kepil.ceremony.people import NAMESPACE, People
from kepil.ceremony.roles import Role
from kepil.journal.chain import canonical
from kepil.signed.document import Document, Line, Name, Sha256, parse
from kepil.signed.signatures import make_signature

Act = Literal["present", "confirm", "abort", "close"]
TIME = "%Y-%m-%dT%H:%M:%SZ"
Signature = Annotated[str, StringConstraints(pattern=r"^-----BEGIN SSH SIGNATURE-----\n", max_length=10_000)]


class Statement(Document):
    """`previous` is the SHA-256 of the journal's entry before: a signature fits one place of one journal.

    `shown` is exactly what the person had before her eyes, in her language. `typed` is the row of the fingerprint that
    she typed after it was read aloud. `note` is a deviation from the script, or why the ceremony is aborted.
    """

    act: Act
    ceremony: Name
    plan: Sha256
    step: Name | None = None
    previous: Sha256
    person: Name
    role: Role
    shown: dict[str, str]
    typed: Line | None = None
    note: Line | None = None
    time: Annotated[str, AfterValidator(lambda text: parse_time(text) and text)]

    @property
    def at(self) -> datetime:
        """When it was shown."""
        return parse_time(self.time)

    @property
    def content(self) -> bytes:
        """What is signed: canonical JSON."""
        return canonical(self.model_dump(mode="json", exclude_none=True))


class Signed(Document):
    """A statement with its signature, as the journal keeps it."""

    statement: Statement
    signature: Signature


def parse_time(text: str) -> datetime:
    """A moment, in UTC. Raises ValueError."""
    return datetime.strptime(f"{text}+0000", f"{TIME}%z")


def sign(statement: Statement, key: Path, *, quiet: bool = False) -> Signed:
    """Sign with a key file, or with the agent's key of a public key file. Raises SignatureError."""
    made = make_signature(statement.content, key, NAMESPACE, quiet=quiet)
    return Signed(statement=statement, signature=made.decode("ascii"))


def verify(signed: Signed, people: People) -> None:
    """Raise SignatureError unless the person whom the statement names signed it with the key that she is known by."""
    _verify(signed.statement.content, signed.statement.person, signed.statement.time, signed.signature, people.content)


@lru_cache(maxsize=16)
def _people(content: bytes) -> People:
    return parse(content, People, Path("people"))


@lru_cache(maxsize=4096)
def _verify(content: bytes, person: str, time: str, signature: str, people: bytes) -> None:
    """A signature that holds goes on holding: it is asked when it is taken, and when the journal is followed."""
    with tempfile.TemporaryDirectory(prefix="kepil-ceremony-") as folder:
        file = Path(folder, "signature")
        file.write_text(signature, encoding="ascii")
        known = _people(people).allowed_signers(Path(folder))
        known.verify(content, file, person, parse_time(time))
