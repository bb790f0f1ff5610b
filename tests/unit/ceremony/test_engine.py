"""Four eyes: what one person alone, or the wrong one, tries is refused and stands in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.definition import Side, Step
from kepil.ceremony.engine import ActFailedError, Ceremony, RefusedError
from kepil.ceremony.examination import CourseError
from kepil.ceremony.hold import hold, progress
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.shown import typed_row
from kepil.ceremony.stand_in import StandIn
from kepil.journal.chain import Journal, JournalError

from .conftest import Hall, definition, planned, step

KEY, SIGN, AFTER = 2, 3, 4
"""Numbers of the trial's steps."""


def events(ceremony: Ceremony) -> list[str]:
    return [entry.event for entry in ceremony.journal.entries()]


def refused(ceremony: Ceremony, reason: str) -> None:
    """The last entry is a refusal for this reason."""
    last = ceremony.journal.entries()[-1]
    assert last.event == "refused"
    assert reason in last.data["reason"]


@pytest.mark.clause("CP-6.1")
def test_a_ceremony_goes_from_the_roll_call_to_everybodys_last_signature(hall: Hall) -> None:
    ceremony = hall.open()
    hall.hold(ceremony)
    told = events(ceremony)
    assert told[:6] == ["opened", *["present"] * 5]
    assert told[-5:] == ["close"] * 5
    assert told.count("confirm") == 1 + 3 + 3 + 1
    assert ceremony.course.outcome == "completed"
    assert sorted(ceremony.course.made) == ["certificate:krnca-rsa", "key:krnca-rsa"]


@pytest.mark.clause("CP-6.2")
def test_one_person_does_not_confirm_twice(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, KEY)
    ceremony.perform(hall.module())
    ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1"))
    with pytest.raises(RefusedError, match="custodian-1 has confirmed step key-krnca-rsa already"):
        ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1"))
    refused(ceremony, "custodian-1 has confirmed")
    with pytest.raises(RefusedError, match="no valid signature of 'custodian-2'"):
        ceremony.accept(hall.signed(ceremony, "confirm", "custodian-2", key="custodian-1"))
    refused(ceremony, "no valid signature of 'custodian-2'")
    assert ceremony.course.step == KEY - 1
    assert ceremony.course.awaited() == ["custodian (1)", "witness (1)"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"step": "before"}, "step key-krnca-rsa is to be confirmed, not before"),
        ({"previous": "0" * 64}, "the signature follows another entry"),
        ({"ceremony": "trial-another"}, "the signature is for another ceremony"),
        ({"plan": "0" * 64}, "the signature is for another ceremony"),
        ({"shown": {"title": "Lunch"}}, "something else was shown"),
        ({"role": "auditor"}, "custodian-1 is no auditor"),
        ({"typed": "0000 0000 0000 0000"}, "what was typed is not the row"),
        ({"act": "close"}, "'close' is not awaited now"),
        ({"act": "present"}, "'present' is not awaited now"),
    ],
)
def test_a_signature_fits_one_place_of_one_ceremony(hall: Hall, changes: dict[str, Any], reason: str) -> None:
    ceremony = hall.open()
    hall.until(ceremony, KEY)
    ceremony.perform(hall.module())
    with pytest.raises(RefusedError, match=reason):
        ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1", **changes))
    refused(ceremony, reason)
    ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1"))


def test_an_act_is_not_confirmed_before_it_is_done(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, KEY)
    with pytest.raises(RefusedError, match="'confirm' is not awaited now: an act is"):
        ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1"))


def test_who_is_not_awaited_does_not_confirm(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, KEY)
    ceremony.perform(hall.module())
    with pytest.raises(RefusedError, match="awaits no auditor"):
        ceremony.accept(hall.signed(ceremony, "confirm", "auditor-1"))
    stranger = hall.signed(ceremony, "confirm", "custodian-1")
    changed = stranger.model_copy(update={"statement": stranger.statement.model_copy(update={"person": "passer-by"})})
    with pytest.raises(RefusedError, match="'passer-by' is no allowed signer"):
        ceremony.accept(changed)


def test_nothing_is_done_before_everybody_is_there(hall: Hall) -> None:
    ceremony = hall.open()
    with pytest.raises(CourseError, match="nothing is to be done now: awaited are operator-1"):
        ceremony.perform(hall.module())
    with pytest.raises(RefusedError, match="'confirm' is not awaited now"):
        ceremony.accept(hall.signed(ceremony, "confirm", "auditor-1"))
    assert progress(ceremony.course).startswith("[0/4] Trial: awaited are operator-1, custodian-1")


def test_who_did_not_read_the_fingerprint_does_not_confirm_it(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, SIGN)
    ceremony.perform(hall.module())
    row = typed_row(ceremony.course)
    assert row is not None
    assert row.replace(" ", "") in ceremony.course.made["certificate:krnca-rsa"]["fingerprint"]
    with pytest.raises(RefusedError, match="read it again"):
        ceremony.accept(hall.signed(ceremony, "confirm", "witness-1"))
    ceremony.accept(hall.signed(ceremony, "confirm", "witness-1", typed=typed_row(ceremony.course)))


class Wrong(StandIn):
    """A module whose answer is changed on the way."""

    def __init__(self, hall: Hall, changes: Mapping[str, Any]) -> None:
        super().__init__(hall.folder.parent / "module", hall.plan)
        self.changes = changes

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        """As the module says, but for the changes."""
        return {**super().perform(step, folder), **self.changes}


@pytest.mark.parametrize(
    ("number", "changes", "reason"),
    [
        (1, {"account": None}, "account of their keys is missing"),
        (KEY, {"made": {}}, "it is to make key:krnca-rsa, and reports nothing"),
        (KEY, {"pin": "secret-pin"}, "pin: Extra inputs are not permitted"),
        (KEY, {"made": {"key:krnca-rsa": {"sha256": "0" * 64, "private": "x"}}}, "private: Extra inputs"),
        (KEY, {"account": {}}, "account of their keys is not due"),
        (AFTER, {"account": {}}, "krnca-rsa stands in the journal and is not held"),
        (AFTER, {"account": {"krnca-rsa": "0" * 64}}, "krnca-rsa is another key than the journal's"),
        (AFTER, {"destroyed": {"key:krnca-rsa": "x"}}, "it is to destroy nothing, and reports key:krnca-rsa"),
    ],
)
@pytest.mark.clause("CP-5.4")
def test_evidence_that_does_not_fit_is_a_failed_act(
    hall: Hall, number: int, changes: dict[str, Any], reason: str
) -> None:
    ceremony = hall.open()
    hall.until(ceremony, number)
    with pytest.raises(ActFailedError, match=reason):
        ceremony.perform(Wrong(hall, changes))
    assert events(ceremony)[-1] == "failed"
    assert "secret-pin" not in ceremony.journal.path.read_text()
    hall.hold(ceremony)


@pytest.mark.clause("CP-5.4")
def test_a_key_that_no_journal_knows_is_found(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, AFTER)
    hall.module()._key("hidden")
    with pytest.raises(ActFailedError, match="hidden is held and stands in no journal"):
        ceremony.perform(hall.module())


@pytest.mark.clause("CP-5.4")
@pytest.mark.parametrize(("hidden", "found"), [("root", "after-root"), ("estate", "after")])
def test_each_side_of_the_gap_accounts_for_its_own_keys(
    tmp_path: Path, keys: Path, hierarchies: dict[str, Any], hidden: str, found: str
) -> None:
    """Threat: a key that appears on one side hides behind the account of the other."""
    root = [
        step(f"{when}-root", act="account", account="true", at="root", needs=["opened:root"])
        for when in ("before", "after")
    ]
    opened = step("open", act="open", at="root", makes=["opened:root"])
    closed = step("close", act="close", at="root", destroys=["opened:root"])
    before, key, _, after = definition()["steps"]
    content = definition() | {"steps": [opened, before, root[0], key, root[1], closed, after]}
    plan = planned(tmp_path, content, {"rsa": hierarchies["rsa"]})
    hall = Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))
    ceremony = hall.open()

    class Hiding(StandIn):
        def _account(self, side: Side) -> dict[str, str]:
            more = {"hidden": "0" * 64} if side == hidden and ceremony.course.step > 2 else {}
            return super()._account(side) | more

    module = Hiding(tmp_path / "module", plan)
    with pytest.raises(ActFailedError, match="hidden is held and stands in no journal"):
        hold(ceremony, module, hall.desk())
    assert ceremony.course.current.id == found
    hall.hold(ceremony)
    assert {side: len(accounts) for side, accounts in ceremony.course.accounts.items()} == {"estate": 2, "root": 2}


@pytest.mark.clause("CP-6.2")
def test_a_key_that_is_not_there_is_not_seen_to_go(tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> None:
    """Threat: minutes of a key's destruction, while the key was carried away before."""
    before, _, _, after = definition()["steps"]
    destroy = step("destroy", each="root", act="destroy", destroys=["key:{name}"])
    content = definition() | {"holds": {"key:{name}": "root"}, "steps": [before, destroy, after]}
    plan = planned(tmp_path, content, {"rsa": hierarchies["rsa"]})
    hall = Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))
    ceremony = hall.open()
    hall.until(ceremony, 1)
    with pytest.raises(ActFailedError, match="to be destroyed, and not held: krnca-rsa"):
        ceremony.perform(Wrong(hall, {"account": {}}))
    hall.hold(ceremony)
    assert ceremony.course.destroyed


def test_a_certificate_that_was_not_linted_stops_the_ceremony(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, SIGN)
    made = dict(hall.module().perform(ceremony.course.current, hall.folder)["made"])
    certificate = made["certificate:krnca-rsa"] | {"linted_tbs_sha256": "0" * 64}
    with pytest.raises(ActFailedError, match="what was signed is not what was linted"):
        ceremony.perform(Wrong(hall, {"made": {"certificate:krnca-rsa": certificate}}))


def test_a_deviation_stands_in_the_journal(hall: Hall) -> None:
    ceremony = hall.open()
    hall.until(ceremony, KEY)
    ceremony.perform(hall.module())
    ceremony.accept(hall.signed(ceremony, "confirm", "witness-1", note="The lights went out for a minute"))
    assert ceremony.journal.entries()[-1].data["statement"]["note"] == "The lights went out for a minute"


def test_a_folder_holds_one_ceremony(hall: Hall) -> None:
    hall.open()
    with pytest.raises(CourseError, match="opened here already"):
        hall.open()
    with pytest.raises(CourseError, match="the journal is empty"):
        Ceremony(hall.folder / "files")


def test_two_desks_do_not_write_to_one_journal(hall: Hall) -> None:
    """Whoever opens the ceremony at a second terminal ends what the first could do."""
    first = hall.open()
    second = Ceremony.resume(hall.folder, "At another terminal")
    signed = hall.signed(first, "present", "auditor-1")
    with pytest.raises(JournalError, match="another process has written to it meanwhile"):
        first.accept(signed)
    hall.hold(second)


def test_what_is_over_is_over(hall: Hall) -> None:
    ceremony = hall.open()
    hall.hold(ceremony)
    before = ceremony.journal.path.read_bytes()
    with pytest.raises(CourseError, match="nothing is to be done now"):
        ceremony.perform(hall.module())
    with pytest.raises(CourseError, match="is over: completed"):
        Ceremony.resume(hall.folder, "Once more")
    with pytest.raises(CourseError, match="is over"):
        ceremony.accept(hall.signed(ceremony, "close", "auditor-1"))
    assert ceremony.journal.path.read_bytes() == before
    assert len(Journal(ceremony.journal.path).entries()) == len(events(ceremony))
