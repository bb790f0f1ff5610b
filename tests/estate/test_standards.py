"""What the estate published and answers stands up to a linter that is not ours (pkilint)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.ceremony.pkilint import WAIVERS, findings
from kepil.estate.model import Estate

HERE = "/root/lint"


def test_every_waiver_says_why() -> None:
    assert all(set(entry) == {"code", "reason"} for entry in yaml.safe_load(WAIVERS.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def anyone(on: Callable[[str], Any]) -> Any:
    shell = on("org01")
    shell(f"rm -rf {HERE} && mkdir -p {HERE}")
    return shell


@pytest.mark.clause("CP-7.1")
@pytest.mark.parametrize("name", ["krnca-rsa", "nca-rsa", "krnca-gost", "nca-gost"])
def test_published_certificates(anyone: Any, estate: Estate, tmp_path: Path, name: str) -> None:
    anyone(f"curl -sSf -o {HERE}/{name}.crt http://pki.{estate.domain}/{name}.crt")
    path = tmp_path / "certificate.der"
    path.write_bytes(anyone.get(f"{HERE}/{name}.crt"))
    assert findings("lint_pkix_cert", str(path)) == {}


@pytest.mark.clause("CP-7.1")
@pytest.mark.parametrize(("group", "name"), [("ocsp", "ocsp-rsa"), ("tsp", "tsp-rsa")])
def test_certificates_of_the_services(
    on: Callable[[str], Any], estate: Estate, tmp_path: Path, group: str, name: str
) -> None:
    path = tmp_path / "certificate.pem"
    path.write_bytes(on(estate.members(group)[0].name).get(f"/etc/kepil/pki/{name}.crt"))
    assert findings("lint_pkix_cert", str(path)) == {}


@pytest.mark.clause("CP-2.2")
@pytest.mark.parametrize("name", ["krnca-rsa", "nca-rsa", "nca-rsa-delta", "krnca-gost", "nca-gost", "nca-gost-delta"])
def test_published_crls(anyone: Any, estate: Estate, tmp_path: Path, name: str) -> None:
    anyone(f"curl -sSf -o {HERE}/list.crl http://pki.{estate.domain}/{name}.crl")
    path = tmp_path / "list.crl"
    path.write_bytes(anyone.get(f"{HERE}/list.crl"))
    assert findings("lint_crl", "-t", "CRL", "-p", "PKIX", str(path)) == {}


@pytest.mark.clause("CP-7.2")
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_ocsp_responses(anyone: Any, estate: Estate, tmp_path: Path, nonce: str) -> None:
    anyone(
        f"cd {HERE} && curl -sSf http://pki.{estate.domain}/nca-rsa.crt | openssl x509 -inform DER -out nca.pem"
        f" && openssl ocsp -issuer nca.pem -serial 0x1234567890abcdef {nonce} -noverify"
        f" -url http://ocsp.{estate.domain}/ -respout response.der"
    )
    path = tmp_path / "response.der"
    path.write_bytes(anyone.get(f"{HERE}/response.der"))
    assert findings("lint_ocsp_response", str(path)) == {}
