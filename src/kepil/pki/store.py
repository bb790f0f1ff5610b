"""What the CA remembers, as plain SQL: certificates, their status, CRLs and the journal (`migrations/authority`).

A `Store` works on one connection inside the caller's transaction; nothing here commits.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO, Final

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

PIECE_BYTES: Final = 1 << 20
"""Octets of a CRL that are a row of their own."""
SESSION_OPTIONS = "-c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
"""For libpq's `options`: when an HSM freezes in mid-transaction, what it holds locked is free again after a minute."""


def encode_serial(serial: int) -> bytes:
    """A serial number as the tables keep it: unsigned, big-endian, no leading zero octets."""
    return serial.to_bytes((serial.bit_length() + 7) // 8, "big")


@dataclass(frozen=True)
class IssuedCertificate:
    """A row of `certificate`. Instants are aware; `issuer` is the authority's name."""

    serial: bytes
    issuer: str
    subject: str
    profile: str
    not_before: datetime
    not_after: datetime
    spki_sha256: bytes
    der: bytes
    requested_by: str
    idempotency_sha256: bytes | None
    request_sha256: bytes


@dataclass(frozen=True)
class IssuedCrl:
    """A row of `crl`; `base_number` is None for a complete CRL. Its octets are in `crl_piece`."""

    issuer: str
    number: int
    base_number: int | None
    this_update: datetime
    next_update: datetime


@dataclass(frozen=True)
class Status:
    """A row of `status`; `reason` is a CRLReason (RFC 5280 section 5.3.1)."""

    issuer: str
    serial: bytes
    not_after: datetime
    revoked_at: datetime | None
    reason: int | None


_CERTIFICATE = ", ".join(field.name for field in fields(IssuedCertificate))
_CRL = ", ".join(field.name for field in fields(IssuedCrl))
_STATUS = ", ".join(field.name for field in fields(Status))
_COLUMNS = {
    "serial": "bytea",
    "issuer": "text",
    "subject": "text",
    "profile": "text",
    "not_before": "timestamptz",
    "not_after": "timestamptz",
    "spki_sha256": "bytea",
    "der": "bytea",
    "requested_by": "text",
    "idempotency_sha256": "bytea",
    "request_sha256": "bytea",
}
_INSERT_CERTIFICATES = f"""
    with new as (select * from unnest({", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())})
        as new ({", ".join(_COLUMNS)})),
    status as (insert into status (issuer, serial, not_after) select issuer, serial, not_after from new),
    certificate as (insert into certificate ({", ".join(_COLUMNS)}) select {", ".join(_COLUMNS)} from new)
    insert into journal (actor, act, object) select requested_by, 'certificate.issue',
        jsonb_build_object('authority', issuer, 'serial', encode(serial, 'hex'), 'profile', profile) from new
"""  # noqa: S608 -- own names


class Store:
    """The CA's tables, seen through one connection."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection

    # Certificates

    def certificate_by_serial(self, serial: int) -> IssuedCertificate | None:
        """The certificate with this serial number, whatever authority issued it."""
        return self._certificate("serial", encode_serial(serial))

    def earlier_certificates(
        self, spki_sha256: Sequence[bytes], idempotency_sha256: Sequence[bytes]
    ) -> list[IssuedCertificate]:
        """The certificates issued for any of these keys (CP-3.3) or to any of these idempotency keys.

        Nobody else gets an answer for one of them until the transaction ends, so that at most one certificate is
        signed. The locks are taken in order, lest two transactions wait for each other.
        """
        locks = {_lock_number("key", each) for each in spki_sha256}
        locks |= {_lock_number("idempotency", each) for each in idempotency_sha256}
        with self._connection.cursor(row_factory=class_row(IssuedCertificate)) as cursor:
            cursor.execute(
                f"select {_CERTIFICATE} from earlier_certificates(%s, %s::bytea[], %s::bytea[])",  # noqa: S608 -- own names
                [sorted(locks), list(spki_sha256), list(idempotency_sha256)],
            )
            return cursor.fetchall()

    def insert_certificates(self, *certificates: IssuedCertificate) -> None:
        """Record certificates as issued and not revoked, and in the journal who had them issued, in one statement.

        Raises psycopg.errors.UniqueViolation for a known key.
        """
        if certificates:
            self._connection.execute(
                _INSERT_CERTIFICATES, [[getattr(each, name) for each in certificates] for name in _COLUMNS]
            )

    # Status

    def lock_status(self, issuer: str, serial: bytes) -> Status | None:
        """The certificate's status, held against change until the transaction ends."""
        with self._connection.cursor(row_factory=class_row(Status)) as cursor:
            cursor.execute(
                f"select {_STATUS} from status where issuer = %s and serial = %s for update",  # noqa: S608 -- own names
                [issuer, serial],
            )
            return cursor.fetchone()

    def revoke(self, issuer: str, serial: bytes, reason: int) -> datetime:
        """Mark the certificate revoked now, and return that instant.

        The shared lock is what `cut` waits for: no revocation is dated before a cut yet committed after it.
        """
        self._lock("revocations", issuer.encode(), shared=True)
        row = self._connection.execute(
            "update status set revoked_at = clock_timestamp(), reason = %s where issuer = %s and serial = %s "
            "returning revoked_at",
            [reason, issuer, serial],
        ).fetchone()
        if row is None:
            raise LookupError(f"status has no row for {issuer} serial {serial.hex()}")
        revoked_at: datetime = row[0]
        return revoked_at

    # CRLs

    def lock_crls(self, issuer: str) -> None:
        """Let nobody else make a CRL of this issuer until the transaction ends: numbers have no gaps and no twins."""
        self._lock("crl", issuer.encode(), shared=False)

    def cut(self, issuer: str) -> datetime:
        """An instant by the database's clock such that every revocation dated before it is visible from now on.

        Waits for revocations under way and holds up new ones for that moment only, not while a CRL is signed.
        """
        with self._connection.transaction(force_rollback=True):  # the savepoint's end gives the lock back
            self._lock("revocations", issuer.encode(), shared=False)
            row = self._connection.execute("select clock_timestamp()").fetchone()
        assert row is not None  # noqa: S101 -- a select without a table has one row
        now: datetime = row[0]
        return now

    def last_crl(self, issuer: str, *, complete: bool | None = None) -> IssuedCrl | None:
        """The issuer's CRL with the highest number: of any kind, or the last complete one, or the last delta."""
        with self._connection.cursor(row_factory=class_row(IssuedCrl)) as cursor:
            cursor.execute(
                f"select {_CRL} from crl where issuer = %s and coalesce((base_number is null) = %s, true) "  # noqa: S608 -- own names
                "order by number desc limit 1",
                [issuer, complete],
            )
            return cursor.fetchone()

    def insert_crl(self, crl: IssuedCrl, file: BinaryIO) -> None:
        """Record a CRL as issued, with its octets from where the file is to its end; a piece is in memory at once."""
        names = [field.name for field in fields(crl)]
        self._connection.execute(
            f"insert into crl ({_CRL}) values ({', '.join(['%s'] * len(names))})",  # noqa: S608 -- own names
            [getattr(crl, name) for name in names],
        )
        with (
            self._connection.cursor() as cursor,
            cursor.copy("copy crl_piece (issuer, number, piece, octets) from stdin (format binary)") as copy,
        ):
            copy.set_types(["text", "int8", "int4", "bytea"])
            for piece, octets in enumerate(iter(partial(file.read, PIECE_BYTES), b"")):
                copy.write_row((crl.issuer, crl.number, piece, octets))

    def crl_pieces(self, crl: IssuedCrl) -> Iterator[bytes]:
        """A CRL's octets in order, a piece in memory at once; the connection is busy until the last is had."""
        with self._connection.cursor(binary=True) as cursor:
            query = "select octets from crl_piece where issuer = %s and number = %s order by piece"
            for (octets,) in cursor.stream(query, [crl.issuer, crl.number]):
                yield octets

    def lock_publication(self) -> None:
        """Let nobody else publish until the connection closes, lest a slow publisher put an old CRL over a new one."""
        self._connection.execute("select pg_advisory_lock(%s)", [_lock_number("publication", b"")])

    # Journal

    def journal(self, actor: str, act: str, **thing: str | int | None) -> None:
        """Write who did what to which object (CP-5.4). `thing` names it by serial or number, never by personal data."""
        self._connection.execute(
            "insert into journal (actor, act, object) values (%s, %s, %s)", [actor, act, Jsonb(thing)]
        )

    def _certificate(self, column: str, value: bytes) -> IssuedCertificate | None:
        with self._connection.cursor(row_factory=class_row(IssuedCertificate)) as cursor:
            cursor.execute(f"select {_CERTIFICATE} from certificate where {column} = %s", [value])  # noqa: S608 -- own names
            return cursor.fetchone()

    def _lock(self, purpose: str, name: bytes, *, shared: bool) -> None:
        """Take a lock that ends with the transaction. A chance collision of two names costs a wait, nothing else."""
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        self._connection.execute(f"select {function}(%s)", [_lock_number(purpose, name)])


def _lock_number(purpose: str, name: bytes) -> int:
    return int.from_bytes(hashlib.sha256(purpose.encode() + b"\0" + name).digest()[:8], "big", signed=True)
