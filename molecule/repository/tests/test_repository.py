"""What anyone sees of the repository, and that it cannot be changed from there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

testinfra_hosts = ["ansible://org01"]

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def site(variables: dict[str, Any]) -> str:
    """The public address."""
    return f"http://pki.{variables['estate_domain']}"


@pytest.fixture
def records(variables: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The ceremonies' records, by name."""
    folder = PROJECT / "ceremonies" / variables["estate_environment"]
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def status(host: Any, arguments: str) -> str:
    code: str = host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' {arguments}")
    return code


def names(variables: dict[str, Any], member: str) -> list[str]:
    return [hierarchy[member]["name"] for hierarchy in variables["pki_hierarchies"].values()]


def test_certificates_are_those_that_the_ceremonies_recorded(
    host: Any, variables: dict[str, Any], records: dict[str, Any], site: str
) -> None:
    """CP-2.1: root and issuing certificates are public, in DER as AIA pointers need it, and in PEM."""
    for name in names(variables, "root") + names(variables, "issuing"):
        assert host.check_output(f"curl -sf {site}/{name}.crt | sha256sum").split()[0] == records[name]["sha256"]
        as_der = f"curl -sf {site}/{name}.pem | openssl x509 -outform DER | sha256sum"
        assert host.check_output(as_der).split()[0] == records[name]["sha256"]
        assert "application/pkix-cert" in host.check_output(f"curl -sfI {site}/{name}.crt")


def test_the_root_crl_is_public_and_caches_ask_again_soon(host: Any, variables: dict[str, Any], site: str) -> None:
    """CP-2.1, CP-2.2. Threat: a cache hides a revocation long after it was published."""
    for name in names(variables, "root"):
        host.check_output(f"curl -sf {site}/{name}.crl | openssl crl -inform DER -noout")
        headers = host.check_output(f"curl -sfI {site}/{name}.crl")
        assert "application/pkix-crl" in headers
        age = re.search(r"max-age=(\d+)", headers)
        assert age
        assert int(age[1]) <= variables["pki_crl"]["delta"]["every_hours"] * 3600 / 4


def test_the_page_leads_to_everything(host: Any, variables: dict[str, Any], records: dict[str, Any], site: str) -> None:
    """CP-2.1: certificates with fingerprints, CRLs, deltas, OCSP and TSP, in three languages."""
    page = host.check_output(f"curl -sf {site}/")
    for name in names(variables, "root") + names(variables, "issuing"):
        fingerprint = records[name]["sha256"].upper()
        assert ":".join(fingerprint[i : i + 2] for i in range(0, 64, 2)) in page
        assert f'href="/{name}.crl"' in page
    for name in names(variables, "issuing"):
        assert f'href="/{name}-delta.crl"' in page
    for expected in (f"http://ocsp.{variables['estate_domain']}/", f"http://tsp.{variables['estate_domain']}/"):
        assert expected in page
    assert all(f'<section id="{code}" lang="{code}">' in page for code in ("kk", "ru", "en"))


def test_superseded_documents_stay_with_their_period_and_a_link_to_the_current(host: Any, site: str) -> None:
    """CP-1.5.4."""
    assert "Version 1.9" in host.check_output(f"curl -sf {site}/documents/cps-1.9.html")
    assert "Version 1.10" in host.check_output(f"curl -sfL {site}/documents/cps")
    english = host.check_output(f"curl -sf {site}/").split('<section id="en"')[1]
    assert re.search(
        r"2024-01-01 – 2025-06-01</td>\s*<td>superseded, current version <a href=\"/documents/cps\">1\.10", english
    )
    assert re.search(r"2025-06-01 – </td>\s*<td>current version", english)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "MKCOL", "OPTIONS"])
def test_the_public_side_only_reads(host: Any, variables: dict[str, Any], site: str, method: str) -> None:
    """CP-2.4: nobody unauthorised adds, changes or deletes."""
    for name in ("new", names(variables, "issuing")[0]):
        assert status(host, f"-X {method} -d x {site}/{name}.crl") in ("405", "413")


@pytest.mark.parametrize(
    "path", ["/../incoming/x", "/documents/", "/%2e%2e/published/x", "/.git/config", "/nca-rsa.key"]
)
def test_nothing_else_is_shown(host: Any, site: str, path: str) -> None:
    """Threat: folders are listed, or files beside the published ones are read."""
    assert status(host, f"--path-as-is '{site}{path}'") in ("400", "403", "404")


def test_pages_run_nothing_and_are_framed_nowhere(host: Any, site: str) -> None:
    """Threat: a page of the root of trust carries someone's script, or appears inside someone's page."""
    headers = host.check_output(f"curl -sfI {site}/").lower()
    assert "content-security-policy: default-src 'none'" in headers
    assert "frame-ancestors 'none'" in headers
    assert "x-content-type-options: nosniff" in headers


def test_whom_no_flow_lets_publish_finds_the_port_closed(host: Any, variables: dict[str, Any]) -> None:
    """Threat: anyone on the network tries the publishing side."""
    port = next(f["port"] for f in variables["estate_flows"] if (f["from"], f["to"]) == ("ca", "repository"))
    assert host.run(f"curl -sk --connect-timeout 2 https://repo01.{variables['estate_domain']}:{port}/").rc in (7, 28)


def test_a_flood_from_one_address_is_slowed_and_the_site_lives(host: Any, site: str) -> None:
    """Threat: one client takes the repository away from everyone."""
    many = host.check_output(
        f"curl -s --parallel --parallel-max 50 -o /dev/null -w '%{{http_code}}\\n' '{site}/style.css?[1-800]' | sort -u"
    )
    assert "429" in many
    host.run("sleep 5")
    assert status(host, f"{site}/") == "200"
