"""What docs/changes.md tells people to type works when it is typed, from propose to the audit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import FILES, PROJECT, Site

PAGE = (PROJECT / "docs/changes.md").read_text(encoding="utf-8")
HOSTS = FILES["inventories/trial/hosts.yml"].replace("app01", "ocsp01").replace("trial", "production")
Type = Callable[..., subprocess.CompletedProcess[str]]


def blocks(heading: str) -> list[str]:
    """The commands of a section, block by block."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{heading}\n")]
    return re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def type_as(site: Site, tmp_path: Path) -> Type:
    """A person's shell in the project's folder; her key is where the page says."""
    site.commit(
        **{
            "inventories/common/hosts.yml": "all: {}\n",
            "inventories/production/hosts.yml": f"{HOSTS}    ocsp: {{hosts: {{ocsp01: {{}}}}}}\n",
            "inventories/production/allowed_signers": (site.path / "inventories/trial/allowed_signers").read_text(),
            "playbooks/site.yml": FILES["playbooks/touch.yml"],
        }
    )
    (tmp_path / "traces").mkdir()

    def shell(person: str, commands: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "homes" / person
        if not home.exists():
            (home / ".ssh").mkdir(parents=True)
            shutil.copy(site.key(person), home / ".ssh/change")
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=site.path,
            env=os.environ | {"HOME": str(home), "TRACES": str(tmp_path / "traces"), "COLUMNS": "500"},
            input="yes\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done

    return shell


@pytest.mark.clause("CP-5.4")
def test_the_commands_of_the_page_work_in_their_order(type_as: Type) -> None:
    (propose,) = blocks("Propose")
    (sign,) = blocks("Sign")
    verify, run = blocks("Run")
    (log,) = blocks("The change log")
    glass, review, sign_review = blocks("Break-glass")
    signatures, chain = blocks("Verify without this project")

    type_as("change-manager", propose)
    assert "signed by change-manager" in type_as("change-manager", sign).stdout
    assert "signed by deputy-manager" in type_as("deputy-manager", sign).stdout
    allowed = type_as("shift-operator", verify).stdout.splitlines()[-1]
    typed = run.split("\n")[1]
    assert sorted(allowed.split()[1:]) == sorted(typed.split()), "the page and the tool name different commands"
    type_as("shift-operator", run)
    assert "changed ocsp01" in type_as("shift-operator", log).stdout

    assert "*** BREAK GLASS ***" in type_as("shift-operator", glass).stderr
    assert "NOT REVIEWED" in type_as("shift-operator", log).stdout
    type_as("reviewer", review)
    for person in ("reviewer", "deputy-manager"):
        type_as(person, sign_review)
    type_as("shift-operator", run)
    assert "BREAK-GLASS, reviewed" in type_as("shift-operator", log).stdout

    verified = type_as("shift-operator", signatures).stdout
    for person in ("change-manager", "deputy-manager"):
        assert f'Good "change@kepil" signature for {person} ' in verified
    told = type_as("shift-operator", chain).stdout.splitlines()
    assert told[0] == told[1]
    assert told[0].startswith("7 "), "two changes and a broken glass, each with its result, and a review"
    assert type_as("shift-operator", f"grep -c {verified.split()[-2]} changes/production/log.jsonl").stdout == "2\n"


def test_the_pages_way_to_check_the_log_finds_what_was_edited(type_as: Type, site: Site) -> None:
    _, chain = blocks("Verify without this project")
    folder = site.path / "changes/production"
    for number in range(3):
        type_as(
            "shift-operator",
            f'python -c "from pathlib import Path; from kepil.journal.chain import Journal; '
            f"Journal(Path('changes/production/log.jsonl')).append('start', {{'n': {number}}})\"",
        )
    whole = type_as("shift-operator", chain).stdout.splitlines()
    assert len(whole) == 2
    assert whole[0] == whole[1]
    log = folder / "log.jsonl"
    log.write_text(log.read_text().replace('"n":0', '"n":9'))
    assert "the chain breaks before" in type_as("shift-operator", chain).stdout
