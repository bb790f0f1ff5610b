"""Certificates (RFC 5280 section 4, CP-7.1): what a profile says, as the bytes to sign, and signed."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from asn1crypto import core, keys, x509

from kepil.errors import KepilError
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.signer import Signer

_SERIAL_BITS: Final = 127
_FIRST_GENERALIZED_YEAR: Final = 2050
_KEY_USAGE: Final = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "non_repudiation",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}
_EXTENDED_KEY_USAGE: Final = {
    "id-kp-serverAuth": "server_auth",
    "id-kp-clientAuth": "client_auth",
    "id-kp-codeSigning": "code_signing",
    "id-kp-emailProtection": "email_protection",
    "id-kp-timeStamping": "time_stamping",
    "id-kp-OCSPSigning": "ocsp_signing",
}


class CertificateError(KepilError):
    """A certificate cannot be made as asked; the message says what stands in the way."""


class Urls(Protocol):
    """Pointers to status information, as any object that has them: None for what there is not."""

    @property
    def issuer(self) -> str | None: ...
    @property
    def crl(self) -> str | None: ...
    @property
    def delta_crl(self) -> str | None: ...
    @property
    def ocsp(self) -> str | None: ...


@dataclass(frozen=True)
class StatusUrls:
    """Pointers that an issuer puts into certificates (RFC 5280 sections 4.2.1.13, 4.2.1.15 and 4.2.2.1)."""

    issuer: str | None = None
    crl: str | None = None
    delta_crl: str | None = None
    ocsp: str | None = None


def new_serial() -> int:
    """Return a positive serial number of 127 random bits (RFC 5280 section 4.1.2.2; BR 7.1 asks for at least 64)."""
    return secrets.randbits(_SERIAL_BITS) or new_serial()


def encode_time(moment: datetime) -> x509.Time:
    """Return a moment, to the second, as UTCTime until 2049 and GeneralizedTime after (RFC 5280 section 4.1.2.5)."""
    exact = moment.astimezone(UTC).replace(microsecond=0)
    return x509.Time("general_time" if exact.year >= _FIRST_GENERALIZED_YEAR else "utc_time", exact)


def key_identifier(public_key_info: bytes) -> bytes:
    """Return the identifier of a public key: 160 bits of the SHA-256 of its bits (RFC 7093 section 2, method 1)."""
    bits = keys.PublicKeyInfo.load(public_key_info)["public_key"].contents[1:]  # after the count of unused bits
    return hashlib.sha256(bits).digest()[:20]


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


def build_tbs(
    profile: Profile,
    subject: DistinguishedName,
    public_key_info: bytes,
    *,
    signature_algorithm: bytes,
    issuer: x509.Certificate | None,
    serial: int,
    not_before: datetime,
    days: int | None = None,
    urls: Urls | None = None,
    dns_names: Sequence[str] = (),
) -> x509.TbsCertificate:
    """Build what is to be signed for a certificate under a profile.

    `issuer` None makes it self-issued. `days` overrides the profile's validity; the last second counts, so that
    notAfter is notBefore plus the days less one second (RFC 5280 section 4.1.2.5). `signature_algorithm` is the
    signer's. `urls` must have what the profile's `status_urls` ask for.

    Raises CertificateError when the certificate would outlive its issuer, or a URL is missing.
    """
    begin = not_before.astimezone(UTC).replace(microsecond=0)
    end = begin + timedelta(days=days or profile.days, seconds=-1)
    if issuer is not None:
        _check_issuer(issuer, begin, end)
    extensions = [
        {"extn_id": name, "critical": critical, "extn_value": value}
        for name, critical, value in _extensions(profile, public_key_info, issuer, urls or StatusUrls(), dns_names)
    ]
    name = subject.to_name()
    return x509.TbsCertificate(
        {
            "version": "v3",
            "serial_number": serial,
            "signature": x509.SignedDigestAlgorithm.load(signature_algorithm),
            "issuer": issuer.subject if issuer else name,
            "validity": {"not_before": encode_time(begin), "not_after": encode_time(end)},
            "subject": name,
            "subject_public_key_info": keys.PublicKeyInfo.load(public_key_info),
            "extensions": extensions,
        }
    )


def sign_certificate(tbs: x509.TbsCertificate, signer: Signer) -> bytes:
    """Sign and return the certificate in DER.

    Raises SignerError, and CertificateError when `tbs` names another signature algorithm than the signer's.
    """
    if tbs["signature"].dump() != signer.signature_algorithm:
        raise CertificateError(f"the certificate was prepared for another signature algorithm than {signer.uri} has")
    signed = x509.Certificate(
        {
            "tbs_certificate": tbs,
            "signature_algorithm": tbs["signature"],
            "signature_value": signer.sign(tbs.dump()),
        }
    )
    return bytes(signed.dump())


def _check_issuer(issuer: x509.Certificate, begin: datetime, end: datetime) -> None:
    who = issuer.subject.human_friendly
    if not issuer.ca:
        raise CertificateError(f"issuer {who} is not a CA; give a CA certificate")
    if end > issuer.not_valid_after:
        raise CertificateError(
            f"the certificate would be valid until {end:%Y-%m-%d %H:%M:%S} UTC and outlive its issuer {who}, until "
            f"{issuer.not_valid_after:%Y-%m-%d %H:%M:%S} UTC; ask for fewer days, or make a new issuer (CP-5.6)"
        )
    if begin < issuer.not_valid_before:
        raise CertificateError(
            f"the certificate would begin before its issuer {who}, valid from {issuer.not_valid_before}; "
            "check this host's clock"
        )


def _extensions(
    profile: Profile,
    public_key_info: bytes,
    issuer: x509.Certificate | None,
    urls: Urls,
    dns_names: Sequence[str],
) -> Iterator[tuple[str, bool, Any]]:
    """Give (name, critical, value) of each extension (RFC 5280 section 4.2)."""
    if profile.ca:
        yield "basic_constraints", True, {"ca": True, "path_len_constraint": profile.path_length}
    yield "key_usage", True, {_KEY_USAGE[usage] for usage in profile.key_usage}
    if profile.extended_key_usage:
        usages = [_EXTENDED_KEY_USAGE[usage] for usage in profile.extended_key_usage]
        yield "extended_key_usage", profile.extended_key_usage_critical, usages
    yield "key_identifier", False, key_identifier(public_key_info)
    if issuer:
        yield "authority_key_identifier", False, authority_key_identifier(issuer)
    if profile.policies:
        yield "certificate_policies", False, [{"policy_identifier": policy} for policy in profile.policies]
    if dns_names:
        yield "subject_alt_name", False, [x509.GeneralName("dns_name", name) for name in dns_names]
    if missing := [wanted for wanted in profile.status_urls if not getattr(urls, wanted)]:
        raise CertificateError(f"the profile asks for the URLs {', '.join(missing)} and none is given")
    if access := [
        {"access_method": method, "access_location": x509.GeneralName("uniform_resource_identifier", url)}
        for method, wanted, url in (("ocsp", "ocsp", urls.ocsp), ("ca_issuers", "issuer", urls.issuer))
        if wanted in profile.status_urls
    ]:
        yield "authority_information_access", False, access
    if "crl" in profile.status_urls and urls.crl:
        yield "crl_distribution_points", False, [distribution_point(urls.crl)]
    if "delta_crl" in profile.status_urls and urls.delta_crl:
        yield "freshest_crl", False, [distribution_point(urls.delta_crl)]
    if profile.ocsp_no_check:
        yield "ocsp_no_check", False, core.Null()
