"""One issuing authority: a certificate and its key, and certificates made with them (RFC 5280)."""

import ssl
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kepil.errors import KepilError
from kepil.pki import der
from kepil.pki.certificate import CertificateForm, new_serial, validity
from kepil.pki.credential import CredentialError, read_certificate
from kepil.pki.crl import verify_crl
from kepil.pki.lint import Authority, lint
from kepil.pki.profile import Profile
from kepil.pki.rehearsal import throw_away_signer
from kepil.pki.request import Asked
from kepil.pki.settings import AuthoritySettings
from kepil.pki.signer import Signer
from kepil.pki.verifier import Verifier

THREADS = 8
"""Signatures that a module which is elsewhere, an HSM, is asked for at once."""


class SelfCheckError(KepilError):
    """What was signed does not verify under the authority's own certificate; nothing was recorded."""

    code = "self-check-failed"


@dataclass(frozen=True)
class Certified:
    """A certificate that was made: its DER and what is recorded of it."""

    der: bytes
    serial: int
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class _Keys:
    """The authority's own key, private and as certified, the throw-away one, and what both sign for."""

    own: Signer
    verifier: Verifier
    rehearsal: Signer
    authority: Authority


class Issuer:
    """One authority: its name, certificate, key, and the pointers in what it issues."""

    def __init__(self, settings: AuthoritySettings) -> None:
        """Read the certificate. Raises CredentialError."""
        self.settings = settings
        self.certificate = read_certificate(settings.certificate)
        self.certificate_pem = ssl.DER_cert_to_PEM_cert(self.certificate.dump())
        self._public_key = self.certificate.public_key.dump()
        self._lock = threading.Lock()
        self._opened: _Keys | None = None
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"sign-{settings.name}")
        self._forms: dict[tuple[int, bool], tuple[Profile, CertificateForm]] = {}

    @property
    def signer(self) -> Signer:
        """The key, opened at first use: revoking and publishing must work while the HSM is away.

        Raises CredentialError when the certificate is another key's, SettingsError, SignerError.
        """
        return self._keys.own

    @property
    def _keys(self) -> _Keys:
        with self._lock:
            if self._opened is None:
                key = self.settings
                own = Signer.open(key.key, config=key.openssl_config, activation=key.activation_file, digest=key.digest)
                if own.public_key_info != self._public_key:
                    raise CredentialError(
                        f"{key.certificate} does not certify key {key.key}: "
                        "restore the certificate from the issuing ceremony's record"
                    )
                authority = Authority.of(self.certificate, own.signature_algorithm, key.urls)
                verifier = Verifier(self._public_key, own.digest, key.openssl_config)
                self._opened = _Keys(own, verifier, throw_away_signer(own, key.openssl_config), authority)
            return self._opened

    @property
    def name(self) -> str:
        """The authority's name, for example `nca-rsa`."""
        return self.settings.name

    def self_check(self, what: str, message: bytes, signature: bytes) -> None:
        """Raise SelfCheckError unless the signature verifies under the authority's certificate."""
        if not self._keys.verifier.verify(message, signature):
            raise self._refusal(what)

    def self_check_crl(self, what: str, path: Path) -> None:
        """Raise SelfCheckError unless a CRL file verifies under the authority's certificate."""
        if not verify_crl(path, self._keys.verifier):
            raise self._refusal(what)

    def _refusal(self, what: str) -> SelfCheckError:
        return SelfCheckError(
            f"{self.name}: the signature of {what} does not verify under {self.settings.certificate}; "
            "nothing was issued; check the HSM and its provider before trying again"
        )

    def certify(self, profile: Profile, asked: Asked, days: int | None) -> Certified:
        """A new certificate, linted and verified but not recorded.

        The own key signs the very bytes that were linted under the throw-away key's signature. Raises CertificateError,
        LintError, SelfCheckError, SignerError.
        """
        keys, form = self._keys, self._form(profile, host_names=bool(asked.dns_names))
        serial = new_serial()
        begin, end = validity(datetime.now(UTC), days or profile.days)
        tbs = form.fill(
            asked.subject,
            asked.public_key.info,
            serial=serial,
            not_before=begin,
            days=days,
            dns_names=asked.dns_names,
        )
        lint(form.assemble(tbs, keys.rehearsal.sign(tbs)), profile, asked, keys.authority, days)
        signature = keys.own.sign(tbs)
        certificate = form.assemble(tbs, signature)
        self.self_check(
            f"serial {serial:x}", der.Reader(certificate).enter(der.SEQUENCE).whole(der.SEQUENCE), signature
        )
        return Certified(certificate, serial, begin, end)

    def certify_each(self, several: Sequence[tuple[Profile, Asked, int | None]]) -> list[Certified | Exception]:
        """`certify` of each, or what it raised. A key that signs elsewhere signs several at once."""
        if len(several) > 1 and not self.signer.in_process:
            return list(self._threads.map(self._certify, several))
        return [self._certify(each) for each in several]

    def _certify(self, one: tuple[Profile, Asked, int | None]) -> Certified | Exception:
        try:
            return self.certify(*one)
        except Exception as error:
            return error

    def _form(self, profile: Profile, *, host_names: bool) -> CertificateForm:
        place = (id(profile), host_names)
        if place not in self._forms:
            algorithm = self._keys.own.signature_algorithm
            form = CertificateForm(profile, self.certificate, self.settings.urls, algorithm, host_names=host_names)
            self._forms[place] = (profile, form)  # with the profile, so that its id stays its own
        return self._forms[place][1]
