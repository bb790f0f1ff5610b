"""Killed at any point, a ceremony goes on at that step with the same people, or is aborted and leaves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.definition import read_definition
from kepil.ceremony.engine import Ceremony, RefusedError
from kepil.ceremony.examination import ABORTERS
from kepil.ceremony.hold import hold
from kepil.ceremony.plan import make_plan
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.journal.chain import Journal, JournalError

from .conftest import SCRIPTS, Hall

KILLED = 9
PARTS = 3
"""Into how many tests the points are divided, each of which takes a while."""


def killed_at(act: Callable[[], None], call: str, number: int, *, half: bool = False) -> bool:
    """Do something in a process that ends at the n-th os.write or os.fsync of its journal; tell whether it did.

    With `half`, the write that kills it leaves a half of its line.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
    try:
        real, count = getattr(os, call), 0

        def dies(file: int, *rest: bytes) -> object:
            nonlocal count
            count += os.readlink(f"/proc/self/fd/{file}").endswith("journal.jsonl")
            if count == number:
                if half:
                    real(file, rest[0][: len(rest[0]) // 2])
                os._exit(KILLED)
            return real(file, *rest)

        setattr(os, call, dies)
        act()
        os._exit(0)
    finally:
        os._exit(1)


def points(hall: Hall) -> int:
    """How many entries the trial writes."""
    ceremony = hall.open()
    hall.hold(ceremony)
    return len(ceremony.journal.entries())


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize(("call", "half"), [("write", True), ("fsync", False)])
def test_killed_at_any_point_it_is_resumed_to_the_same_end(
    hall: Hall, tmp_path: Path, call: str, half: bool, part: int
) -> None:
    whole = points(hall) - (call == "fsync")  # when the last line is written, the ceremony is over
    for number in range(1 + part, whole + 1, PARTS):
        hall.folder = tmp_path / f"{number}" / "ceremony"
        assert killed_at(lambda: hall.hold(hall.open()), call, number, half=half)
        there = Journal(hall.folder / "journal.jsonl")
        torn = there.recover()
        assert bool(torn) is half
        before = there.entries()
        ceremony = Ceremony.resume(hall.folder, "The power failed") if before else hall.open()
        hall.hold(ceremony)
        assert ceremony.journal.entries()[: len(before)] == before
        assert ceremony.course.outcome == "completed"
        assert sorted(ceremony.course.made) == ["certificate:krnca-rsa", "key:krnca-rsa"]


def test_only_the_same_people_go_on(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, 2)
    again = Ceremony.resume(hall.folder, "The power failed")
    assert again.course.phase == "gathering"
    assert again.course.step == 1
    assert again.course.awaited() == [person.id for person in hall.people.people]
    with pytest.raises(RefusedError, match="no valid signature of 'witness-1'"):
        again.accept(hall.signed(again, "present", "witness-1", key="auditor-1"))


def test_a_journal_that_was_changed_meanwhile_is_not_resumed(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, 2)
    path = ceremony.journal.path
    path.write_bytes(path.read_bytes().replace(b"Trial", b"Tryal"))
    with pytest.raises(JournalError):
        Ceremony.resume(hall.folder, "The power failed")


@pytest.mark.clause("CP-6.2")
def test_aborted_it_leaves_nothing_and_says_so(hall: Hall) -> None:
    """Killed after the key was made and before that was written: the abort destroys the key all the same."""
    ceremony = hall.open()
    hall.until(ceremony, 2)
    hall.module().perform(ceremony.course.current, hall.folder)
    ceremony._append("began", {"step": ceremony.course.current.id})
    again = Ceremony.resume(hall.folder, "The power failed")
    with pytest.raises(RefusedError, match="say why"):
        again.accept(hall.signed(again, "abort", "custodian-1"))
    again.accept(hall.signed(again, "abort", "custodian-1", note="The module is not to be trusted"))
    with pytest.raises(RefusedError, match=f"{ABORTERS} different people abort"):
        again.accept(hall.signed(again, "abort", "custodian-1", note="I mean it"))
    with pytest.raises(RefusedError, match="one of those who abort is auditor or witness"):
        again.accept(hall.signed(again, "abort", "operator-1", note="Agreed"))
    again.accept(hall.signed(again, "abort", "auditor-1", note="Agreed"))
    assert again.course.remains() == ["key:krnca-rsa"]
    assert hold(again, hall.module(), hall.desk()).outcome == "aborted"
    assert not (hall.folder.parent / "module/krnca-rsa.pem").exists()
    assert [entry.event for entry in again.journal.entries()][-3:] == ["removed", "close", "close"]


@pytest.mark.clause("CP-4.9")
@pytest.mark.parametrize(("name", "step", "removed"), [("crl", 6, True), ("crl", 7, False), ("root", 9, True)])
def test_an_aborted_ceremony_leaves_a_crl_that_was_confirmed(
    tmp_path: Path, keys: Path, hierarchies: dict[str, Any], name: str, step: int, removed: bool
) -> None:
    """Threat: an abort takes a revocation back that everyone confirmed; or a list stays that nobody did."""
    plan = make_plan(read_definition(SCRIPTS / f"{name}.yml"), "development", {"rsa": hierarchies["rsa"]})
    hall = Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))
    ceremony = hall.open()
    hall.until(ceremony, step)
    if "crl:krnca-rsa" not in ceremony.course.made:
        ceremony.perform(hall.module())
    assert "crl:krnca-rsa" in ceremony.course.remains()
    for who in ("custodian-1", "witness-1"):
        ceremony.accept(hall.signed(ceremony, "abort", who, note="Enough"))
    assert hold(ceremony, hall.module(), hall.desk()).outcome == "aborted"
    assert ceremony.course.removed["crl:krnca-rsa"].startswith("stays: it was confirmed") is not removed
    assert (hall.folder / "files/krnca-rsa.crl").exists() is not removed


def test_at_any_step_it_can_be_aborted(hall: Hall, tmp_path: Path) -> None:
    for number in range(1, len(hall.plan.steps) + 1):
        hall.folder = tmp_path / f"{number}" / "ceremony"
        ceremony = hall.open()
        hall.until(ceremony, number)
        for who in ("custodian-1", "witness-1"):
            ceremony.accept(hall.signed(ceremony, "abort", who, note="Enough"))
        assert hold(ceremony, hall.module(), hall.desk()).outcome == "aborted"
        assert not list((hall.folder / "files").iterdir())
        assert not list((hall.folder.parent / "module").glob("*.pem"))


def test_killed_while_it_is_aborted_it_still_leaves_nothing(hall: Hall, tmp_path: Path) -> None:
    """From the first signature of the abort to the last entry: whatever was not destroyed before, is then."""
    ceremony = hall.open()
    hall.until(ceremony, 4)
    before = len(ceremony.journal.entries())

    def abort_and_hold() -> None:
        begun = hall.open()
        hall.until(begun, 4)
        for who in ("custodian-1", "witness-1"):
            begun.accept(hall.signed(begun, "abort", who, note="Enough"))
        hall.hold(begun)

    for number in range(before + 1, before + 7):
        hall.folder = tmp_path / f"{number}" / "ceremony"
        assert killed_at(abort_and_hold, "write", number, half=True)
        again = Ceremony.resume(hall.folder, "The power failed")
        for who in ("custodian-1", "witness-1"):
            if not again.course.aborted and who not in again.course.aborters:
                again.accept(hall.signed(again, "abort", who, note="Enough"))
        assert hold(again, hall.module(), hall.desk()).outcome == "aborted"
        assert not list((hall.folder / "files").iterdir())
        assert not list((hall.folder.parent / "module").glob("*.pem"))
