"""What plays of ceremonies do on the controller without a connection to it: write records, hash, lint."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from .conftest import PROJECT


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Play tasks under the project's settings, for a host that nothing can reach; exit status and output."""
    inventory, playbook = tmp_path / "hosts.yml", tmp_path / "play.yml"
    inventory.write_text(
        json.dumps({"all": {"hosts": {"far": {"ansible_host": "192.0.2.1", "ansible_connection": "ssh"}}}})
    )

    def run(*tasks: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[int, str]:
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "--inventory", inventory, *options, playbook],
            cwd=PROJECT,
            env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            umask=0o077,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    return run


def test_a_record_is_written_once(play: Any, tmp_path: Path) -> None:
    """Threat: a second run takes a record's place. Nothing else lies in its folder, and anybody may read both."""
    record = tmp_path / "keys/krnca.json"
    task = {"kepil_record": {"path": str(record), "content": "first\n"}}
    status, said = play(task, options=("--check", "--diff"))
    assert (status, record.parent.exists()) == (0, False)
    assert "+first" in said
    assert "changed=1" in play(task)[1]
    assert record.read_text() == "first\n"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (record, record.parent)] == [0o644, 0o755]
    task["kepil_record"]["content"] = "second\n"
    assert "changed=0" in play(task)[1]
    assert record.read_text() == "first\n"
    assert os.listdir(record.parent) == [record.name]


def test_a_record_that_cannot_be_written_is_named(play: Any, tmp_path: Path) -> None:
    (tmp_path / "keys").touch()
    status, said = play({"kepil_record": {"path": str(tmp_path / "keys/krnca.json"), "content": ""}})
    assert status != 0
    assert f"{tmp_path}/keys/krnca.json: the record could not be written: " in said


def test_of_a_file_that_is_not_there_no_hash_is_said(play: Any, tmp_path: Path) -> None:
    """And of bytes that are no text there is one."""
    there, missing = tmp_path / "there", tmp_path / "missing"
    there.write_bytes(b"\xff\x00")
    shown = {"ansible.builtin.debug": {"msg": f"{{{{ lookup('kepil_sha256', '{there}') }}}}"}}
    assert sha256(b"\xff\x00").hexdigest() in play(shown)[1]
    status, said = play({"ansible.builtin.debug": {"msg": f"{{{{ lookup('kepil_sha256', '{missing}') }}}}"}})
    assert status != 0
    assert f"{missing}: No such file or directory" in said


def test_what_is_no_certificate_is_not_linted(play: Any, tmp_path: Path) -> None:
    """The play stops, and says why."""
    (tmp_path / "krnca.draft.crt").write_text("none")
    task = {"ansible.builtin.set_fact": {"found": f"{{{{ lookup('kepil_linted', '{tmp_path}/krnca.draft.crt') }}}}"}}
    status, said = play(task)
    assert status != 0
    assert "krnca.draft.crt" in said
