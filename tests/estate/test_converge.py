"""A second converge of the whole estate changes nothing, anywhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kepil.estate.model import Estate
from tests.conftest import PROJECT


def test_a_second_run_changes_nothing(estate: Estate, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    done = subprocess.run(
        ["ansible-playbook", "playbooks/site.yml"],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "kepil_progress", "KEPIL_CHANGED": str(changed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert changed.read_text() == "", done.stdout
    assert f"== {len(estate.hosts)} hosts" in done.stdout
