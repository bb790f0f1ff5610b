"""Only what a ceremony's verified bundle vouches for is installed, and nothing is replaced unasked (CP-2.4)."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[3]
INSTALLED = "/etc/kepil/pki/held.crt"


@pytest.fixture
def ceremony(variables: dict[str, Any]) -> Iterator[Path]:
    """The folder of the ceremony's outputs, put right again after the test."""
    folder = PROJECT / "ceremonies" / variables["estate_environment"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield folder
    for path, content in before.items():
        path.write_bytes(content)


def converge(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The role once more, over the scenario's inventory, which Molecule put into the environment."""
    playbook = Path(__file__).parents[1] / "converge.yml"
    return subprocess.run(
        ["ansible-playbook", str(playbook), *arguments], capture_output=True, text=True, check=False, cwd=PROJECT
    )


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_certificate_is_installed_in_der(host: Any, ceremony: Path) -> None:
    """CP-2.1: what AIA pointers lead to is DER (RFC 5280 section 4.2.2.1)."""
    recorded = json.loads((ceremony / "held.json").read_text())["sha256"].replace(":", "").lower()
    assert host.file(INSTALLED).sha256sum == recorded
    assert (host.file(INSTALLED).user, host.file(INSTALLED).mode) == ("root", 0o644)


def test_one_that_the_record_does_not_vouch_for_is_refused(host: Any, ceremony: Path) -> None:
    """Threat: someone puts a certificate of their own among the ceremony's outputs."""
    before = host.file(INSTALLED).sha256sum
    (ceremony / "held.crt").write_bytes((ceremony / "other.crt").read_bytes())
    refused = converge()
    assert refused.returncode != 0
    assert "restore both from the ceremony's bundle" in flat(refused.stdout)
    assert host.file(INSTALLED).sha256sum == before


def put(ceremony: Path, name: str) -> str:
    """Let another certificate take the place of the one that was held, with its record; return its fingerprint."""
    pem = (ceremony / f"{name}.crt").read_text()
    (ceremony / "held.crt").write_text(pem)
    der = subprocess.run(["openssl", "x509", "-outform", "DER"], input=pem.encode(), capture_output=True, check=True)
    fingerprint = hashlib.sha256(der.stdout).hexdigest()
    (ceremony / "held.json").write_text(json.dumps({"name": "held", "sha256": fingerprint}))
    return fingerprint


def test_one_that_no_ceremony_vouches_for_is_refused(host: Any, ceremony: Path) -> None:
    """Threat: certificate and record are both exchanged; only people's signatures cannot be."""
    before = host.file(INSTALLED).sha256sum
    fingerprint = put(ceremony, "other")
    refused = converge()
    assert refused.returncode != 0
    assert f"No ceremony vouches for {ceremony}/held.crt (SHA-256 {fingerprint})" in flat(refused.stdout)
    assert host.file(INSTALLED).sha256sum == before


def test_a_bundle_that_was_changed_stops_everything(host: Any, ceremony: Path) -> None:
    """Threat: a forged entry among the ceremony's own."""
    journal = next(ceremony.glob("bundles/*/journal.jsonl"))
    journal.write_bytes(journal.read_bytes().replace(b"operator-1", b"operator-2"))
    refused = converge()
    assert refused.returncode != 0
    assert "journal.jsonl" in refused.stdout


def test_other_peoples_ceremony_vouches_for_nothing(host: Any, ceremony: Path) -> None:
    """Threat: a whole bundle is made by others, with keys of their own."""
    signers = ceremony / "people/allowed_signers"
    signers.write_text("".join(line for line in signers.read_text().splitlines(True) if "witness" not in line))
    refused = converge()
    assert refused.returncode != 0
    assert "witness-1 signed with a key that is not hers" in flat(refused.stdout)


def test_only_scenarios_do_without_the_gate() -> None:
    """Threat: a variable opens the gate where it counts."""
    refused = converge("-e", json.dumps({"ceremony_certificate_gate": False, "estate_environment": "development"}))
    assert refused.returncode != 0
    assert "only Molecule's scenarios may say that" in flat(refused.stdout)


def test_one_that_is_installed_is_replaced_only_when_asked(host: Any, ceremony: Path) -> None:
    """Threat: a converge replaces a CA certificate because a date differed."""
    before = host.file(INSTALLED).sha256sum
    new = put(ceremony, "next")
    refused = converge()
    assert refused.returncode != 0
    assert before in refused.stdout
    assert new in refused.stdout
    assert host.file(INSTALLED).sha256sum == before
    asked = converge("-e", json.dumps({"ceremony_certificate_replaceable": [before]}))
    assert asked.returncode == 0, asked.stdout
    assert host.file(INSTALLED).sha256sum == new
    assert "A new certificate is in place" in asked.stdout


def test_a_missing_ceremony_is_named(host: Any) -> None:
    """Threat: someone makes up a certificate to get past an error that does not say what to do."""
    refused = converge("-e", json.dumps({"ceremony_certificate_names": ["never-made"]}))
    assert refused.returncode != 0
    assert "playbooks/ceremonies/issuing.yml" in refused.stdout
    assert "never-made.json" in refused.stdout
