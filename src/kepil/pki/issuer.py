"""One issuing authority: a certificate and its key, and certificates made with them (RFC 5280)."""

import threading
from datetime import UTC, datetime

from asn1crypto import x509

from kepil.errors import KepilError
from kepil.pki.certificate import build_tbs, new_serial, sign_certificate
from kepil.pki.credential import CredentialError, read_certificate
from kepil.pki.profile import Profile
from kepil.pki.request import Asked
from kepil.pki.settings import AuthoritySettings
from kepil.pki.signer import Signer, verify


class SelfCheckError(KepilError):
    """What was signed does not verify under the authority's own certificate; nothing was recorded."""

    code = "self-check-failed"


class Issuer:
    """One authority: its name, certificate, key, and the pointers in what it issues."""

    def __init__(self, settings: AuthoritySettings) -> None:
        """Read the certificate. Raises CredentialError."""
        self.settings = settings
        self.certificate = read_certificate(settings.certificate)
        self._lock = threading.Lock()
        self._signer: Signer | None = None

    @property
    def signer(self) -> Signer:
        """The key, opened at first use: revoking and publishing must work while the HSM is away.

        Raises CredentialError when the certificate is another key's, SettingsError, SignerError.
        """
        with self._lock:
            if self._signer is None:
                key = self.settings
                signer = Signer.open(
                    key.key, config=key.openssl_config, activation=key.activation_file, digest=key.digest
                )
                if signer.public_key_info != self.certificate.public_key.dump():
                    raise CredentialError(
                        f"{key.certificate} does not certify key {key.key}: "
                        "restore the certificate from the issuing ceremony's record"
                    )
                self._signer = signer
            return self._signer

    @property
    def name(self) -> str:
        """The authority's name, for example `nca-rsa`."""
        return self.settings.name

    def self_check(self, what: str, message: bytes, signature: bytes) -> None:
        """Raise SelfCheckError unless the signature verifies under the authority's certificate."""
        public_key = self.certificate.public_key.dump()
        if not verify(public_key, message, signature, self.signer.digest, self.settings.openssl_config):
            raise SelfCheckError(
                f"{self.name}: the signature of {what} does not verify under {self.settings.certificate}; "
                "nothing was issued; check the HSM and its provider before trying again"
            )

    def certify(self, profile: Profile, asked: Asked, days: int | None) -> x509.Certificate:
        """A new certificate, verified but not recorded. Raises CertificateError, SelfCheckError, SignerError."""
        tbs = build_tbs(
            profile,
            asked.subject,
            asked.public_key_info,
            signature_algorithm=self.signer.signature_algorithm,
            issuer=self.certificate,
            serial=new_serial(),
            not_before=datetime.now(UTC),
            days=days,
            urls=self.settings.urls,
            dns_names=asked.dns_names,
        )
        certificate = x509.Certificate.load(sign_certificate(tbs, self.signer))
        signed = certificate["tbs_certificate"].dump()
        self.self_check(f"serial {certificate.serial_number:x}", signed, certificate.signature)
        return certificate
