"""The acts in earnest: the playbook of the ceremony's name, run for one act at a time by its tag.

The playbook gets `ceremony_step` (the step as the plan has it) and `ceremony_hall` (the ceremony's folder). It leaves
files in `files/` and what it did, as `kepil.ceremony.evidence` has it, in `evidence/STEP.json`. An aborted ceremony's
remains are destroyed under the tag `remove`, which gets `ceremony_thing` and leaves `evidence/remove.json`: {"how": …}.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kepil.ceremony.definition import Step, Thing
from kepil.errors import KepilError

EVIDENCE = "evidence"


class PlaybookError(KepilError):
    """The playbook failed, or left no evidence; its own output, on the terminal, says why."""


class Playbook:
    """Runs acts by `command` (`ansible-playbook` with its inventory) and the playbook."""

    def __init__(self, playbook: Path, command: Sequence[str] = ("ansible-playbook",)) -> None:
        if not playbook.is_file():
            raise PlaybookError(f"{playbook}: there is no such playbook")
        self.playbook, self.command = playbook, command

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """Do a step's act and return the evidence that it left. Raises PlaybookError."""
        given = {"ceremony_step": step.model_dump(mode="json")}
        return self._run(str(step.act), given, folder, folder / EVIDENCE / f"{step.id}.json")

    def remove(self, thing: Thing, folder: Path) -> str:
        """Destroy what is left. Raises PlaybookError."""
        return str(self._run("remove", {"ceremony_thing": thing}, folder, folder / EVIDENCE / "remove.json")["how"])

    def _run(self, tag: str, given: Mapping[str, Any], folder: Path, evidence: Path) -> Mapping[str, Any]:
        evidence.parent.mkdir(exist_ok=True)
        evidence.unlink(missing_ok=True)  # what an interrupted run left is no evidence of this one
        extra = json.dumps({**given, "ceremony_hall": str(folder.resolve())}, ensure_ascii=False)
        done = subprocess.run([*self.command, self.playbook, "--tags", tag, "--extra-vars", extra], check=False)
        if done.returncode != 0:
            raise PlaybookError(f"{self.playbook.name}, tag {tag}: exit status {done.returncode}")
        try:
            left = json.loads(evidence.read_bytes())
        except (OSError, ValueError) as error:
            raise PlaybookError(f"{self.playbook.name}, tag {tag}: no evidence in {evidence}") from error
        if not isinstance(left, dict):
            raise PlaybookError(f"{evidence}: not as the ceremony's playbook is to write it")
        return left
