"""The repository's host, and what a converge refuses to do there."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

testinfra_hosts = ["ansible://repository"]

PROJECT = Path(__file__).parents[3]
MOST_EXPOSED = 3.0


def converge(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The role once more, over the scenario's inventory, which Molecule put into the environment."""
    playbook = Path(__file__).parents[1] / "converge.yml"
    return subprocess.run(
        ["ansible-playbook", str(playbook), *arguments], capture_output=True, text=True, check=False, cwd=PROJECT
    )


@pytest.fixture
def ceremonies(variables: dict[str, Any]) -> Iterator[Path]:
    """The ceremonies' outputs, put right again after the test."""
    folder = PROJECT / "ceremonies" / variables["estate_environment"]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    yield folder
    for path, content in before.items():
        path.write_bytes(content)


def test_nginx_is_hardened(host: Any) -> None:
    """Threat: what gets into the web server goes on from there."""
    overall = host.check_output("systemd-analyze security --no-pager nginx.service | grep Overall")
    exposure = re.search(r"([0-9.]+) [A-Z]+", overall.split(":")[1])
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSED


def test_the_web_server_cannot_change_what_ceremonies_made(host: Any) -> None:
    """CP-2.4. Threat: a fault in nginx replaces the root's certificate."""
    assert host.check_output("find /srv/kepil/repository/site ! -user root -o -perm /022") == ""


def test_an_older_root_crl_is_refused(ceremonies: Path, variables: dict[str, Any]) -> None:
    """Threat: an older CRL, valid as it is, hides a revocation."""
    root = variables["pki_hierarchies"]["rsa"]["root"]["name"]
    (ceremonies / f"{root}.crl").write_bytes((ceremonies / f"{root}.old").read_bytes())
    refused = converge()
    assert refused.returncode != 0
    assert "bring the outputs of the last root ceremony" in " ".join(refused.stdout.split())


def test_superseded_documents_are_not_withdrawn() -> None:
    """CP-1.5.4."""
    refused = converge("-e", json.dumps({"repository_documents": []}))
    assert refused.returncode != 0
    assert "CP-1.5.4" in refused.stdout
    assert "cps-1.9.html" in refused.stdout
