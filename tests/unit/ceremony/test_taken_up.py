"""A key that an interrupted act made and did not record is recorded as it is; any other stops the act."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.ceremony.definition import Step
from kepil.ceremony.engine import ActFailedError, Ceremony
from kepil.ceremony.playbook import Playbook, PlaybookError

from .conftest import PROJECT, Hall

STEPS = PROJECT / "playbooks/ceremonies/steps"
NAME = "krnca-rsa"


class Told(Playbook):
    """Fails in every act, and keeps what it would have told the playbook."""

    def __init__(self, folder: Path) -> None:
        (folder / "trial.yml").touch()
        (folder / "records").mkdir(exist_ok=True)
        super().__init__(folder / "trial.yml", folder / "records")
        self.left: list[list[str]] = []

    def _run(self, _tag: str, _step: Step, told: Mapping[str, Any], _folder: Path) -> None:
        self.left.append(told["ceremony_left"])
        raise PlaybookError("killed")


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("held", [{}, {NAME: "1" * 64}])
def test_only_what_was_not_there_before_may_be_left(
    hall: Hall, held: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threat: a key that lay in the module before the ceremony, or came before the act, is taken for the ceremony's."""
    module = hall.module()
    monkeypatch.setattr(type(module), "_account", lambda *_: held)
    ceremony, told = hall.open(), Told(hall.folder.parent)
    hall.until(ceremony, 2)
    for _ in range(2):
        with pytest.raises(ActFailedError):
            ceremony.perform(told)
    ceremony = Ceremony.resume(hall.folder, "The power failed")
    hall.until(ceremony, 2)
    with pytest.raises(ActFailedError):
        ceremony.perform(told)
    ours: list[str] = [] if held else [NAME]
    assert told.left == [[], ours, ours]


def test_killed_outright_it_may_have_left_a_key(hall: Hall) -> None:
    """The journal says that it began, and nothing more."""
    ceremony, told = hall.open(), Told(hall.folder.parent)
    hall.until(ceremony, 2)
    ceremony._append("began", {"step": ceremony.course.current.id})
    ceremony = Ceremony.resume(hall.folder, "The power failed")
    hall.until(ceremony, 2)
    with pytest.raises(ActFailedError):
        ceremony.perform(told)
    assert told.left == [[NAME]]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The steps of a key beside stand-ins: a module whose keys are files, and a play for this machine."""
    (tmp_path / "module").mkdir()
    for name in ("key.yml", "record.yml", "find_key.sh", "make_key.sh"):
        shutil.copyfile(STEPS / name, tmp_path / name)
    (tmp_path / "use.sh").write_text(
        f"""set -eu
module={tmp_path}/module
token() {{
  case $* in
    *--list-objects*) ls "$module" | sed 's/^/  label:      /' ;;
    *--keypairgen*) openssl rand -hex 32 > "$module/$NAME" ;;
  esac
}}
fingerprint() {{ cat "$module/$NAME"; }}
token_slots() {{ echo '  serial num         : 0a1b'; }}
"""
    )
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "ceremony_member": {"name": NAME, "partition": "root", "key": {"type": "rsa", "bits": 4096}},
            "ceremony_environment": {"NAME": NAME, "KEY": "pkcs11:x", "MAKING": "rsa:4096"},
            "ceremony_record": f"{tmp_path}/keys/{NAME}.json",
            "ceremony_recorded": yaml.safe_load((STEPS.parent / "ceremony.yml").read_text())["ceremony_recorded"],
            "ceremony_stated": "{{ ceremony_entry | to_json }}",
        },
        "tasks": [{"ansible.builtin.include_tasks": "key.yml"}],
    }
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\naction_plugins = {PROJECT / 'plugins/action'}\n")
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    return tmp_path


def act(host: Path, *left: str) -> tuple[int, str]:
    """The act, with what the engine says may be left; exit status and output."""
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = [program, "-i", "localhost,", "-c", "local", str(host / "play.yml")]
    given = json.dumps({"ceremony_left": left, "ansible_python_interpreter": sys.executable})
    environment = os.environ | {"ANSIBLE_CONFIG": str(host / "ansible.cfg")}
    done = subprocess.run(
        [*command, "--extra-vars", given], env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.clause("CP-6.1")
def test_a_key_that_an_interrupted_act_left_is_recorded_and_not_made_again(host: Path) -> None:
    """Threat: the ceremony cannot go on; or a second CA key takes the place of the first."""
    key, record = host / "module" / NAME, host / f"keys/{NAME}.json"
    assert act(host, NAME)[0] == 0, "where nothing was left it is made"
    made = key.read_text()
    assert json.loads(record.read_text())["public_key_sha256"] == made.strip()
    record.unlink()
    status, said = act(host, "another")
    assert status != 0
    assert "says nothing (there is no record). No key was made" in said
    assert not record.exists()
    assert act(host, NAME)[0] == 0
    recorded = json.loads(record.read_text())
    assert (recorded["public_key_sha256"], recorded["module"]) == (made.strip(), "0a1b")
    assert key.read_text() == made
    key.unlink()
    status, said = act(host, NAME)
    assert status != 0, "what has a record is never made again"
    assert f"missing (there is no key), the record {record} says {made.strip()}" in said
    assert not key.exists()
