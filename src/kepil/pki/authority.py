"""The issuing CA: issue, revoke, and make CRLs, each in one transaction that is committed before anyone is answered."""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import psycopg
from asn1crypto import x509
from asn1crypto.crl import CertificateList

from kepil.pki.certificate import build_tbs, sign_certificate
from kepil.pki.crl import build_crl
from kepil.pki.profile import DistinguishedName, Profile
from kepil.pki.request import check, read_request
from kepil.pki.settings import AuthoritySettings, CaSettings, CrlSettings, Urls
from kepil.pki.signer import Signer, verify
from kepil.pki.store import IssuedCertificate, IssuedCrl, Status, Store, encode_serial

Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
"""Opens a connection that commits at the end of its `with`, or rolls back if that raises."""

CrlKind = Literal["full", "delta"]

REASONS = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}
"""CRLReason (RFC 5280 section 5.3.1) without certificateHold and removeFromCRL: what is revoked stays revoked."""

_BACKWARDS_SECONDS = 5

log = logging.getLogger(__name__)


class AuthorityError(Exception):
    """The CA refuses, or cannot do, what was asked; `code` is stable, for programs."""

    code = "authority-error"


class UnknownAuthorityError(AuthorityError):
    """No authority of that name here."""

    code = "unknown-authority"


class UnknownProfileError(AuthorityError):
    """No profile of that name here."""

    code = "unknown-profile"


class ProfileNotForSubscribersError(AuthorityError):
    """Only the operators of the CA itself may issue by this profile."""

    code = "profile-not-for-subscribers"


class KeySeenBeforeError(AuthorityError):
    """The key already has, or had, a certificate (CP-3.3, CP-4.6)."""

    code = "key-seen-before"


class IdempotencyKeyReusedError(AuthorityError):
    """The idempotency key came with a different request before."""

    code = "idempotency-key-reused"


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


class SelfCheckError(AuthorityError):
    """What was signed does not verify under the authority's own certificate; nothing was recorded."""

    code = "self-check-failed"


@dataclass(frozen=True)
class Issuer:
    """One authority: its name, certificate, key, and the pointers in what it issues."""

    settings: AuthoritySettings
    certificate: x509.Certificate
    signer: Signer

    @classmethod
    def open(cls, settings: AuthoritySettings) -> Self:
        """Open the key and hold it against the certificate. Raises AuthorityError, SignerError, SettingsError."""
        try:
            certificate = read_certificate(settings.certificate.read_bytes())
        except (OSError, ValueError) as error:
            raise AuthorityError(
                f"{settings.certificate}: {error}; hold the issuing ceremony, then run role ca"
            ) from error
        signer = Signer.open(
            settings.key, config=settings.openssl_config, activation=settings.activation_file, digest=settings.digest
        )
        if signer.public_key_info != certificate.public_key.dump():
            raise AuthorityError(
                f"{settings.certificate} does not certify key {settings.key}: "
                "restore the certificate from the issuing ceremony's record"
            )
        return cls(settings, certificate, signer)

    @property
    def name(self) -> str:
        """The authority's name, for example `nca-rsa`."""
        return self.settings.name

    @property
    def urls(self) -> Urls:
        """The pointers in what it issues."""
        return self.settings.urls

    def self_check(self, what: str, message: bytes, signature: bytes) -> None:
        """Raise SelfCheckError unless the signature verifies under the authority's certificate."""
        public_key = self.certificate.public_key.dump()
        if not verify(public_key, message, signature, self.signer.digest, self.settings.openssl_config):
            raise SelfCheckError(
                f"{self.name}: the signature of {what} does not verify under {self.settings.certificate}; "
                "nothing was issued; check the HSM and its provider before trying again"
            )


class CertificateAuthority:
    """The authorities of one CA host over one database. Safe to share between threads; every call blocks."""

    def __init__(self, issuers: list[Issuer], profiles: dict[str, Profile], crl: CrlSettings, connect: Connect) -> None:
        self._issuers = {issuer.name: issuer for issuer in issuers}
        self._profiles = profiles
        self._crl = crl
        self._connect = connect

    @classmethod
    def open(cls, settings: CaSettings, connect: Connect) -> Self:
        """Open every authority's key. Raises AuthorityError, SignerError, SettingsError."""
        return cls([Issuer.open(each) for each in settings.authorities], settings.profiles, settings.crl, connect)

    @property
    def names(self) -> list[str]:
        """The authorities' names."""
        return list(self._issuers)

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
