"""pkilint has nothing to say of what the estate's own profiles make (CP-1, CP-7.1)."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import x509

from kepil.pki.crl import build_crl
from kepil.pki.name import DistinguishedName
from kepil.pki.signer import Signer

BIN = Path(sys.executable).parent
NOW = datetime.now(UTC)


def findings(tool: str, file: Path, *options: str) -> str:
    """What pkilint reports from NOTICE up; INFO only says which RFC a key identifier follows."""
    command: list[str | Path] = [BIN / tool, "lint", "-s", "NOTICE", *options, file]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert not done.stderr, done.stderr
    return str(done.stdout).strip()


@pytest.mark.clause("CP-7.1")
@pytest.mark.parametrize("profile", ["root", "issuing", "ocsp", "tsp", "natural-person", "information-system"])
def test_certificates(
    root: x509.Certificate,
    root_signer: Signer,
    issuing: x509.Certificate,
    issuing_signer: Signer,
    certify: Callable[..., x509.Certificate],
    signer: Callable[..., Signer],
    person: DistinguishedName,
    profile: str,
    tmp_path: Path,
) -> None:
    system = DistinguishedName(country="KZ", organization="Мекеме", common_name="www.example.kz")
    subject = person if profile == "natural-person" else system
    dns_names = ("www.example.kz",) if profile == "information-system" else ()
    if profile in ("root", "issuing"):
        made = {"root": root, "issuing": issuing}[profile]
    else:
        made = certify(profile, subject, signer("rsa2048").public_key_info, issuing, issuing_signer, dns_names)
    (tmp_path / "c.der").write_bytes(made.dump())
    assert findings("lint_pkix_cert", tmp_path / "c.der") == ""


@pytest.mark.clause("CP-2.1")
@pytest.mark.parametrize(("base", "freshest"), [(None, "http://pki.example.test/d.crl"), (1, None)])
def test_crls(
    issuing: x509.Certificate, issuing_signer: Signer, base: int | None, freshest: str | None, tmp_path: Path
) -> None:
    url = "http://pki.example.test/f.crl"
    entries = [(5, NOW, 1), (6, NOW, None)]
    made = build_crl(issuing, issuing_signer, 2, NOW, NOW + timedelta(hours=25), entries, base, url, freshest)
    (tmp_path / "c.der").write_bytes(made)
    assert findings("lint_crl", tmp_path / "c.der", "-t", "CRL", "-p", "PKIX") == ""
