"""The acts in earnest: the playbook of the ceremony's name, run for one act at a time by its tag.

The playbook gets `ceremony_step` (the step as the plan has it) and `ceremony_hall` (the ceremony's folder), and leaves
records of what it did (`kepil.ceremony.records`). An aborted ceremony's remains are destroyed under the tag `remove`,
which gets `ceremony_thing`. What an interrupted run left in the hall is no evidence of the next, and goes first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kepil.ceremony.definition import Step, Thing
from kepil.ceremony.evidence import kind
from kepil.ceremony.records import ACCOUNT, DESTROYED, FORMER, STAYS, Records
from kepil.errors import KepilError


class PlaybookError(KepilError):
    """The playbook failed; its own output, on the terminal, says why."""


class Playbook:
    """Runs acts by `command` (`ansible-playbook` with its inventory) and the playbook, and reads its records.

    `given` is what playbooks are told beside step and hall; none of it is secret.
    """

    def __init__(
        self,
        playbook: Path,
        records: Path,
        command: Sequence[str] = ("ansible-playbook",),
        given: Mapping[str, str] | None = None,
    ) -> None:
        if not playbook.is_file():
            raise PlaybookError(f"{playbook}: there is no such playbook")
        self.playbook, self.records, self.command, self.given = playbook, Records(records), command, given or {}

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """Do a step's act and return the evidence that it left. Raises KepilError."""
        self._run(str(step.act), {"ceremony_step": step.model_dump(mode="json")}, folder)
        return self.records.evidence(step, folder)

    def remove(self, thing: Thing, folder: Path) -> str:
        """Destroy what is left, unless it was there before this ceremony. Raises KepilError.

        A CRL is asked for on the root's host all the same, which may have signed one that did not come out.
        """
        if kind(thing) != "crl" and self.records.older(thing, folder):
            return STAYS
        self._run("remove", {"ceremony_thing": thing}, folder)
        return self.records.forget(thing, folder)

    def _run(self, tag: str, told: Mapping[str, Any], folder: Path) -> None:
        for left in (ACCOUNT, DESTROYED, FORMER):
            shutil.rmtree(folder / left, ignore_errors=True)
        extra = json.dumps({**told, **self.given, "ceremony_hall": str(folder.resolve())}, ensure_ascii=False)
        done = subprocess.run([*self.command, self.playbook, "--tags", tag, "--extra-vars", extra], check=False)
        if done.returncode != 0:
            raise PlaybookError(f"{self.playbook.name}, tag {tag}: exit status {done.returncode}")
