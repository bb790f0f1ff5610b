"""What the offline root keeps of a certificate whose key is gone does not stand for the one that follows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .conftest import PROJECT

SCRIPT = PROJECT / "playbooks/ceremonies/steps/draft.sh"
KEPIL = '#!/bin/sh\nwhile [ "$1" != --out ]; do shift; done\necho draft > "$2"\n'


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The ceremonies' folder of the root's host, with a certificate and its draft, and a request of its key."""
    for name in ("first", "second"):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", tmp_path / f"{name}.pem")
        openssl("req", "-new", "-key", tmp_path / f"{name}.pem", "-subj", "/CN=nca", "-out", tmp_path / f"{name}.csr")
    openssl("req", "-x509", "-key", tmp_path / "first.pem", "-subj", "/CN=nca", "-out", tmp_path / "nca.crt")
    (tmp_path / "nca.draft.crt").write_text("linted\n")
    (tmp_path / "kepil").write_text(KEPIL)
    (tmp_path / "kepil").chmod(0o755)
    return tmp_path


def draft(folder: Path, request: str) -> str:
    """What the draft is after the script has run with this request, which came on a medium."""
    (folder / "nca.csr").write_bytes((folder / f"{request}.csr").read_bytes())
    text = SCRIPT.read_text(encoding="utf-8").replace("/etc/kepil/ceremony", str(folder))
    names = {"ISSUER": "root", "NAME": "nca", "MEMBER": "{}", "PROFILES": "{}", "REPOSITORY": "http://pki"}
    used = dict.fromkeys(("KEY", "DIGEST", "config", "activation"), "x")
    environment = os.environ | names | used | {"PATH": f"{folder}:{os.environ['PATH']}"}
    whole = f'set -eu\nssl() {{ openssl "$@"; }}\n{text}'
    subprocess.run(["sh", "-c", whole], env=environment, check=True, capture_output=True)
    return (folder / "nca.draft.crt").read_text()


@pytest.mark.clause("CP-6.1")
def test_a_certificate_is_found_again_after_an_interruption(folder: Path) -> None:
    before = (folder / "nca.crt").read_bytes()
    assert draft(folder, "first") == "linted\n"
    assert (folder / "nca.crt").read_bytes() == before


@pytest.mark.clause("CP-5.7")
def test_one_of_a_destroyed_key_is_laid_aside(folder: Path) -> None:
    """Threat: after a compromise the root gives the old certificate out again, under the new key's name."""
    before = (folder / "nca.crt").read_bytes()
    assert draft(folder, "second") == "draft\n"
    assert not (folder / "nca.crt").exists()
    assert (folder / "nca.former.crt").read_bytes() == before


def test_what_cannot_be_read_is_neither(folder: Path) -> None:
    (folder / "nca.crt").write_text("no certificate")
    with pytest.raises(subprocess.CalledProcessError):
        draft(folder, "second")
    assert (folder / "nca.crt").exists()
