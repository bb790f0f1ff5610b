"""A partition names every key that it holds, or there is no account of it. A stand-in prints what the tool does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .conftest import PROJECT

SCRIPT = PROJECT / "playbooks/ceremonies/steps/account.sh"
SLOTS = """Slot 0 (0x48667563): SoftHSM slot ID 0x48667563
  token label        : nca
  token manufacturer : SoftHSM project
  token model        : SoftHSM v2
  serial num         : 568473748566630b
  firmware version   : 2.6"""
RSA, EC, SECRET = "Private Key Object; RSA ", "Private Key Object; EC", "Secret Key Object; AES length 32"
BEFORE = """set -eu
token() { cat "$FOLDER/$3"; }
token_slots() { cat "$FOLDER/slots"; }
fingerprint() { printf '%s' "$KEY" | sha256sum | cut -d' ' -f1; }
"""


def printed(header: str, label: str | None) -> str:
    """An object, as pkcs11-tool 0.26 of OpenSC prints it."""
    shown = "" if label is None else f"  label:      {label}\n"
    access = "  Access:     sensitive, always sensitive, never extractable, local\n"
    return f"{header}\n{shown}  ID:         01\n  Usage:      decrypt, sign, signRecover, unwrap\n{access}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The host of a partition with two keys on it, and one beside it in a file."""
    (tmp_path / "slots").write_text(SLOTS)
    (tmp_path / "privkey").write_text(printed(RSA, "nca-rsa") + printed(EC, "nca-p256-2"))
    (tmp_path / "secrkey").write_text("")
    (tmp_path / "keys/nca").mkdir(parents=True)
    (tmp_path / "keys/nca/nca-gost.pem").touch()
    return tmp_path


def account(folder: Path) -> subprocess.CompletedProcess[str]:
    text = BEFORE + SCRIPT.read_text(encoding="utf-8").replace("/etc/kepil/keys", str(folder / "keys"))
    environment = {"PATH": "/usr/bin:/bin", "PARTITION": "nca", "FOLDER": str(folder)}
    return subprocess.run(["sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)


def test_every_key_has_its_name_in_the_account(folder: Path) -> None:
    done = account(folder)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["module"] == {
        "make": "SoftHSM project",
        "model": "SoftHSM v2",
        "serial": "568473748566630b",
        "firmware": "2.6",
    }
    assert sorted(said["keys"]) == ["nca-gost", "nca-p256-2", "nca-rsa"]
    assert len(set(said["keys"].values())) == len(said["keys"])


@pytest.mark.parametrize("keys", ["", None])
def test_a_partition_may_hold_nothing(folder: Path, keys: str | None) -> None:
    """With an empty folder for files beside it, or none."""
    (folder / "privkey").write_text("")
    (folder / "keys/nca/nca-gost.pem").unlink()
    if keys is None:
        (folder / "keys/nca").rmdir()
    done = account(folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["keys"] == {}


@pytest.mark.clause("CP-5.4")
@pytest.mark.parametrize(
    ("file", "added", "reason"),
    [
        ("privkey", printed(RSA, None), "it holds 3 private keys, and 2 names that a key may have"),
        ("privkey", printed(RSA, ""), "it holds 3 private keys, and 2 names"),
        ("privkey", printed(RSA, "two words"), "it holds 3 private keys, and 2 names"),
        ("privkey", printed(RSA, "nca-rsa"), "two keys are called nca-rsa"),
        ("privkey", printed(RSA, "nca-gost"), "two keys are called nca-gost"),
        ("privkey", printed(RSA, "x\n  label:      y"), "it holds 3 private keys, and 4 names"),
        ("privkey", printed(RSA, "two words\n  label:      y"), "it holds 3 private keys, and 3 names"),
        ("secrkey", printed(SECRET, "wraps"), "it holds secret keys (1), which no ceremony makes"),
        ("secrkey", printed(SECRET, None), "it holds secret keys (1)"),
        ("keys/nca/more.pem.new", "", "holds what is no key's file: more.pem.new nca-gost.pem"),
        ("keys/nca/.hidden.pem", "", "holds what is no key's file: .hidden.pem nca-gost.pem"),
    ],
)
def test_what_is_not_accounted_for_is_a_failure(folder: Path, file: str, added: str, reason: str) -> None:
    """Threat: a key that has no name, or another's, is on the module, and no account ever shows it."""
    with (folder / file).open("a") as opened:
        opened.write(added)
    done = account(folder)
    assert done.returncode != 0
    assert reason in done.stderr
    assert "partition nca: " in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("absent", ["privkey", "secrkey", "slots"])
def test_a_partition_that_cannot_be_asked_is_not_empty(folder: Path, absent: str) -> None:
    (folder / absent).unlink()
    assert account(folder).returncode != 0


def test_a_key_that_cannot_be_read_is_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "BEFORE", BEFORE.replace("cut -d' ' -f1; }", "false; }"))
    assert account(folder).returncode != 0


@pytest.mark.parametrize(("lists", "status"), [(SLOTS, 0), ("", 1), (SLOTS.replace("nca", "root"), 1)])
def test_a_module_that_does_not_name_the_partition_is_a_failure(tmp_path: Path, lists: str, status: int) -> None:
    """Threat: it is not reached for a moment, and the account is of a module without maker and number."""
    tool = tmp_path / "pkcs11-tool"
    tool.write_text(f"#!/bin/sh\nprintf '%s\\n' '{lists}'\n")
    tool.chmod(0o755)
    (tmp_path / "hsm-nca.env").write_text("KEPIL_HSM_MODULE=/module.so\n")
    use = (SCRIPT.parent / "use.sh").read_text(encoding="utf-8").replace("/etc/kepil/hsm", str(tmp_path / "hsm"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PARTITION": "nca", "PINS": str(tmp_path)}
    text = f"{use}\nslots=$(token_slots)\nprintf '%s' \"$slots\""
    done = subprocess.run(["sh", "-s"], input=text, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stdout == (lists.partition("\n")[2] if status == 0 else "")
    assert ("partition nca: /module.so names no token of it" in done.stderr) == (status != 0)
