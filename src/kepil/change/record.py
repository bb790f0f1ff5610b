"""The change record: what may run in which environment, from which commit and when. Two people sign it as it stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StringConstraints, model_validator

from kepil.signed.document import Document, DocumentError, Line, Name, parse

TIME = "%Y-%m-%dT%H:%M:%SZ"
LONGEST = {"ordinary": timedelta(days=7), "break-glass": timedelta(hours=12)}
SIGNATURES = {"ordinary": 2, "break-glass": 1}
"""How many different people must have signed."""

FILE = "record.yml"


def parse_time(text: Any) -> datetime:
    """UTC, to the second, in one spelling; raises ValueError for any other."""
    try:
        return datetime.strptime(text, TIME).replace(tzinfo=UTC)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{text!r} is no time in UTC such as 2026-11-21T18:00:00Z") from error


def _in_project(path: str) -> str:
    if path.startswith(("/", "-")) or {"", ".", ".."} & set(path.split("/")):
        raise ValueError(f"{path!r} must be a path inside the project, such as playbooks/site.yml")
    return path


def _no_file(text: str) -> str:
    if text.startswith("@"):
        raise ValueError(f"{text!r} names a file, which nobody signed: state what it holds")
    return text


Time = Annotated[datetime, BeforeValidator(parse_time), PlainSerializer(lambda time: time.strftime(TIME))]
Text = Annotated[str, StringConstraints(min_length=1)]
ProjectPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]+$"), AfterValidator(_in_project)]


class Window(Document):
    """When a run may begin: not before `from`, and before `until`."""

    since: Time = Field(alias="from")
    until: Time

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.until <= self.since:
            raise ValueError("until: the window must end after it begins")
        return self


class Record(Document):
    """One run of one playbook, named as `ansible-playbook` takes it; it may be repeated inside the window."""

    id: Name
    kind: Literal["ordinary", "break-glass"]
    environment: Name
    commit: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
    playbook: ProjectPath
    inventory: Annotated[tuple[ProjectPath, ...], Field(min_length=1)]
    limit: Annotated[str, StringConstraints(pattern=r"^[^@\s]+$")]
    """As --limit, but no file (`@`) of hosts; `all` where it is not given."""
    tags: tuple[Text, ...] = ()
    skip_tags: tuple[Text, ...] = ()
    start_at_task: Text | None = None
    extra_vars: tuple[Annotated[Text, AfterValidator(_no_file)], ...] = ()
    """As --extra-vars, in their order. Whoever may see the record sees them: no secret belongs here."""
    window: Window
    reason: Line

    @model_validator(mode="after")
    def _check(self) -> Self:
        longest = LONGEST[self.kind]
        if self.window.until - self.window.since > longest:
            raise ValueError(
                f"window: at most {longest} for kind {self.kind}; approve what comes later by a record of its own"
            )
        return self


def folder(project: Path, environment: str) -> Path:
    """Where an environment's records, reviews and log lie; no part of a commit, since records name one."""
    return project / "changes" / environment


def read_record(path: Path) -> tuple[Record, bytes]:
    """A record and its bytes, which are what is signed; raises DocumentError with the file and the key."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DocumentError(
            f"{path}: {error.strerror}: is the record's id right, and did its folder arrive?"
        ) from error
    record = parse(content, Record, path)
    if (record.environment, record.id) != (path.parent.parent.name, path.parent.name):
        raise DocumentError(
            f"{path}: it is record '{record.id}' of '{record.environment}', and does not belong in this folder"
        )
    return record, content
