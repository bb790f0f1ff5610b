"""What an act carries to or from the offline root: on a medium, signed at the desk, and used only as it was signed.

The playbook writes media in its acts (playbooks/ceremonies/steps/leave.yml and request.yml), into `media/` of the
ceremony's folder, each named after the file for which it is, which it carries with what may come beside it (BESIDE) or,
with what roots signed before, its folder. The journal has the SHA-256 of each manifest. Before each act all that the
journal names are checked; what came out of the offline root goes to the records after its check.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from kepil.ceremony.course import Course
from kepil.ceremony.definition import Step
from kepil.ceremony.evidence import kind, name_of
from kepil.ceremony.medium import REMEDY, SIGNATURES, Crossed, MediumError, check_medium, read_medium
from kepil.ceremony.people import People
from kepil.errors import KepilError

MEDIA: Final = "media"
STATE: Final = "state"
"""What follows a partition's name in the name of the medium with what its roots signed before; its only folder."""
SUFFIXES: Final[Mapping[str, str]] = {"request": "csr", "certificate": "crt", "crl": "crl", "state": STATE}
"""Of the files that cross, by the kind of thing that they are."""

SignMedium = Callable[[Path, People], None]
"""Has a medium signed by those who sign media. Raises KepilError."""


class Media:
    """The media of a ceremony, seen from one of its steps."""

    def __init__(self, hall: Path, course: Course, step: Step, receive: Callable[[Path], None]) -> None:
        """`receive` keeps what came out of the offline root, from the folder to which it was copied."""
        self.folder, self.course, self.step, self.receive = hall / MEDIA, course, step, receive

    def check(self, out: Path) -> dict[str, str]:
        """Copy what each medium of earlier steps holds to `out`/NAME, and return its manifest's SHA-256 by name.

        Raises MediumError for one that is not as it was signed.
        """
        for name, (step, crossed) in self.course.media.items():
            try:
                self._checked(self.folder / name, out / name, step, crossed.manifest)
            except KepilError as error:
                raise MediumError(
                    f"{str(error).removesuffix(f': {REMEDY}')}. Nothing was done. Bring {name} as it was signed at "
                    f"step {step} from the other copy of the ceremony's folder and try again, or abort"
                ) from error
        return {name: crossed.manifest for name, (_, crossed) in self.course.media.items()}

    def take_up(self) -> None:
        """What an interrupted run of this step left counts if it was signed, and goes if it was not."""
        for medium in self._fresh():
            try:
                self._take(medium)
            except (KepilError, OSError):
                _throw_away(medium)

    def forget(self) -> None:
        """What an aborted step's act, or an interrupted removal, left unsaid is on no medium."""
        for medium in self._fresh():
            _throw_away(medium)

    def sign(self, sign: SignMedium, expected: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
        """Have what this step's act wrote signed, check it, and return what the journal says of each by its name.

        Raises KepilError for a medium that is not this step's (or not `expected`), or is not as it was written, and
        where a root was to sign a CRL and none came.
        """
        written, known = self._fresh(), self._expected() if expected is None else expected
        if lacking := self._due() - {medium.name for medium in written} if expected is None else ():
            raise MediumError(
                f"step {self.step.id}: no medium of {', '.join(sorted(lacking))} came from its act, which signed none: "
                "try again, or abort"
            )
        if strangers := [str(medium) for medium in written if medium.name not in known]:
            raise MediumError(f"{', '.join(strangers)}: step {self.step.id} writes no such medium: throw it away")
        for medium in written:
            if not (medium / SIGNATURES).exists():
                refuse_others(medium, read_medium(medium).files)
                sign(medium, self.course.people)
        return {medium.name: self._take(medium).model_dump(mode="json") for medium in written}

    def _fresh(self) -> list[Path]:
        return [path for path in sorted(self.folder.glob("*")) if path.name not in self.course.media]

    def _expected(self) -> set[str]:
        made = [thing for thing in self.step.makes if kind(thing) in SUFFIXES]
        return {f"{name_of(thing)}.{SUFFIXES[kind(thing)]}" for thing in made}

    def _due(self) -> set[str]:
        """Media without which nothing was done: of CRLs that follow others."""
        lists = [thing for thing in self.step.makes if kind(thing) == "crl" and not self.course.plan.first(thing)]
        return {f"{name_of(thing)}.crl" for thing in lists}

    def _take(self, medium: Path) -> Crossed:
        with TemporaryDirectory(prefix="kepil-medium-") as folder:
            crossed = self._checked(medium, Path(folder, "in"), self.step.id)
            refuse_others(medium, crossed.files)
            if crossed.direction == "from-root":
                self.receive(Path(folder, "in"))
        return crossed

    def _checked(self, medium: Path, out: Path, step: str, digest: str | None = None) -> Crossed:
        course = self.course
        return check_medium(
            medium, course.people, course.ceremony, course.plan.environment, None, out, step=step, digest=digest
        )


BESIDE: Final[Mapping[str, str]] = {".crt": ".json", ".former.crl": ".withdrawn.crl"}
"""What may come with a file, by the ends of their names: a certificate's record; with the CRL that stands again the one
that was withdrawn, whose number stays taken."""


def refuse_others(medium: Path, carried: Collection[str]) -> None:
    """Raise MediumError unless a medium carries the file for which it is, at most with what comes beside it; that of
    what roots signed before, its folder and nothing else."""
    name = medium.name
    if name.endswith(f".{STATE}"):
        wrong = [f"{file} is none of its files" for file in sorted(carried) if Path(file).parts[:-1] != (STATE,)]
        may = [f"folder {STATE}"]
    else:
        may = [name, *(name.removesuffix(end) + other for end, other in BESIDE.items() if name.endswith(end))]
        wrong = [f"{file} is none of its files" for file in sorted(set(carried) - set(may))]
        if name not in carried:
            wrong.append(f"{name} is not on it")
    if wrong:
        raise MediumError(f"{medium}: {'; '.join(wrong)}; it carries {' and '.join(may)} alone: {REMEDY}")


def _throw_away(medium: Path) -> None:
    shutil.rmtree(medium) if medium.is_dir() and not medium.is_symlink() else medium.unlink()
