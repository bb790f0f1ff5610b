"""The issuing CA: issue, revoke, and make CRLs, each in one transaction that is committed before anyone is answered."""

import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

import psycopg

from kepil.pki.crl import REASONS as CRL_REASONS
from kepil.pki.crl import Scope, write_crl
from kepil.pki.issuance import AuthorityError, Checked, Order, apart, issue
from kepil.pki.issuer import Issuer
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.revocation import encoded_revocations
from kepil.pki.settings import CaSettings, CrlInterval
from kepil.pki.store import IssuedCertificate, IssuedCrl, Status, Store, encode_serial
from kepil.pki.weak_key import Blocklist

Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Opens a connection that commits at the end of its `with`, or rolls back if that raises."""

CrlKind = Literal["full", "delta"]
CRL_KINDS: tuple[CrlKind, ...] = get_args(CrlKind)

REASONS = {name: code for name, code in CRL_REASONS.items() if name not in ("certificateHold", "removeFromCRL")}
"""CRLReason (RFC 5280 section 5.3.1) without certificateHold and removeFromCRL: what is revoked stays revoked."""

_BACKWARDS_SECONDS = 5
_RUN = timedelta(minutes=20)
"""What a run may take, with its repetitions when the HSM or the database is away for a while."""

log = logging.getLogger(__name__)


class UnknownAuthorityError(AuthorityError):
    """No authority of that name here."""

    code = "unknown-authority"


class UnknownProfileError(AuthorityError):
    """No profile of that name here."""

    code = "unknown-profile"


class ProfileNotForSubscribersError(AuthorityError):
    """Only the operators of the CA itself may issue by this profile."""

    code = "profile-not-for-subscribers"


class UnknownCertificateError(AuthorityError):
    """No certificate with that serial number was issued."""

    code = "unknown-certificate"


class UnknownReasonError(AuthorityError):
    """Not a reason for which certificates are revoked here."""

    code = "unknown-reason"


class AlreadyRevokedError(AuthorityError):
    """The certificate is revoked already, for another reason."""

    code = "already-revoked"


class CrlError(AuthorityError):
    """A CRL cannot be made now."""

    code = "crl-error"


class CertificateAuthority:
    """The authorities of one CA host over one database. Safe to share between threads; every call blocks."""

    def __init__(self, settings: CaSettings, connect: Connect) -> None:
        """Read the authorities' certificates; their keys are opened at first use.

        Raises CredentialError, BlocklistError.
        """
        self._known_keys = Blocklist.read(*settings.known_keys)
        self._issuers = {each.name: Issuer(each) for each in settings.authorities}
        self._profiles = settings.profiles
        self._crl = settings.crl
        self._connect = connect

    @property
    def names(self) -> list[str]:
        """The authorities' names."""
        return list(self._issuers)

    @property
    def _issuing(self) -> list[str]:
        """Names of the authorities that issue to subscribers."""
        return [name for name, one in self._issuers.items() if one.settings.issues]

    def issuer(self, authority: str) -> Issuer:
        """The authority of that name. Raises UnknownAuthorityError."""
        if authority not in self._issuers:
            raise UnknownAuthorityError(f"no authority {authority!r} here; there are {', '.join(self._issuers)}")
        return self._issuers[authority]

    def profile(self, name: str) -> Profile:
        """The profile of that name. Raises UnknownProfileError."""
        if name not in self._profiles:
            raise UnknownProfileError(f"no profile {name!r}; there are {', '.join(self._profiles)}")
        return self._profiles[name]

    def subscriber_profile(self, name: str) -> Profile:
        """A profile that officers may issue by. Raises UnknownProfileError, ProfileNotForSubscribersError."""
        profile = self.profile(name)
        if not profile.subscriber:
            raise ProfileNotForSubscribersError(f"profile {name!r} is not for subscribers; use `kepil ca issue`")
        return profile

    def issue(
        self,
        request: bytes,
        profile: str,
        authority: str,
        actor: str,
        *,
        subject: DistinguishedName | None = None,
        days: int | None = None,
        idempotency_key: str | None = None,
    ) -> IssuedCertificate:
        """Issue one certificate; see Order.

        Nothing is recorded unless everything succeeds. Raises RequestError, PublicKeyError, WeakKeyError,
        NameNotAllowedError, AuthorityError, CertificateError when the authority itself ends too soon, LintError,
        SelfCheckError, SignerError, psycopg.Error.
        """
        order = Order(request, profile, actor, subject, days, idempotency_key)
        (outcome,) = self.issue_together(authority, [order])
        if isinstance(outcome, IssuedCertificate):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # else it and this frame hold each other, with all that it passed through

    def issue_together(self, authority: str, orders: Sequence[Order]) -> list[IssuedCertificate | Exception]:
        """Issue several certificates; for each order, the certificate, or what `issue` would raise.

        They share transactions: when one fails in the database, so do those beside it. Orders for one key, or by one
        idempotency key, never share one. Raises UnknownAuthorityError.
        """
        issuer = self.issuer(authority)
        found = [self._checked(issuer, order) for order in orders]
        waiting = [each for each in found if isinstance(each, Checked)]
        outcomes = dict[int, IssuedCertificate | Exception]()
        while waiting:
            now, waiting = apart(waiting)
            outcomes |= zip(map(id, now), self._recorded(issuer, now), strict=True)
        return [each if isinstance(each, Exception) else outcomes[id(each)] for each in found]

    def _checked(self, issuer: Issuer, order: Order) -> Checked | Exception:
        try:
            return Checked.of(order, self.profile(order.profile), issuer, self._known_keys)
        except Exception as error:
            return error

    def _recorded(self, issuer: Issuer, several: Sequence[Checked]) -> Sequence[IssuedCertificate | Exception]:
        """Issue them in one transaction, which has been committed then."""
        try:
            with self._connect() as connection:
                outcomes, new = issue(connection, issuer, several, self._issuing)
        except Exception as error:
            return [error] * len(several)
        for row in new:
            who = (row.serial.hex(), issuer.name, row.profile, row.requested_by)
            log.info("issued serial=%s authority=%s profile=%s actor=%s", *who)
        return outcomes

    def certificate(self, serial: int) -> IssuedCertificate:
        """The certificate with this serial number. Raises UnknownCertificateError, psycopg.Error."""
        with self._connect() as connection:
            found = Store(connection).certificate_by_serial(serial)
        if found is None:
            raise _unknown(serial)
        return found

    def revoke(self, serial: int, reason: str, authority: str, actor: str) -> Status:
        """Revoke a certificate for good, from now on (CP-4.9). Revoking it again for the same reason changes nothing.

        `reason` is one of REASONS. Raises AuthorityError, psycopg.Error.
        """
        issuer = self.issuer(authority)
        if reason not in REASONS:
            raise UnknownReasonError(f"{reason!r} is no reason to revoke for; use one of {', '.join(REASONS)}")
        encoded = encode_serial(serial)
        with self._connect() as connection:
            store = Store(connection)
            status = store.lock_status(issuer.name, encoded)
            if status is None:
                raise _unknown(serial)
            if status.revoked_at is None:
                revoked_at = store.revoke(issuer.name, encoded, REASONS[reason])
                store.journal(
                    actor, "certificate.revoke", authority=issuer.name, serial=encoded.hex(), reason=REASONS[reason]
                )
                status = replace(status, revoked_at=revoked_at, reason=REASONS[reason])
            elif status.reason != REASONS[reason]:
                raise AlreadyRevokedError(
                    f"serial {encoded.hex()} was revoked at {status.revoked_at.isoformat()} for CRLReason "
                    f"{status.reason}; a revocation is never changed"
                )
        log.info("revoked serial=%s authority=%s reason=%s actor=%s", encoded.hex(), authority, reason, actor)
        return status

    def make_crl(self, authority: str, kind: CrlKind, actor: str) -> IssuedCrl:
        """Make and record a complete CRL, valid 25 hours (CP-2.3), or a delta to the last complete one.

        Both kinds take their numbers from one sequence without gaps (RFC 5280 section 5.2.3). The RFC gives a delta and
        a complete CRL of one instant the same number. Here no two CRLs of an issuer share an instant, to the second: so
        each has a number of its own, and a delta's number is above its base's, as section 5.2.4 wants of a delta that
        is applied to it. Make a delta after each complete CRL, else the published delta is older than the CRL.

        Raises AuthorityError, SelfCheckError, SignerError, psycopg.Error.
        """
        issuer = self.issuer(authority)
        interval = self._crl.full if kind == "full" else self._crl.delta
        with self._connect() as connection:
            store = Store(connection)
            store.lock_crls(issuer.name)
            last, base = store.last_crl(issuer.name), store.last_crl(issuer.name, complete=True)
            if kind == "delta" and base is None:
                raise CrlError(f"{issuer.name} has no complete CRL yet: run `kepil ca crl --kind full` first")
            this_update = _next_instant(store, issuer.name, last)
            if late := _lateness(store, issuer.name, kind, interval, this_update):
                store.journal(actor, "crl.late", authority=issuer.name, kind=kind, seconds=int(late.total_seconds()))
                log.error("crl late authority=%s kind=%s by=%s: a run was missed", authority, kind, late)
            issued_at = this_update.replace(microsecond=0)
            next_update = issued_at + timedelta(hours=interval.valid_hours)
            number = last.number + 1 if last else 1
            base_number = base.number if base and kind == "delta" else None
            since = base.this_update if base else None
            listed = {"since": since} if kind == "delta" else {"expired_since": since}
            urls = issuer.settings.urls
            freshest_url = urls.delta_crl if kind == "full" else None
            scope = Scope(issuer.certificate, number, issued_at, next_update, base_number, urls.crl, freshest_url)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "crl")
                with self._connect() as second:  # two read what is listed
                    both = [connection, second]
                    revoked = encoded_revocations(both, issuer.name, before=this_update, **listed)
                    write_crl(path, scope, issuer.signer, revoked)
                issuer.self_check_crl(f"CRL {number}", path)
                crl = IssuedCrl(issuer.name, number, base_number, this_update, next_update)
                with path.open("rb") as file:
                    store.insert_crl(crl, file)
            store.journal(actor, "crl.issue", authority=issuer.name, number=number, base=base_number)
        log.info("made crl authority=%s kind=%s number=%d", authority, kind, number)
        return crl

    def complete_crl_due(self, authority: str) -> bool:
        """Whether the last complete CRL is as old as one may be before the next is made (CP-2.3).

        False where there is none yet: the first is made on purpose. Raises UnknownAuthorityError, psycopg.Error.
        """
        issuer = self.issuer(authority)
        with self._connect() as connection:
            store = Store(connection)
            since = _since_due(store, issuer.name, "full", self._crl.full, store.cut(issuer.name))
        return since is not None and since >= timedelta(0)

    def crl_ends(self) -> dict[str, dict[CrlKind, datetime | None]]:
        """When each authority's last complete CRL and last delta end; None where there is none yet.

        Raises psycopg.Error.
        """
        with self._connect() as connection:
            store = Store(connection)
            return {name: {kind: _end(store, name, kind) for kind in CRL_KINDS} for name in self._issuers}

    def publications(self, folder: Path) -> list[Path]:
        """Write the files that the repository shows (CP-2.1): each authority's certificate, last CRL and last delta.

        Raises psycopg.Error, OSError.
        """
        with self._connect() as connection:
            store = Store(connection)
            return [
                file for name, issuer in self._issuers.items() for file in _publications(folder, name, issuer, store)
            ]


def parse_serial(text: str) -> int:
    """Read a serial number in hexadecimal. Raises UnknownCertificateError when it cannot be one."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,40}", text):
        raise UnknownCertificateError(f"{text[:80]!r} is no serial number: write up to 40 hexadecimal digits")
    return int(text, 16)


def _publications(folder: Path, name: str, issuer: Issuer, store: Store) -> Iterator[Path]:
    certificate = folder / f"{name}.crt"
    certificate.write_bytes(issuer.certificate.dump())
    yield certificate
    for suffix, complete in (("", True), ("-delta", False)):
        if crl := store.last_crl(name, complete=complete):
            path = folder / f"{name}{suffix}.crl"
            with path.open("wb") as file:
                file.writelines(store.crl_pieces(crl))
            yield path


def _unknown(serial: int) -> UnknownCertificateError:
    return UnknownCertificateError(f"serial {encode_serial(serial).hex()} was not issued here")


def _lateness(store: Store, issuer: str, kind: CrlKind, interval: CrlInterval, now: datetime) -> timedelta | None:
    """By how much the CRL comes later than it was due, if that is more than a run takes; CP-2.3 has them made on time.

    A complete CRL brings a delta, so both are due from the last one of their own kind.
    """
    since = _since_due(store, issuer, kind, interval, now)
    return since if since is not None and since > _RUN else None


def _since_due(store: Store, issuer: str, kind: CrlKind, interval: CrlInterval, now: datetime) -> timedelta | None:
    """The time since the CRL was due, negative before that; None where none of its kind was made yet."""
    last = store.last_crl(issuer, complete=kind == "full")
    return None if last is None else now - last.this_update - timedelta(hours=interval.every_hours)


def _end(store: Store, issuer: str, kind: CrlKind) -> datetime | None:
    last = store.last_crl(issuer, complete=kind == "full")
    return last.next_update if last else None


def _next_instant(store: Store, issuer: str, last: IssuedCrl | None) -> datetime:
    """The instant of the next CRL: in a later second than the last one's. Waits up to a second for that."""
    now = store.cut(issuer)
    if last is None:
        return now
    earliest = last.this_update.replace(microsecond=0) + timedelta(seconds=1)
    if earliest - now > timedelta(seconds=_BACKWARDS_SECONDS):
        raise CrlError(
            f"{issuer}: the database's clock says {now.isoformat()}, yet CRL {last.number} was made at "
            f"{last.this_update.isoformat()}: set the clock of the database host right"
        )
    while now < earliest:
        time.sleep((earliest - now).total_seconds())
        now = store.cut(issuer)
    return now
