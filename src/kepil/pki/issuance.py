"""Certificates issued several at once: each checked, linted and signed by itself, all recorded in one transaction.

What one costs the database and the driver they share: two statements and a commit.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from kepil.errors import KepilError
from kepil.pki.issuer import Issuer
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.request import Asked, check, read_request
from kepil.pki.store import IssuedCertificate, Store, encode_serial
from kepil.pki.weak_key import Blocklist


class AuthorityError(KepilError):
    """The CA refuses, or cannot do, what was asked; `code` is stable, for programs."""

    code = "authority-error"


class KeySeenBeforeError(AuthorityError):
    """The key already has, or had, a certificate (CP-3.3, CP-4.6)."""

    code = "key-seen-before"


class IdempotencyKeyReusedError(AuthorityError):
    """The idempotency key came with a different request before."""

    code = "idempotency-key-reused"


class NotIssuingError(AuthorityError):
    """The authority revokes, makes CRLs and certifies its own services, but issues to no subscriber (CP-5.6)."""

    code = "authority-not-issuing"


@dataclass(frozen=True)
class Order:
    """What a certificate is asked by: a PKCS #10 request, DER or PEM, the name of a profile, and who asks.

    `actor` is named so in the journal. `subject` and `days` override the request and the profile, for the CA's own OCSP
    and TSP certificates. A repeated `idempotency_key` of the same actor with the same request gives the same
    certificate again.
    """

    request: bytes
    profile: str
    actor: str
    subject: DistinguishedName | None = None
    days: int | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Checked:
    """An order that was found in order, as far as that can be told without the database."""

    order: Order
    profile: Profile
    asked: Asked
    request_sha256: bytes
    idempotency_sha256: bytes | None

    @classmethod
    def of(cls, order: Order, profile: Profile, issuer: Issuer, known: Blocklist) -> Self:
        """Check possession, key and names. Raises RequestError, PublicKeyError, WeakKeyError, NameNotAllowedError."""
        request, config = read_request(order.request), issuer.settings.openssl_config
        asked = check(request, profile, subject=order.subject, config=config, known=known)
        words = (issuer.name, order.profile, str(asked.subject), str(order.days))
        idempotency_key = order.idempotency_key
        return cls(
            order,
            profile,
            asked,
            _sha256(*(word.encode() for word in words), request.der),
            _sha256(order.actor.encode(), idempotency_key.encode()) if idempotency_key else None,
        )

    @property
    def digests(self) -> set[tuple[str, bytes]]:
        """What no other certificate has: its key, and who asked by which idempotency key."""
        idempotency = {("idempotency", self.idempotency_sha256)} if self.idempotency_sha256 else set()
        return {("key", self.asked.public_key.sha256), *idempotency}


def apart(several: Sequence[Checked]) -> tuple[list[Checked], list[Checked]]:
    """Part what can be issued at once from what must come after it, for it has a key or an idempotency key of it."""
    now, later, taken = list[Checked](), list[Checked](), set[tuple[str, bytes]]()
    for checked in several:
        (later if checked.digests & taken else now).append(checked)
        taken |= checked.digests
    return now, later


def issue(
    connection: psycopg.Connection[Any], issuer: Issuer, several: Sequence[Checked], issuing: Sequence[str]
) -> tuple[list[IssuedCertificate | Exception], list[IssuedCertificate]]:
    """Issue certificates that share neither key nor idempotency key. Subscribers' come from those named in `issuing`.

    Returns for each, in their order, the certificate or why there is none; and the certificates that are new. One that
    fails does not hinder the others. The caller commits; nothing is issued unless all that are new are recorded. Why
    there is none: KeySeenBeforeError, IdempotencyKeyReusedError, NotIssuingError, CertificateError, LintError,
    SelfCheckError, SignerError. Raises psycopg.Error.
    """
    store = Store(connection)
    earlier = store.earlier_certificates(
        [each.asked.public_key.sha256 for each in several],
        [each.idempotency_sha256 for each in several if each.idempotency_sha256],
    )
    outcomes: dict[int, IssuedCertificate | Exception] = {}
    for number, checked in enumerate(several):
        if (found := _repeated(checked, earlier)) is not None:
            outcomes[number] = found
        elif checked.profile.subscriber and issuer.name not in issuing:
            remedy = f"apply to one of {', '.join(issuing)}"
            outcomes[number] = NotIssuingError(f"{issuer.name} issues to no subscriber now: {remedy}")
    new = [number for number in range(len(several)) if number not in outcomes]
    wanted = [(several[number].profile, several[number].asked, several[number].order.days) for number in new]
    for number, certified in zip(new, issuer.certify_each(wanted), strict=True):
        checked = several[number]
        outcomes[number] = (
            certified
            if isinstance(certified, Exception)
            else IssuedCertificate(
                serial=encode_serial(certified.serial),
                issuer=issuer.name,
                subject=str(checked.asked.subject),
                profile=checked.order.profile,
                not_before=certified.not_before,
                not_after=certified.not_after,
                spki_sha256=checked.asked.public_key.sha256,
                der=certified.der,
                requested_by=checked.order.actor,
                idempotency_sha256=checked.idempotency_sha256,
                request_sha256=checked.request_sha256,
            )
        )
    rows = [row for number in new if isinstance(row := outcomes[number], IssuedCertificate)]
    store.insert_certificates(*rows)
    return [outcomes[number] for number in range(len(several))], rows


def _repeated(checked: Checked, earlier: Sequence[IssuedCertificate]) -> IssuedCertificate | Exception | None:
    """What was issued to the idempotency key, or why nothing is; None where neither it nor the key was seen before."""
    for each in earlier:
        if each.idempotency_sha256 == checked.idempotency_sha256 is not None:
            if each.request_sha256 != checked.request_sha256:
                return IdempotencyKeyReusedError("this Idempotency-Key came with another request: use a new one")
            return each
    if any(each.spki_sha256 == checked.asked.public_key.sha256 for each in earlier):
        return KeySeenBeforeError("this key has had a certificate before: make a new key (CP-3.3)")
    return None


def _sha256(*parts: bytes) -> bytes:
    """A digest of all parts, each first hashed by itself so that their borders count."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()
