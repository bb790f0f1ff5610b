"""Ansible's workers find loaded what each of them would load, and leave their parent's memory alone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CONDITION = {"ansible.builtin.assert": {"that": "1 is defined and [1] | length == 1"}}


def test_what_workers_need_is_loaded_once(tmp_path: Path) -> None:
    inventory, playbook = tmp_path / "hosts.yml", tmp_path / "play.yml"
    inventory.write_text(
        json.dumps({"all": {"hosts": {name: {"ansible_connection": "local"} for name in ("one", "two")}}})
    )
    playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [CONDITION] * 2}]))
    done = subprocess.run(
        ["ansible-playbook", "--inventory", inventory, playbook],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"), "ANSIBLE_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = Counter(re.findall(r"Loading (TestModule|FilterModule) '(core|kepil)'", done.stdout))
    assert loaded == {("TestModule", "core"): 1, ("FilterModule", "core"): 1, ("FilterModule", "kepil"): 1}


def test_workers_do_not_look_for_garbage() -> None:
    """As a copy of the memory that they share would cost more than they leave behind."""
    code = (
        "import gc, os\n"
        "from ansible.plugins.loader import init_plugin_loader\n"
        "from kepil_workers import CallbackModule\n"
        "init_plugin_loader([])\n"
        "CallbackModule().v2_playbook_on_task_start(None)\n"
        "worker = os.fork()\n"
        "if worker == 0: os._exit(gc.isenabled())\n"
        "print(gc.isenabled(), os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))\n"
    )
    told = {**os.environ, "PYTHONPATH": str(PROJECT / "plugins/callback")}
    said = subprocess.run([sys.executable, "-c", code], env=told, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "0"]
