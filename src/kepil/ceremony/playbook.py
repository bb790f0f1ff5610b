"""The acts in earnest: the playbook of the ceremony's name, run for one act at a time by its tag.

The playbook gets `ceremony_step` (the step as the plan has it) and `ceremony_hall` (the ceremony's folder), and leaves
records of what it did (`kepil.ceremony.records`). What crosses to or from the offline root does so as media
(`kepil.ceremony.crossing`): `ceremony_arrived` has the checked copies, `ceremony_media` the SHA-256 of the manifests.
`ceremony_left` names keys that an interrupted run may have made and not recorded: those and no others are recorded as
they are found. An aborted ceremony's remains are destroyed under the tag `remove`, which gets `ceremony_thing` and the
step that made it. Every run is limited to its step's side of the air gap, as the other cannot be reached from there.
What an interrupted run left in the hall is no evidence of the next, and goes first.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from kepil.ceremony import order
from kepil.ceremony.course import Course, follow
from kepil.ceremony.crossing import Media, SignMedium
from kepil.ceremony.definition import Side, Step, Thing
from kepil.ceremony.engine import JOURNAL, Removed
from kepil.ceremony.evidence import kind, name_of
from kepil.ceremony.medium import MediumError
from kepil.ceremony.people import People
from kepil.ceremony.records import ACCOUNT, DESTROYED, FORMER, FORMER_CRL, OPENED, STAYS, Records, keep_former
from kepil.errors import KepilError
from kepil.journal.chain import Entry, Journal

HOSTS: Final[Mapping[Side, str]] = {"estate": "!root", "root": "root"}
"""The hosts of each side of the air gap, as `--limit` names them."""


class PlaybookError(KepilError):
    """The playbook failed; its own output, on the terminal, says why."""


def nobody(medium: Path, _people: People) -> None:
    """Where no desk is. Raises MediumError."""
    raise MediumError(f"{medium}: nobody is there to sign it")


def left_over(entries: Sequence[Entry], course: Course, step: Step) -> list[str]:
    """Names of keys that an interrupted run of this step may have left without a record.

    The step was begun before, and its side's modules, asked before that, named no such key; else it is not ours.
    """
    begun = [one for one in entries if one.event in ("began", "failed") and one.data["step"] == step.id]
    accounts = course.accounts[step.at]
    if len(begun) < 2 or not accounts:  # noqa: PLR2004 -- this run has begun, too
        return []
    names = [name_of(thing) for thing in step.makes if kind(thing) == "key"]
    return [name for name in names if not any(name in account for account in accounts)]


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
        entries = Journal(folder / JOURNAL).entries()
        course = follow(entries)
        media = Media(folder, course, step, self.records.receive)
        order.keep(step, self.records.folder, folder)
        with TemporaryDirectory(prefix="kepil-media-") as arrived:
            checked = media.check(Path(arrived))
            media.take_up()
            told = {"ceremony_arrived": arrived, "ceremony_media": checked}
            told |= {"ceremony_left": left_over(entries, course, step)}
            self._run(str(step.act), step, told, folder)
        crossed = media.sign(self.sign)
        evidence = self.records.evidence(step, folder)
        order.check(step, course.plan, folder)
        return evidence | ({"media": crossed} if crossed else {})

    def remove(self, thing: Thing, folder: Path) -> Removed:
        """Destroy what is left, unless it was there before this ceremony. Raises KepilError.

        A CRL is asked for on the root's host all the same, which may have signed one that did not come out. The one
        that stands again comes from there on a medium.
        """
        if kind(thing) != "crl" and self.records.older(thing, folder):
            return Removed(STAYS)
        course = follow(Journal(folder / JOURNAL).entries())
        step = course.plan.step_of(thing)
        if step is None:
            raise PlaybookError(f"{thing}: no step of the ceremony makes it")
        media = Media(folder, course, step, lambda arrived: keep_former(arrived, folder))
        media.forget()
        manifests = {name: crossed.manifest for name, (_, crossed) in course.media.items()}
        self._run("remove", step, {"ceremony_thing": thing, "ceremony_media": manifests}, folder)
        crossed = media.sign(self.sign, {f"{name_of(thing)}{FORMER_CRL}"})
        return Removed(self.records.forget(thing, folder), crossed)

    def _run(self, tag: str, step: Step, told: Mapping[str, Any], folder: Path) -> None:
        for left in (ACCOUNT, DESTROYED, FORMER, OPENED):
            shutil.rmtree(folder / left, ignore_errors=True)
        told = {"ceremony_step": step.model_dump(mode="json"), **told, **self.given}
        extra = json.dumps({**told, "ceremony_hall": str(folder.resolve())}, ensure_ascii=False)
        words = ("--tags", tag, "--limit", HOSTS[step.at], "--extra-vars", extra)
        done = subprocess.run([*self.command, self.playbook, *words], check=False)
        if done.returncode != 0:
            raise PlaybookError(f"{self.playbook.name}, tag {tag}: exit status {done.returncode}")
