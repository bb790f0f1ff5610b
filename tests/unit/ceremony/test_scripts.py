"""Each of the estate's ceremonies, played as it is written, from the roll call to the proof; and no secret is told.

Played on both sides of an air gap, and killed in every act.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony import activation
from kepil.ceremony.definition import Side, Step
from kepil.ceremony.desk import Unattended
from kepil.ceremony.engine import Ceremony
from kepil.ceremony.evidence import name_of
from kepil.ceremony.hold import hold
from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.plan import Plan
from kepil.ceremony.rehearsal import rehearsal_people, seal_rehearsal
from kepil.ceremony.roles import Role
from kepil.ceremony.stand_in import StandIn
from kepil.ceremony.statement import sign
from kepil.ceremony.verify import verify_bundle
from kepil.signed.signatures import AllowedSigners

from .conftest import SCRIPTS, estates_plan


def rehearsed(name: str, folder: Path, keys: Path, hierarchies: dict[str, Any]) -> Ceremony:
    """A ceremony of the estate that has been played."""
    plan = estates_plan(name, hierarchies)
    people = rehearsal_people(plan, keys)
    ceremony = Ceremony.open(folder / "ceremony", plan, people)
    hold(ceremony, StandIn(folder / "module", plan), Unattended(keys))
    return ceremony


class KilledError(BaseException):
    """The power fails."""


class Dying(StandIn):
    """Does what a step's act does, and is not there any more to say so."""

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        super().perform(step, folder)
        raise KilledError


class Gap:
    """Two sides whose desks share nothing: whatever one has of a ceremony was carried to it."""

    def __init__(self, folder: Path, keys: Path, plan: Plan) -> None:
        self.folder, self.plan, self.desk = folder, plan, Unattended(keys, say=lambda _: None)
        self.sign = self.desk.sign_medium
        self.side: Side = next(step.at for step in plan.steps if step.act)
        self.ceremony = Ceremony.open(self.hall, plan, rehearsal_people(plan, keys))
        self.crossings, self.killed = 0, list[str]()

    @property
    def hall(self) -> Path:
        return self.folder / self.side / "ceremony"

    @property
    def module(self) -> Path:
        return self.folder / "module"  # the stand-in for the hosts of both sides

    def carry(self, side: Side) -> None:
        """Everybody gathers on the other side; what was carried there before is older."""
        there = self.folder / side / "ceremony"
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(self.hall, there)
        self.side, self.crossings = side, self.crossings + 1
        self.ceremony = Ceremony.resume(self.hall, f"Carried to the other side: {side}")

    def go_on(self) -> None:
        """The next thing that happens: an act is done on its side, or somebody signs."""
        if not self.ceremony.course.must_act():
            self.ceremony.accept(self.desk.sign(self.ceremony))
            return
        step = self.ceremony.course.current
        if step.at != self.side:
            self.carry(step.at)
        elif step.id not in self.killed:
            self.killed.append(step.id)
            with pytest.raises(KilledError):
                self.ceremony.perform(Dying(self.module, self.plan, self.sign))
            self.ceremony = Ceremony.resume(self.hall, "The power failed")
        else:
            self.ceremony.perform(StandIn(self.module, self.plan, self.sign))


BOTH, OUT = frozenset({"to-root", "from-root"}), frozenset({"from-root"})
HELD: dict[str, tuple[int, frozenset[str]]] = {
    "compromise": (1, BOTH),
    "crl": (0, BOTH),
    "custodian_replacement": (1, frozenset()),
    "end_of_service": (4, BOTH),
    "hsm_initialisation": (1, frozenset()),
    "issuing": (2, BOTH),
    "rekey": (2, BOTH),
    "root": (0, OUT),
}
"""How often a ceremony with one hierarchy is carried from side to side, and in which directions its acts' media go."""


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("name", sorted(file.stem for file in SCRIPTS.glob("*.yml")))
def test_a_ceremony_is_played_to_its_proof(name: str, tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> None:
    """Across the gap, with each side's own account of its keys, and though it is killed in every act."""
    plan = estates_plan(name, {"rsa": hierarchies["rsa"]})
    gap = Gap(tmp_path, keys, plan)
    while gap.ceremony.course.phase != "closed":
        gap.go_on()
    assert gap.killed == [step.id for step in plan.steps if step.act]
    directions = {one.direction for _, one in gap.ceremony.course.media.values()}
    assert (gap.crossings, directions) == HELD.get(name, (0, set()))
    accounted = {side for side, accounts in gap.ceremony.course.accounts.items() if accounts}
    assert accounted == {step.at for step in plan.steps if step.account}
    assert not list(tmp_path.glob("module/*.opened")), "custodians opened a module, and nobody closed it"
    ceremony = gap.ceremony
    seal_rehearsal(tmp_path / gap.side, ceremony.people, keys)
    proved = verify_bundle(tmp_path / gap.side / "bundle", AllowedSigners(keys / "allowed_signers", NAMESPACE))
    assert proved.outcome == "completed"
    made = {thing for step in ceremony.course.plan.steps for thing in step.makes}
    assert {f"certificate:{name}" for name in proved.vouches.values()} == {
        thing for thing in made if thing.startswith("certificate:")
    }


@pytest.mark.clause("CP-6.2")
@pytest.mark.parametrize("name", ["hsm_initialisation", "issuing"])
def test_aborted_at_its_end_each_side_destroys_what_is_its_own(
    name: str, tmp_path: Path, keys: Path, hierarchies: dict[str, Any]
) -> None:
    """Threat: an abort on one side says that something was destroyed, and the other side has it still."""
    plan = estates_plan(name, {"rsa": hierarchies["rsa"]})
    gap = Gap(tmp_path, keys, plan)
    while gap.ceremony.course.step < len(plan.steps) - 1:
        gap.go_on()
    for who in ("custodian-1", "witness-1"):
        role: Role = "custodian" if who == "custodian-1" else "witness"
        said = gap.ceremony.statement("abort", who, role, note="Enough")
        gap.ceremony.accept(sign(said, keys / who, quiet=True))
    for thing in reversed(gap.ceremony.course.remains()):
        if plan.at(thing) != gap.side:
            gap.carry(plan.at(thing))
        how = StandIn(gap.module, plan).remove(thing, gap.hall).how
        gap.ceremony._append("removed", {"thing": thing, "how": how, "media": {}})
    while gap.ceremony.course.phase != "closed":
        gap.go_on()
    made = {name_of(thing) for step in plan.steps for thing in step.makes}
    left = [path.name for path in tmp_path.glob("module/*") if path.name.split(".")[0] in made]
    assert gap.ceremony.course.outcome == "aborted"
    assert not left


def everything(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.clause("CP-5.4")
def test_no_file_output_or_argument_of_a_whole_ceremony_holds_a_secret(
    tmp_path: Path,
    keys: Path,
    hierarchies: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Temporary files are looked at while they exist, each time that a program is started."""
    secrets: list[bytes] = []
    told: list[tuple[str, bytes]] = []
    real_run, real_secret, real_split = subprocess.run, activation.new_secret, activation.split

    def secret() -> bytes:
        made = real_secret()
        secrets.extend((made, made.hex().encode()))
        return made

    def split(*arguments: Any) -> list[str]:
        shares = real_split(*arguments)
        secrets.extend(share.encode() for share in shares)
        return shares

    def run(words: Any, **options: Any) -> Any:
        told.extend(("an argument", str(word).encode()) for word in words)
        told.extend((str(path), content) for path, content in everything(tmp_path / "tmp"))
        return real_run(words, **options)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("kepil.ceremony.stand_in.new_secret", secret)
    monkeypatch.setattr("kepil.ceremony.stand_in.split", split)
    monkeypatch.setattr(subprocess, "run", run)
    ceremony = rehearsed("hsm_initialisation", tmp_path, keys, hierarchies)
    seal_rehearsal(tmp_path, ceremony.people, keys)
    output = capfd.readouterr()
    told += [("the output", output.out.encode()), ("the errors", output.err.encode())]
    told += [(str(path), content) for path, content in everything(tmp_path)]
    assert len(secrets) == 4 * (2 + 3), "four partitions: a secret, its PIN and three shares each"
    assert not [where for where, content in told for word in secrets if word in content]
    assert (tmp_path / "module/root.custodian-1.cms").exists()
