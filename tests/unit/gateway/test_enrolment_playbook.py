"""What the playbook of enrolment says where it cannot begin."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.unit.gateway.conftest import PROJECT


def test_without_a_gateway_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {children: {gateway: {}}}\n")
    playbook = PROJECT / "playbooks/operations/enrol_organisation.yml"
    inventory = str(tmp_path / "hosts.yml")
    command = ["ansible-playbook", "-i", inventory, str(playbook), "-e", "gateway_application=/nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode != 0
    assert "no host in group gateway" in done.stdout
    assert "carry it out" not in done.stdout.lower()
