"""Certificates are what their profile says (RFC 5280, CP-7.1)."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import pem, x509

from kepil.pki.certificate import build_tbs, new_serial, sign_certificate
from kepil.pki.fields import CertificateError, encode_time
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.signer import Signer

NAME = DistinguishedName(country="KZ", organization="Мекеме", common_name="www.example.kz")
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.clause("CP-7.1")
def test_openssl_verifies_the_chain(
    root: x509.Certificate,
    issuing: x509.Certificate,
    issuing_signer: Signer,
    certify: Callable[..., x509.Certificate],
    signer: Callable[..., Signer],
    tmp_path: Path,
) -> None:
    leaf = certify(
        "information-system", NAME, signer("p256").public_key_info, issuing, issuing_signer, ("www.example.kz",)
    )
    for name, certificate in (("root", root), ("issuing", issuing), ("leaf", leaf)):
        (tmp_path / name).write_bytes(pem.armor("CERTIFICATE", certificate.dump()))
    options = ["-x509_strict", "-purpose", "sslserver", "-verify_hostname", "www.example.kz"]
    command = ["openssl", "verify", *options, "-CAfile", "root", "-untrusted", "issuing", "leaf"]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == b"leaf: OK\n"


def test_criticality(
    certify: Callable[..., x509.Certificate], issuing: x509.Certificate, issuing_signer: Signer
) -> None:
    critical = {
        profile: certify(profile, NAME, issuing_signer.public_key_info, issuing, issuing_signer).critical_extensions
        for profile in ("ocsp", "tsp", "natural-person")
    }
    assert critical["ocsp"] == critical["natural-person"] == {"key_usage"}
    assert critical["tsp"] == {"key_usage", "extended_key_usage"}  # RFC 3161 section 2.3
    assert issuing.critical_extensions == {"basic_constraints", "key_usage"}
    assert issuing.max_path_length == 0


def test_only_the_responder_goes_unchecked(
    certify: Callable[..., x509.Certificate], issuing: x509.Certificate, issuing_signer: Signer
) -> None:
    made = [certify(name, NAME, issuing_signer.public_key_info, issuing, issuing_signer) for name in ("ocsp", "tsp")]
    assert [certificate.ocsp_no_check_value is not None for certificate in made] == [True, False]


def _tbs(
    profile: Profile, signer: Signer, issuer: x509.Certificate | None, begin: datetime, days: int
) -> x509.TbsCertificate:
    return build_tbs(
        profile,
        NAME,
        signer.public_key_info,
        signature_algorithm=signer.signature_algorithm,
        issuer=issuer,
        serial=new_serial(),
        not_before=begin,
        days=days,
    )


def test_the_last_second_counts(profiles: dict[str, Profile], root_signer: Signer) -> None:
    validity = _tbs(profiles["root"], root_signer, None, NOW, 1)["validity"].native
    assert validity["not_after"] - validity["not_before"] == timedelta(hours=24, seconds=-1)


@pytest.mark.parametrize(("year", "form"), [(2049, "utc_time"), (2050, "general_time")])
def test_the_form_of_times(year: int, form: str) -> None:
    """RFC 5280 section 4.1.2.5."""
    assert encode_time(datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)).name == form


def test_nothing_outlives_its_issuer(profiles: dict[str, Profile], root: x509.Certificate, root_signer: Signer) -> None:
    begin = root.not_valid_before
    days = (root.not_valid_after - begin).days + 1
    _tbs(profiles["root"], root_signer, root, begin, days)
    with pytest.raises(CertificateError, match="outlive its issuer"):
        _tbs(profiles["root"], root_signer, root, begin + timedelta(seconds=1), days)


def test_only_a_ca_issues(
    certify: Callable[..., x509.Certificate], issuing: x509.Certificate, issuing_signer: Signer
) -> None:
    leaf = certify("tsp", NAME, issuing_signer.public_key_info, issuing, issuing_signer)
    with pytest.raises(CertificateError, match="not a CA"):
        certify("tsp", NAME, issuing_signer.public_key_info, leaf, issuing_signer)


def test_a_url_that_the_profile_needs_is_missing(
    profiles: dict[str, Profile], root: x509.Certificate, root_signer: Signer
) -> None:
    with pytest.raises(CertificateError, match="issuer, crl"):
        _tbs(profiles["issuing"], root_signer, root, datetime.now(UTC), 1)


def test_another_algorithm_than_prepared(
    profiles: dict[str, Profile], root_signer: Signer, signer: Callable[..., Signer]
) -> None:
    with pytest.raises(CertificateError, match="another signature algorithm"):
        sign_certificate(_tbs(profiles["root"], root_signer, None, NOW, 1), signer("p256"))


def test_serial_numbers_are_positive_and_long() -> None:
    serials = {new_serial() for _ in range(200)}
    assert len(serials) == 200
    assert min(serials) > 2**118
    assert max(serials).bit_length() < 20 * 8
    assert len({serial % 2**64 for serial in serials}) == 200  # the random half alone tells them apart
