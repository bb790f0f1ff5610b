"""What the pages on ceremonies tell people to type is what the command line takes, and the table is what there is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest

from kepil.ceremony.statement import Signed
from kepil.cli import build_parser
from kepil.journal.chain import Journal

from .conftest import PROJECT, SCRIPTS, Hall

PAGE = (PROJECT / "docs/ceremonies.md").read_text(encoding="utf-8")
AIR_GAP = (PROJECT / "docs/air-gap.md").read_text(encoding="utf-8")
TYPED = re.findall(r"^ *(kepil ceremony .*)$", (PAGE + AIR_GAP).replace("\\\n", " "), flags=re.MULTILINE)


@pytest.mark.parametrize("line", TYPED)
def test_the_commands_of_the_page_are_understood(line: str) -> None:
    build_parser().parse_args(shlex.split(line)[1:])


def test_the_table_names_every_ceremony() -> None:
    named = re.findall(r"^\| `([a-z_]+)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(named) == sorted(path.stem for path in SCRIPTS.glob("*.yml"))


def test_a_confirmation_is_checked_with_openssh_alone(hall: Hall) -> None:
    """As the page says: the statement as jq prints it is what was signed."""
    ceremony = hall.open()
    ceremony.accept(hall.signed(ceremony, "present", "auditor-1"))
    signed = Signed.model_validate(Journal(ceremony.journal.path).entries()[-1].data)
    hall.people.allowed_signers(hall.folder)
    (hall.folder / "signature").write_text(signed.signature)
    who = "-f allowed_signers -I auditor-1 -n ceremony@kepil -s signature"
    printed = "tail -n 1 journal.jsonl | jq -cS .data.statement" if shutil.which("jq") else "cat statement"
    (hall.folder / "statement").write_bytes(signed.statement.content)
    words = ["bash", "-euo", "pipefail", "-c", f"{printed} | ssh-keygen -Y verify {who}"]
    done = subprocess.run(words, cwd=hall.folder, capture_output=True, check=True)
    assert b'Good "ceremony@kepil" signature for auditor-1' in done.stdout
