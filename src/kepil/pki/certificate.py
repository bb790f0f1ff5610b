"""Certificates (RFC 5280 section 4, CP-7.1): what a profile says, as the bytes to sign, and signed."""

import hashlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from asn1crypto import core, crl, keys, x509

from kepil.pki import der
from kepil.pki.fields import (
    FIRST_GENERALIZED_YEAR,
    CertificateError,
    authority_key_identifier,
    distribution_point,
    encode_time,
)
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.signer import Signer

_RANDOM_BITS: Final = 88
_DNS_NAME: Final = 0x82
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
    """Return a positive serial number: the time in seconds, then 88 random bits (BR 7.1 asks for at least 64).

    New ones sort after old ones, so that an index of millions grows at its end and not all over. In 2038 they become
    16 octets long; RFC 5280 section 4.1.2.2 allows 20.
    """
    return int(time.time()) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)


def key_identifier(public_key_info: bytes) -> bytes:
    """Return the identifier of a public key: 160 bits of the SHA-256 of its bits (RFC 7093 section 2, method 1)."""
    info = der.Reader(public_key_info).enter(der.SEQUENCE)
    info.skip()
    return hashlib.sha256(info.contents(der.BIT_STRING)[1:]).digest()[:20]  # after the count of unused bits


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

    `issuer` None makes it self-issued. `days` overrides the profile's validity. `signature_algorithm` is the signer's.
    `urls` must have what the profile's `status_urls` ask for.

    Raises CertificateError when the certificate would outlive its issuer, or a URL is missing.
    """
    begin, end = validity(not_before, days or profile.days)
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


class CertificateForm:
    """What the certificates of one profile under one issuer have in common, encoded once, with places for the rest.

    `host_names` tells whether they name hosts. Raises CertificateError as `build_tbs` does.
    """

    def __init__(
        self, profile: Profile, issuer: x509.Certificate, urls: Urls, signature_algorithm: bytes, *, host_names: bool
    ) -> None:
        self._issuer, self._days = issuer, profile.days
        self._limits = issuer.not_valid_before, issuer.not_valid_after
        self._algorithm, self._host_names = signature_algorithm, host_names
        names = ("example.test",) if host_names else ()
        key = issuer.public_key.dump()
        subject = DistinguishedName(common_name="The subject's place")
        begin = issuer.not_valid_before
        example = build_tbs(
            profile,
            subject,
            key,
            signature_algorithm=signature_algorithm,
            issuer=issuer,
            serial=new_serial(),
            not_before=begin,
            days=1,
            urls=urls,
            dns_names=names,
        )
        validity = example["validity"].dump()
        holes = [der.integer(example["serial_number"].native), validity, subject.encode(), key]
        holes.append(der.wrap(der.OCTET_STRING, key_identifier(key)))
        self._template = der.Template(example.dump(), *holes, *([_host_names(names)] if names else []))

    def fill(
        self,
        subject: DistinguishedName,
        public_key_info: bytes,
        *,
        serial: int,
        not_before: datetime,
        days: int | None = None,
        dns_names: Sequence[str] = (),
    ) -> bytes:
        """Return what is to be signed, in DER; see `build_tbs`. Raises CertificateError."""
        begin, end = validity(not_before, days or self._days)
        if not self._limits[0] <= begin <= end <= self._limits[1]:
            _check_issuer(self._issuer, begin, end)
        return self._template.fill(
            der.integer(serial),
            der.wrap(der.SEQUENCE, _time(begin), _time(end)),
            subject.encode(),
            public_key_info,
            der.wrap(der.OCTET_STRING, key_identifier(public_key_info)),
            *([_host_names(dns_names)] if self._host_names else []),
        )

    def assemble(self, tbs: bytes, signature: bytes) -> bytes:
        """Return the certificate of what was signed and its signature."""
        return der.wrap(der.SEQUENCE, tbs, self._algorithm, der.bit_string(signature))


def sign_certificate(tbs: x509.TbsCertificate, signer: Signer) -> bytes:
    """Sign and return the certificate in DER.

    Raises SignerError, and CertificateError when `tbs` names another signature algorithm than the signer's.
    """
    return sign_tbs(tbs, signer)


def sign_tbs(tbs: x509.TbsCertificate | crl.TbsCertList, signer: Signer) -> bytes:
    """Sign what is to be signed of a certificate or a CRL, as it is, and return the whole in DER; raises likewise."""
    if tbs["signature"].dump() != signer.signature_algorithm:
        raise CertificateError(f"what is to be signed was made for another signature algorithm than {signer.uri} has")
    encoded = tbs.dump()
    return der.wrap(der.SEQUENCE, encoded, signer.signature_algorithm, der.bit_string(signer.sign(encoded)))


def validity(not_before: datetime, days: int) -> tuple[datetime, datetime]:
    """Return the first and the last second of so many days; the last one counts (RFC 5280 section 4.1.2.5)."""
    begin = not_before.astimezone(UTC).replace(microsecond=0)
    return begin, begin + timedelta(days=days, seconds=-1)


def _time(moment: datetime) -> bytes:
    if moment.year >= FIRST_GENERALIZED_YEAR:
        return der.generalized_time(moment)
    return der.wrap(der.UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())


def _host_names(names: Sequence[str]) -> bytes:
    return der.wrap(der.SEQUENCE, *(der.wrap(_DNS_NAME, name.encode()) for name in names))


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
        usages = [_EXTENDED_KEY_USAGE.get(usage, usage) for usage in profile.extended_key_usage]
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
