"""A certificate together with the key that it certifies, as a service holds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from asn1crypto import pem, x509

from kepil.errors import KepilError
from kepil.pki import algorithm
from kepil.pki.signer import Signer
from kepil.pki.verifier import Verifier

if TYPE_CHECKING:  # settings bring what validates them, which takes longer than reading a certificate
    from kepil.pki.settings import KeySettings


class CredentialError(KepilError):
    """A certificate is missing, unreadable or not fit for its use; the message names the file and the remedy."""


def read_certificate(path: Path) -> x509.Certificate:
    """Read a certificate, PEM or DER. Raises CredentialError."""
    try:
        encoded = path.read_bytes()
        if pem.detect(encoded):
            _, _, encoded = pem.unarmor(encoded)
        certificate = x509.Certificate.load(encoded, strict=True)
        certificate.native  # noqa: B018 - asn1crypto decodes lazily: a damaged certificate shall be found here
    except OSError as error:
        raise CredentialError(f"{path}: {error.strerror}; copy the certificate that its ceremony made") from error
    except (ValueError, TypeError) as error:
        raise CredentialError(f"{path} holds no certificate ({error}); copy the one that its ceremony made") from error
    return certificate


@dataclass(frozen=True)
class Credential:
    """A certificate and its opened key."""

    certificate: x509.Certificate
    signer: Signer

    @classmethod
    def open(cls, settings: KeySettings, *, purpose: str, issuer: x509.Certificate | None = None) -> Self:
        """Open the key and check that the certificate is its own, made for `purpose` and, if given, by `issuer`.

        `purpose` is an extended key usage in asn1crypto's words: `ocsp_signing`, or `time_stamping`, which must be the
        only one, and critical (RFC 3161 section 2.3).
        Raises CredentialError, SettingsError, SignerError.
        """
        path = settings.certificate
        certificate = read_certificate(path)
        usage = certificate.extended_key_usage_value
        if usage is None or purpose not in usage.native:
            raise CredentialError(f"{path} lacks the extended key usage {purpose}; issue it under the right profile")
        if purpose == "time_stamping" and (
            usage.native != [purpose] or "extended_key_usage" not in certificate.critical_extensions
        ):
            raise CredentialError(
                f"{path} must have the extended key usage {purpose} alone, and critical (RFC 3161 section 2.3); "
                "issue it under the right profile"
            )
        if issuer is not None and not _issued_by(issuer, certificate, settings.openssl_config):
            raise CredentialError(
                f"{path} was not issued by {issuer.subject.human_friendly} with the key of its certificate here; a "
                "responder answers for its own issuer only: install the two that belong together"
            )
        signer = Signer.open(
            settings.key,
            config=settings.openssl_config,
            activation=settings.activation_file,
            digest=settings.digest,
        )
        if signer.public_key_info != certificate.public_key.dump():
            raise CredentialError(f"{path} certifies another key than {settings.key}; install the pair that belongs")
        return cls(certificate, signer)


def _issued_by(issuer: x509.Certificate, certificate: x509.Certificate, config: Path | None) -> bool:
    """Whether name and signature are the issuer's: one of a former key of the same name does not count.

    RFC 6960 section 4.2.2.2: the delegation must come from the key that signed the certificates asked about.
    """
    if certificate.issuer.dump() != issuer.subject.dump():
        return False
    try:
        how = algorithm.by_identifier(certificate["signature_algorithm"].dump())
        verifier = Verifier(issuer.public_key.dump(), how.digest, config)
    except algorithm.UnknownAlgorithmError:
        return False
    return verifier.verify(certificate["tbs_certificate"].dump(), certificate["signature_value"].native)
