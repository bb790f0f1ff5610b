"""Only what a ceremony's record vouches for is installed, and nothing is replaced unasked (CP-2.4)."""

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
    before = {path: path.read_bytes() for path in folder.iterdir()}
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


def test_one_that_is_installed_is_replaced_only_when_asked(host: Any, ceremony: Path) -> None:
    """Threat: a converge replaces a CA certificate because a date differed."""
    before = host.file(INSTALLED).sha256sum
    pem = (ceremony / "other.crt").read_text()
    (ceremony / "held.crt").write_text(pem)
    new = hashlib.sha256(
        subprocess.run(
            ["openssl", "x509", "-outform", "DER"], input=pem.encode(), capture_output=True, check=True
        ).stdout
    ).hexdigest()
    (ceremony / "held.json").write_text(json.dumps({"name": "held", "sha256": new}))
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
