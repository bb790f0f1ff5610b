"""pkilint has nothing to say of what the estate's own profiles make (CP-1, CP-7.1)."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import x509

from kepil.ceremony.pkilint import findings
from kepil.pki.crl import build_crl
from kepil.pki.name import DistinguishedName
from kepil.pki.profile import Profile
from kepil.pki.signer import Signer

BIN = Path(sys.executable).parent
NOW = datetime.now(UTC)


PERSON_OF_A_COMPANY = {
    "country": "KZ",
    "organization": "«ҚАЗЫНА» ЖШС",
    "organizational_unit": "BIN970740000015",
    "common_name": "ӘУЕЗОВ МҰХТАР",
    "serial_number": "IIN970908300017",
}
SUBJECTS = {
    "ocsp": {"country": "KZ", "organization": "Мекеме", "common_name": "OCSP"},
    "tsp": {"country": "KZ", "organization": "Мекеме", "common_name": "TSP"},
    "natural-person": {"country": "KZ", "common_name": "СӘТБАЕВ ҚАНЫШ", "serial_number": "IIN970908300017"},
    "legal-entity-head": PERSON_OF_A_COMPANY,
    "legal-entity-signatory": PERSON_OF_A_COMPANY,
    "legal-entity-employee": PERSON_OF_A_COMPANY,
    "treasury-client": PERSON_OF_A_COMPANY,
    "non-resident-legal-entity": {
        "country": "DE",
        "organization": "Müller GmbH",
        "organization_identifier": "NTRDE-HRB123456",
        "organizational_unit": "BIN970740000015",
        "common_name": "Jürgen Groß",
    },
    "information-system": {"country": "KZ", "locality": "Астана", "organization": "Мекеме"},
}


def test_every_profile_is_here(profiles: dict[str, Profile]) -> None:
    assert {"root", "issuing", *SUBJECTS} == set(profiles)


@pytest.mark.parametrize("profile", ["root", "issuing"])
def test_certificates_of_cas(root: x509.Certificate, issuing: x509.Certificate, profile: str, tmp_path: Path) -> None:
    (tmp_path / "c.der").write_bytes({"root": root, "issuing": issuing}[profile].dump())
    assert findings(f"{BIN}/lint_pkix_cert", f"{tmp_path}/c.der") == {}


@pytest.mark.clause("CP-7.1")
@pytest.mark.clause("CP-1.4.1")
@pytest.mark.parametrize(("profile", "key"), [(name, "p256") for name in SUBJECTS] + [("natural-person", "rsa2048")])
def test_certificates(
    certified: Callable[..., bytes],
    make_request: Callable[..., bytes],
    signer: Callable[..., Signer],
    profile: str,
    key: str,
    tmp_path: Path,
) -> None:
    """What the CA makes of a request, by the path that real requests take."""
    subject = DistinguishedName(**SUBJECTS[profile])
    dns_names = ("www.example.kz", "example.kz") if profile == "information-system" else ()
    (tmp_path / "c.der").write_bytes(certified(make_request(signer(key), subject, dns_names), profile))
    assert findings(f"{BIN}/lint_pkix_cert", f"{tmp_path}/c.der") == {}
    if profile == "information-system":
        assert findings(f"{BIN}/lint_cabf_serverauth_cert", "-t", "OV-FINAL-CERTIFICATE", f"{tmp_path}/c.der") == {}


@pytest.mark.clause("CP-2.1")
@pytest.mark.parametrize("rules", ["PKIX", "BR"])
@pytest.mark.parametrize(("base", "freshest"), [(None, "http://pki.example.test/d.crl"), (1, None)])
def test_crls(
    issuing: x509.Certificate,
    issuing_signer: Signer,
    base: int | None,
    freshest: str | None,
    rules: str,
    tmp_path: Path,
) -> None:
    """RFC 5280, and the CA/Browser Forum's Baseline Requirements."""
    url = "http://pki.example.test/f.crl"
    entries = [(5, NOW, 1), (6, NOW, None)]
    made = build_crl(issuing, issuing_signer, 2, NOW, NOW + timedelta(hours=25), entries, base, url, freshest)
    (tmp_path / "c.der").write_bytes(made)
    assert findings(f"{BIN}/lint_crl", "-t", "CRL", "-p", rules, f"{tmp_path}/c.der") == {}
