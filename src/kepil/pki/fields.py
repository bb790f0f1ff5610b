"""What certificates and CRLs have in common (RFC 5280): times, and pointers to the issuer's key and to a CRL.

Apart, so that making a CRL loads nothing of profiles and their validation.
"""

from datetime import UTC, datetime
from typing import Any, Final

from asn1crypto import x509

from kepil.errors import KepilError

FIRST_GENERALIZED_YEAR: Final = 2050


class CertificateError(KepilError):
    """A certificate cannot be made as asked; the message says what stands in the way."""


def encode_time(moment: datetime) -> x509.Time:
    """Return a moment, to the second, as UTCTime until 2049 and GeneralizedTime after (RFC 5280 section 4.1.2.5)."""
    exact = moment.astimezone(UTC).replace(microsecond=0)
    return x509.Time("general_time" if exact.year >= FIRST_GENERALIZED_YEAR else "utc_time", exact)


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the extension that points at the issuer's key. Raises CertificateError when the issuer names no key."""
    if issuer.key_identifier is None:
        raise CertificateError(
            f"issuer {issuer.subject.human_friendly} has no subject key identifier; give a CA certificate"
        )
    return x509.AuthorityKeyIdentifier({"key_identifier": issuer.key_identifier})


def distribution_point(url: str) -> dict[str, Any]:
    """Return a DistributionPoint's name: one URL (RFC 5280 section 4.2.1.13)."""
    name = x509.GeneralName("uniform_resource_identifier", url)
    return {"distribution_point": x509.DistributionPointName("full_name", [name])}
