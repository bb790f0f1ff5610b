"""CRLs, complete and delta, as OpenSSL reads them (RFC 5280 section 5, CP-2.1, CP-2.3)."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import core, crl, pem, x509

from kepil.pki.crl import Entry, RevocationListError, build_crl
from kepil.pki.name import DistinguishedName
from kepil.pki.signer import Signer

NOW = datetime.now(UTC)
BASE_URL, DELTA_URL = "http://pki.example.test/nca-rsa.crl", "http://pki.example.test/nca-rsa-delta.crl"
LATER = NOW + timedelta(hours=25)


def test_reasons(issuing: x509.Certificate, issuing_signer: Signer) -> None:
    """BR 7.2.2: no reason rather than `unspecified`."""
    entries: list[Entry] = [(1, NOW, 1), (2, NOW, "superseded"), (3, NOW, None), (4, NOW, 0), (5, NOW, "unspecified")]
    made = crl.CertificateList.load(build_crl(issuing, issuing_signer, 7, NOW, LATER, iter(entries)))
    revoked = made["tbs_cert_list"]["revoked_certificates"]
    reasons = [entry.crl_reason_value and entry.crl_reason_value.native for entry in revoked]
    assert reasons == ["key_compromise", "superseded", None, None, None]
    assert made.crl_number_value.native == 7


def test_an_empty_list_is_absent(issuing: x509.Certificate, issuing_signer: Signer) -> None:
    made = crl.CertificateList.load(build_crl(issuing, issuing_signer, 1, NOW, LATER, []))
    assert isinstance(made["tbs_cert_list"]["revoked_certificates"], core.Void)


def test_criticality(issuing: x509.Certificate, issuing_signer: Signer) -> None:
    """RFC 5280 sections 5.2.4 and 5.2.5: a reader that does not know what the list covers must not use it."""
    delta = crl.CertificateList.load(build_crl(issuing, issuing_signer, 2, NOW, LATER, [], 1, BASE_URL))
    base = crl.CertificateList.load(build_crl(issuing, issuing_signer, 1, NOW, LATER, [], None, BASE_URL, DELTA_URL))
    assert base.critical_extensions == {"issuing_distribution_point"}
    assert delta.critical_extensions == {"issuing_distribution_point", "delta_crl_indicator"}


@pytest.mark.parametrize(
    ("number", "until", "entries", "base", "freshest"),
    [
        (1, NOW, [], None, None),
        (1, LATER, [(1, NOW, 7)], None, None),
        (1, LATER, [(1, NOW, "stolen")], None, None),
        (1, LATER, [], 2, None),
        (2, LATER, [], 1, DELTA_URL),
    ],
)
def test_what_contradicts_itself(
    issuing: x509.Certificate,
    issuing_signer: Signer,
    number: int,
    until: datetime,
    entries: list[Entry],
    base: int | None,
    freshest: str | None,
) -> None:
    with pytest.raises(RevocationListError):
        build_crl(issuing, issuing_signer, number, NOW, until, entries, base, BASE_URL, freshest)


@pytest.mark.clause("CP-2.1")
@pytest.mark.parametrize(("delta_point", "refused"), [(BASE_URL, True), (DELTA_URL, False)])
def test_openssl_applies_a_delta_of_the_same_distribution_point_only(
    root: x509.Certificate,
    root_signer: Signer,
    issuing: x509.Certificate,
    issuing_signer: Signer,
    certify: Callable[..., x509.Certificate],
    signer: Callable[..., Signer],
    tmp_path: Path,
    delta_point: str,
    refused: bool,
) -> None:
    """RFC 5280 section 5.2.4: a delta with another issuing distribution point than its base's is not applied."""
    name = DistinguishedName(country="KZ", organization="Мекеме", common_name="user")
    leaf = certify("tsp", name, signer("p256").public_key_info, issuing, issuing_signer)
    base = build_crl(issuing, issuing_signer, 1, NOW, LATER, [], None, BASE_URL, DELTA_URL)
    delta = build_crl(issuing, issuing_signer, 2, NOW, LATER, [(leaf.serial_number, NOW, 1)], 1, delta_point)
    above = build_crl(root, root_signer, 1, NOW, LATER, [], None, BASE_URL)
    for file, kind, der in (
        ("root", "CERTIFICATE", root.dump()),
        ("issuing", "CERTIFICATE", issuing.dump()),
        ("leaf", "CERTIFICATE", leaf.dump()),
    ):
        (tmp_path / file).write_bytes(pem.armor(kind, der))
    (tmp_path / "crls").write_bytes(b"".join(pem.armor("X509 CRL", each) for each in (base, delta, above)))
    options = ["-crl_check_all", "-extended_crl", "-use_deltas", "-CRLfile", "crls"]
    command = ["openssl", "verify", *options, "-CAfile", "root", "-untrusted", "issuing", "leaf"]
    answer = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert ("certificate revoked" in answer.stderr) is refused, answer.stderr
