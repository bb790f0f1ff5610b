"""What the registration authority remembers, as plain SQL (`pki/migrations/registration`).

A `Store` works on one connection inside the caller's transaction; nothing here commits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

SESSION_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
"""For libpq's `options`: a caller that hangs in mid-transaction holds nobody up for longer than that."""


@dataclass(frozen=True)
class Submission:
    """What is recorded of an application when it is made; see the table `application`."""

    branch: str
    profile: str
    authority: str
    request: bytes
    request_sha256: bytes
    key_sha256: bytes
    email: str
    document_sha256: bytes
    submitted_by: str
    idempotency_sha256: bytes
    body_sha256: bytes
    approvals_needed: int


@dataclass(frozen=True)
class Row:
    """An application as it stands. Instants are aware; `approved_by` is in order of approval."""

    id: UUID
    number: int
    state: str
    branch: str
    profile: str
    authority: str
    request: bytes
    request_sha256: bytes
    key_sha256: bytes
    email: str | None
    document_sha256: bytes
    submitted_at: datetime
    submitted_by: str
    body_sha256: bytes
    approvals_needed: int
    reason: str | None
    serial: bytes | None
    told_at: datetime | None
    approved_by: list[str]


_APPROVED_BY = (
    "array(select officer from finding where finding.application = application.id and verdict = 'approved' "
    "order by at, officer)"
)
_ROW = (
    ", ".join(field.name for field in fields(Row) if field.name != "approved_by") + f", {_APPROVED_BY} as approved_by"
)
_SUBMISSION = [field.name for field in fields(Submission)]
_SEEN = "(%(branch)s::text is null or branch = %(branch)s)"


class Store:
    """The registration authority's tables, seen through one connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    # Applications

    def submit(self, submission: Submission) -> UUID | None:
        """Record an application and return its identifier; None where its idempotency key or its key was used before.

        Of the same application sent twice at once, either constraint may be the first that the second one meets.
        """
        row = self._connection.execute(
            f"insert into application ({', '.join(_SUBMISSION)}) "  # noqa: S608 -- own names
            f"values ({', '.join(f'%({name})s' for name in _SUBMISSION)}) "
            "on conflict do nothing returning id",
            asdict(submission),
        ).fetchone()
        return row[0] if row else None

    def by_idempotency_key(self, idempotency_sha256: bytes) -> Row | None:
        """The application that was made with this idempotency key."""
        return self._one("idempotency_sha256 = %(key)s", {"key": idempotency_sha256})

    def application(self, identifier: UUID, branch: str | None, *, lock: bool = False) -> Row | None:
        """The application, if it is of that branch (None: of any); held against change where `lock` says so."""
        if lock:  # by itself, for what a statement sees of `finding` was committed before it began
            self._connection.execute("select from application where id = %s for update", [identifier])
        return self._one(f"id = %(id)s and {_SEEN}", {"id": identifier, "branch": branch})

    def by_serial(self, serial: bytes) -> Row | None:
        """The application that led to the certificate."""
        return self._one("serial = %(serial)s", {"serial": serial})

    def applications(self, branch: str | None, state: str | None, after: int, limit: int) -> list[Row]:
        """Applications in order, from the one after number `after` on; None: of any branch, in any state.

        Only what is asked for is in the condition, so that each way to ask has its index.
        """
        asked = {name: value for name, value in (("branch", branch), ("state", state)) if value is not None}
        conditions = [f"{name} = %({name})s" for name in asked]
        return self._rows(
            " and ".join([*conditions, "number > %(after)s"]) + " order by number limit %(limit)s",
            {**asked, "after": after, "limit": limit},
        )

    def unissued(self) -> list[Row]:
        """Applications that wait for the CA, oldest first; a hundred at most."""
        return self._rows("state = 'approved' order by number limit 100", {})

    def untold(self) -> list[Row]:
        """Applications whose subscriber waits for word, oldest first; a hundred at most."""
        return self._rows("state = 'issued' and told_at is null order by number limit 100", {})

    def hold_untold(self, identifier: UUID) -> Row | None:
        """The application if its subscriber still waits for word, held; None where somebody else holds it."""
        return self._one(
            "id = %(id)s and state = 'issued' and told_at is null for update skip locked", {"id": identifier}
        )

    def find(self, application: UUID, officer: str, verdict: str) -> bool:
        """Record what an officer found; False where it is recorded already."""
        inserted = self._connection.execute(
            "insert into finding (application, officer, verdict) values (%s, %s, %s) on conflict do nothing",
            [application, officer, verdict],
        )
        return inserted.rowcount == 1

    def found(self, application: UUID, officer: str, verdict: str) -> bool:
        """Whether the officer found that."""
        row = self._connection.execute(
            "select from finding where application = %s and officer = %s and verdict = %s",
            [application, officer, verdict],
        ).fetchone()
        return row is not None

    def approve(self, application: UUID) -> None:
        """Send the application on to the CA."""
        self._connection.execute("update application set state = 'approved' where id = %s", [application])

    def end(self, application: UUID, state: str, reason: str, was: str) -> bool:
        """End the application as `rejected` or `refused`, and forget the address; False where it was not in `was`."""
        updated = self._connection.execute(
            "update application set state = %s, reason = %s, email = null where id = %s and state = %s",
            [state, reason, application, was],
        )
        return updated.rowcount == 1

    def issued(self, application: UUID, authority: str, serial: bytes) -> bool:
        """Record that this CA issued; False where that is recorded already."""
        updated = self._connection.execute(
            "update application set state = 'issued', authority = %s, serial = %s where id = %s and state = 'approved'",
            [authority, serial, application],
        )
        return updated.rowcount == 1

    def told(self, application: UUID) -> None:
        """Record that word to the subscriber is on its way, and forget the address."""
        self._connection.execute(
            "update application set told_at = clock_timestamp(), email = null where id = %s", [application]
        )

    # Journal

    def journal(self, actor: str, act: str, **thing: str | int | None) -> None:
        """Write who did what to which object (CP-5.4). `thing` names it by identifier, hash or serial number."""
        self._connection.execute(
            "insert into journal (actor, act, object) values (%s, %s, %s)", [actor, act, Jsonb(thing)]
        )

    def entries(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Entries of the journal in order, from the one after number `after` on."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                "select id as number, at, actor, act, object from journal where id > %s order by id limit %s",
                [after, limit],
            )
            return cursor.fetchall()

    def _one(self, condition: str, values: dict[str, Any]) -> Row | None:
        found = self._rows(condition, values)
        return found[0] if found else None

    def _rows(self, condition: str, values: dict[str, Any]) -> list[Row]:
        with self._connection.cursor(row_factory=class_row(Row)) as cursor:
            cursor.execute(f"select {_ROW} from application where {condition}".encode(), values)  # noqa: S608 - own names
            return cursor.fetchall()
