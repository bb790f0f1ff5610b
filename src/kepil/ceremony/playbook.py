"""The acts in earnest: the playbook of the ceremony's name, run for one act at a time by its tag.

The playbook gets `ceremony_step` (the step as the plan has it) and `ceremony_hall` (the ceremony's folder), and leaves
records of what it did (`kepil.ceremony.records`). What crosses to or from the offline root does so as media
(`kepil.ceremony.crossing`): `ceremony_arrived` has the checked copies, `ceremony_media` the SHA-256 of the manifests.
An aborted ceremony's remains are destroyed under the tag `remove`, which gets `ceremony_thing`. What an interrupted run
left in the hall is no evidence of the next, and goes first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kepil.ceremony.course import follow
from kepil.ceremony.crossing import Media, SignMedium
from kepil.ceremony.definition import Step, Thing
from kepil.ceremony.engine import JOURNAL
from kepil.ceremony.evidence import kind
from kepil.ceremony.medium import MediumError
from kepil.ceremony.people import People
from kepil.ceremony.records import ACCOUNT, DESTROYED, FORMER, STAYS, Records
from kepil.errors import KepilError
from kepil.journal.chain import Journal


class PlaybookError(KepilError):
    """The playbook failed; its own output, on the terminal, says why."""


def nobody(medium: Path, _people: People) -> None:
    """Where no desk is. Raises MediumError."""
    raise MediumError(f"{medium}: nobody is there to sign it")


class Playbook:
    """Runs acts by `command` (`ansible-playbook` with its inventory) and the playbook, and reads its records.

    `given` is what playbooks are told beside step and hall; none of it is secret. `sign` has a medium signed.
    """

    def __init__(
        self,
        playbook: Path,
        records: Path,
        command: Sequence[str] = ("ansible-playbook",),
        given: Mapping[str, str] | None = None,
        sign: SignMedium = nobody,
    ) -> None:
        if not playbook.is_file():
            raise PlaybookError(f"{playbook}: there is no such playbook")
        self.playbook, self.records, self.command, self.given = playbook, Records(records), command, given or {}
        self.sign = sign

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """Do a step's act and return the evidence that it left. Raises KepilError."""
        media = Media(folder, follow(Journal(folder / JOURNAL).entries()), step, self.records.receive)
        with TemporaryDirectory(prefix="kepil-media-") as arrived:
            checked = media.check(Path(arrived))
            media.take_up()
            stated = {"ceremony_step": step.model_dump(mode="json")}
            self._run(str(step.act), stated | {"ceremony_arrived": arrived, "ceremony_media": checked}, folder)
        crossed = media.sign(self.sign)
        return self.records.evidence(step, folder) | ({"media": crossed} if crossed else {})

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
