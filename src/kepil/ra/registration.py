"""The registration authority: apply, check, approve or reject, fetch, revoke (CP-1.3.2, CP-3.2, CP-4.1 to 4.4, CP-4.9).

Each act and its entry in the journal are one transaction, committed before anyone is answered. Who may do what is the
API's business (`kepil.ra.operation`); that nobody decides on his own application, and that as many approve as must, is
this module's and once more the database's.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
from asn1crypto import pem, x509

from kepil.pki.request import Asked, check, read_request
from kepil.ra.authority import Authority, AuthorityFailedError, NotIssuingError, RefusedByAuthorityError
from kepil.ra.https import UnreachableError
from kepil.ra.messages import (
    Application,
    Approval,
    Check,
    Entry,
    JournalPage,
    Listing,
    NewApplication,
    Page,
    Paging,
    Rejection,
    Revocation,
    Revoked,
)
from kepil.ra.notice import NoticeError, Post, notice
from kepil.ra.officer import Officer
from kepil.ra.problem import RegistrationError
from kepil.ra.settings import RaSettings
from kepil.ra.store import Row, Store, Submission

Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Opens a connection that commits at the end of its `with`, or rolls back if that raises."""

log = logging.getLogger(__name__)


class Registration:
    """The registration authority over one database, one CA and one mail transport. Safe to share between threads."""

    def __init__(self, settings: RaSettings, connect: Connect, authority: Authority, post: Post) -> None:
        self._settings = settings
        self._connect = connect
        self._authority = authority
        self._post = post

    def apply(self, officer: Officer, asked: NewApplication, idempotency_key: str) -> Application:
        """Take an application, if the CA would as far as one can tell here. Once, however often it is sent.

        Raises RegistrationError, and what `kepil.pki.request` raises.
        """
        authority = self._issuing(asked.authority)
        request, found = self._examine(asked.request.encode(), asked.profile, authority)
        submission = Submission(
            branch=officer.branch,
            profile=asked.profile,
            authority=authority,
            request=request,
            request_sha256=hashlib.sha256(request).digest(),
            key_sha256=found.public_key.sha256,
            email=asked.email,
            document_sha256=bytes.fromhex(asked.document_sha256),
            submitted_by=officer.name,
            idempotency_sha256=hashlib.sha256(f"{officer.name}\0{idempotency_key}".encode()).digest(),
            body_sha256=hashlib.sha256(asked.model_dump_json().encode()).digest(),
            approvals_needed=2 if asked.profile in self._settings.two_approvers else 1,
        )
        with self._connect() as connection:
            return _message(self._submit(Store(connection), submission))

    def _submit(self, store: Store, submission: Submission) -> Row:
        identifier = store.submit(submission)
        if identifier is not None:
            store.journal(
                submission.submitted_by,
                "application.submit",
                application=str(identifier),
                profile=submission.profile,
                document_sha256=submission.document_sha256.hex(),
            )
        row = store.by_idempotency_key(submission.idempotency_sha256)
        if row is None:
            raise RegistrationError("key-seen-before", "another application has this key")
        if row.body_sha256 != submission.body_sha256:
            raise RegistrationError("idempotency-key-reused", "this Idempotency-Key came with another application")
        return row

    def show(self, officer: Officer, identifier: UUID) -> Application:
        """An application of the officer's branch. Raises RegistrationError."""
        with self._connect() as connection:
            return _message(_row(Store(connection), officer, identifier))

    def applications(self, officer: Officer, listing: Listing) -> Page:
        """Applications of the officer's branch, oldest first."""
        with self._connect() as connection:
            rows = Store(connection).applications(
                officer.sees, listing.state, int(listing.cursor or 0), listing.limit + 1
            )
        shown = rows[: listing.limit]
        more = str(shown[-1].number) if len(rows) > len(shown) else None
        return Page(items=[_message(row) for row in shown], next=more)

    def check(self, officer: Officer, identifier: UUID) -> Check:
        """What the request asks for, to be compared with the documents. Who looked stands in the journal (CP-9.4).

        Raises RegistrationError, and what `kepil.pki.request` raises where the rules have changed since.
        """
        with self._connect() as connection:
            store = Store(connection)
            row = _row(store, officer, identifier)
            _, found = self._examine(row.request, row.profile, row.authority)
            store.find(row.id, officer.name, "checked")
            store.journal(officer.name, "application.check", application=str(row.id))
        return Check(
            id=row.id,
            request_sha256=row.request_sha256.hex(),
            subject=found.subject.attributes,
            dns_names=list(found.dns_names),
            email=row.email,
            key=found.public_key.kind,
            key_sha256=row.key_sha256.hex(),
        )

    def approve(self, officer: Officer, identifier: UUID, approval: Approval) -> Application:
        """Approve what was checked; with the last approval that is needed it goes to the CA at once.

        A CA that does not answer takes nothing back: the application stays approved and is issued later.
        Raises RegistrationError.
        """
        with self._connect() as connection:
            store = Store(connection)
            row = _row(store, officer, identifier, lock=True)
            _not_own(row, officer)
            if row.request_sha256.hex() != approval.request_sha256:
                raise RegistrationError("request-changed", "this is not the digest of the application's request")
            if officer.name not in row.approved_by:
                _undecided(row)
                if not store.found(row.id, officer.name, "checked"):
                    raise RegistrationError("not-checked", f"{officer.name} has not checked this application")
                store.find(row.id, officer.name, "approved")
                store.journal(officer.name, "application.approve", application=str(row.id))
                if len(row.approved_by) + 1 >= row.approvals_needed:
                    store.approve(row.id)
        self._go_on(identifier)
        return self.show(officer, identifier)

    def reject(self, officer: Officer, identifier: UUID, rejection: Rejection) -> Application:
        """Reject for good. Rejecting again for the same reason changes nothing. Raises RegistrationError."""
        with self._connect() as connection:
            store = Store(connection)
            row = _row(store, officer, identifier, lock=True)
            _not_own(row, officer)
            if (row.state, row.reason) != ("rejected", rejection.reason):
                _undecided(row)
                store.find(row.id, officer.name, "rejected")
                store.end(row.id, "rejected", rejection.reason, was="submitted")
                store.journal(officer.name, "application.reject", application=str(row.id), reason=rejection.reason)
        return self.show(officer, identifier)

    def fetch(self, officer: Officer, identifier: UUID) -> bytes:
        """The certificate with its issuer's, PEM. Raises RegistrationError, UnreachableError."""
        with self._connect() as connection:
            store = Store(connection)
            row = _row(store, officer, identifier)
            if row.serial is None:
                raise RegistrationError("not-issued", f"the application is {row.state}")
            store.journal(officer.name, "certificate.fetch", application=str(row.id), serial=row.serial.hex())
        return self._authority.certificate(row.serial.hex())

    def revoke(self, officer: Officer, serial: str, asked: Revocation) -> Revoked:
        """Have the CA revoke, whatever branch applied (CP-4.9). Revoking again for the same reason changes nothing.

        The journal has the attempt before the CA is asked, so that no revocation is without an entry.
        Raises RegistrationError, UnreachableError.
        """
        with self._connect() as connection:
            store = Store(connection)
            row = store.by_serial(bytes.fromhex(serial)) if len(serial) % 2 == 0 else None
            if row is None:
                raise RegistrationError("unknown-certificate", f"serial {serial} was not issued on an application here")
            store.journal(
                officer.name,
                "certificate.revoke",
                serial=serial,
                reason=asked.reason,
                document_sha256=asked.document_sha256,
            )
        revoked_at = self._authority.revoke(serial, row.authority, asked.reason)
        return Revoked(serial=serial, authority=row.authority, reason=asked.reason, revoked_at=revoked_at)

    def journal(self, paging: Paging) -> JournalPage:
        """The journal, oldest first."""
        with self._connect() as connection:
            entries = Store(connection).entries(int(paging.cursor or 0), paging.limit + 1)
        shown = [Entry(**entry) for entry in entries[: paging.limit]]
        return JournalPage(items=shown, next=str(shown[-1].number) if len(entries) > len(shown) else None)

    def settle(self) -> None:
        """Take up what was left over when the CA or the mail transport did not answer. Raises psycopg.Error."""
        with self._connect() as connection:
            unissued = Store(connection).unissued()
        for row in unissued:
            if not self._issue(row):
                break
        with self._connect() as connection:
            untold = Store(connection).untold()
        for row in untold:
            if not self._tell(row.id):
                break

    def health(self) -> None:
        """Raises psycopg.Error when the database does not answer."""
        with self._connect() as connection:
            connection.execute("select 1")

    def _issuing(self, authority: str) -> str:
        """The CA that issues to subscribers where this one is applied to (CP-5.6)."""
        return self._settings.succeeded.get(authority, authority)

    def _examine(self, encoded: bytes, profile: str, authority: str) -> tuple[bytes, Asked]:
        """The request in DER, and what it asks for by the profile's rules."""
        if profile not in self._settings.profiles:
            raise RegistrationError("unknown-profile", f"{profile!r} is none of {', '.join(self._settings.profiles)}")
        if self._issuing(authority) not in self._settings.authorities:
            names = ", ".join(self._settings.authorities)
            raise RegistrationError("unknown-authority", f"{authority!r} is none of {names}")
        request = read_request(encoded)
        return request.der, check(request, self._settings.profiles[profile], config=self._settings.openssl_config)

    def _go_on(self, identifier: UUID) -> None:
        with self._connect() as connection:
            row = Store(connection).application(identifier, None)
        if row and row.state == "approved":
            self._issue(row)
            self._tell(identifier)

    def _issue(self, row: Row) -> bool:
        """Have the CA issue. False if it does not answer at all, so that there is no use in asking for others now."""
        try:
            chain = self._authority.issue(row.authority, row.profile, row.request, str(row.id))
            serial = _serial(chain, row)
        except RefusedByAuthorityError as error:
            with self._connect() as connection:
                store = Store(connection)
                if store.end(row.id, "refused", error.code, was="approved"):
                    store.journal("authority", "application.refuse", application=str(row.id), reason=error.code)
            return True
        except NotIssuingError as error:
            if (follows := self._issuing(row.authority)) != row.authority:
                return self._issue(replace(row, authority=follows))
            log.error("application=%s is not issued: %s", row.id, error)
            return True
        except AuthorityFailedError as error:
            log.error("application=%s is not issued: %s", row.id, error)
            return True
        except UnreachableError as error:
            log.warning("application=%s is not issued yet: %s", row.id, error)
            return False
        with self._connect() as connection:
            store = Store(connection)
            if store.issued(row.id, row.authority, serial):
                store.journal("authority", "certificate.issue", application=str(row.id), serial=serial.hex())
        return True

    def _tell(self, identifier: UUID) -> bool:
        """Hand word to the mail transport. False if that does not take it."""
        with self._connect() as connection:
            store = Store(connection)
            row = store.hold_untold(identifier)
            if row is None or row.email is None or row.serial is None:
                return True  # someone else does it, or did
            try:
                self._post(notice(row.id, row.serial.hex(), row.email, self._settings.mail.sender))
            except NoticeError as error:
                log.warning("application=%s: the subscriber is not told yet: %s", row.id, error)
                return False
            store.told(row.id)
            store.journal("registration", "subscriber.tell", application=str(row.id), serial=row.serial.hex())
        return True


def _row(store: Store, officer: Officer, identifier: UUID, *, lock: bool = False) -> Row:
    row = store.application(identifier, officer.sees, lock=lock)
    if row is None:
        raise RegistrationError("unknown-application", f"{identifier} is no application of your branch")
    return row


def _not_own(row: Row, officer: Officer) -> None:
    if row.submitted_by == officer.name:
        raise RegistrationError("own-application", f"{officer.name} entered this application")


def _undecided(row: Row) -> None:
    if row.state != "submitted":
        raise RegistrationError("already-decided", f"the application is {row.state}")


def _serial(chain: bytes, row: Row) -> bytes:
    """The serial number of the certificate that the CA gave, if it is of the request's key."""
    try:
        _, _, der = pem.unarmor(chain)
        certificate = x509.Certificate.load(der)
        info, serial = certificate.public_key.dump(), certificate.serial_number
    except (ValueError, TypeError) as error:
        raise AuthorityFailedError("authority-unavailable", f"the CA's answer holds no certificate: {error}") from error
    if info != read_request(row.request).public_key_info:
        raise AuthorityFailedError("authority-unavailable", "the CA's certificate is of another key")
    return int(serial).to_bytes((int(serial).bit_length() + 7) // 8, "big")


def _message(row: Row) -> Application:
    return Application(
        id=row.id,
        state=row.state,
        branch=row.branch,
        profile=row.profile,
        authority=row.authority,
        submitted_at=row.submitted_at,
        submitted_by=row.submitted_by,
        document_sha256=row.document_sha256.hex(),
        request_sha256=row.request_sha256.hex(),
        approvals_needed=row.approvals_needed,
        approved_by=row.approved_by,
        reason=row.reason,
        serial=row.serial.hex() if row.serial else None,
        subscriber_told=row.told_at is not None,
    )
