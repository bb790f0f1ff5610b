"""A root's CRL has what the one before had and what its order names, was linted, and people see which order it was."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony import order
from kepil.ceremony.definition import DefinitionError, Step
from kepil.ceremony.documents.render import minutes
from kepil.ceremony.engine import ActFailedError
from kepil.ceremony.evidence import EvidenceError, check_file, read_evidence
from kepil.ceremony.order import OrderError
from kepil.ceremony.plan import Plan
from kepil.ceremony.records import Records
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.shown import rows
from kepil.errors import KepilError
from kepil.pki.crl_content import CrlContentError, read_crl

from .conftest import Hall, definition, estates_plan, lint, listing, planned, step

THING, NAME = "crl:krnca-rsa", "krnca-rsa.crl"


@dataclass
class Place:
    """Records, the ceremony's folder, and a step of a plan."""

    records: Path
    hall: Path
    plan: Plan
    step: Step

    def stands(self, content: bytes) -> None:
        (self.records / NAME).write_bytes(content)
        lint(self.records, content)

    def orders(self, *serials: str) -> str:
        content = json.dumps([{"serial": one, "reason": "superseded"} for one in serials])
        (self.records / "orders/krnca-rsa.json").write_text(content)
        return sha256(content.encode()).hexdigest()

    def evidence(self) -> dict[str, Any]:
        stated = Records(self.records).evidence(self.step, self.hall)
        order.check(self.step, self.plan, self.hall)
        check_file(self.hall, THING, read_evidence(self.step, stated).made, {})
        made: dict[str, Any] = stated["made"][THING]
        return made


@pytest.fixture
def place(tmp_path: Path, hierarchies: dict[str, Any]) -> Place:
    for name in ("records/orders", "hall"):
        (tmp_path / name).mkdir(parents=True)
    plan = estates_plan("crl", {"rsa": hierarchies["rsa"]})
    (made,) = [one for one in plan.steps if THING in one.makes]
    return Place(tmp_path / "records", tmp_path / "hall", plan, made)


def test_evidence_has_the_order_and_the_linter(place: Place) -> None:
    place.stands(listing(6, 0xA))
    digest = place.orders("0b", "0c")
    order.keep(place.step, place.records, place.hall)
    place.stands(listing(7, 0xA, 0xB, 0xC))
    assert (place.hall / "orders/krnca-rsa.json").exists(), "the act finds it there"
    made = place.evidence()
    assert (made["number"], made["order"], made["linter"]) == (7, digest, "pkilint")
    assert made["linted_tbs_sha256"] == read_crl(place.records / NAME).tbs_sha256


@pytest.mark.clause("CP-4.9")
@pytest.mark.parametrize(
    ("made", "ordered", "reason"),
    [
        (listing(7, 0xA), ("0b",), "b is ordered, and not listed"),
        (listing(7, 0xA, 0xB, 0xC), ("0b",), "c is listed, and no order names it"),
        (listing(7, 0xA, 0xB), (), "b is listed, and no order names it"),
        (listing(7, 0xB), ("0b",), "a was listed before, and is not now"),
        (listing(7), (), "a was listed before, and is not now"),
        (listing(6, 0xA, 0xB), ("0b",), "has number 6, and number 6 stood before this ceremony"),
        (listing(5, 0xA), (), "has number 5, and number 6 stood before"),
    ],
)
def test_a_list_is_what_stood_and_what_is_ordered(
    place: Place, made: bytes, ordered: tuple[str, ...], reason: str
) -> None:
    """Threat: somebody is on the list whom no order names, or one that was ordered is not."""
    place.stands(listing(6, 0xA))
    if ordered:
        place.orders(*ordered)
    order.keep(place.step, place.records, place.hall)
    place.stands(made)
    with pytest.raises(OrderError, match=f"step crl-krnca-rsa: {NAME}.*{reason}"):
        place.evidence()


def test_what_is_ordered_a_second_time_is_listed_already(place: Place) -> None:
    place.stands(listing(6, 0xA))
    place.orders("0A")
    order.keep(place.step, place.records, place.hall)
    place.stands(listing(7, 0xA))
    assert place.evidence()["order"]


def test_taken_up_again_it_follows_what_stood_before_the_ceremony(place: Place) -> None:
    """Threat: killed after its CRL came out, the step starts from that, and what it lists has no order."""
    place.stands(listing(6, 0xA))
    order.keep(place.step, place.records, place.hall)
    place.stands(listing(7, 0xA, 0xB))
    digest = place.orders("0b")  # it came meanwhile
    order.keep(place.step, place.records, place.hall)
    assert place.evidence()["order"] == digest
    (place.records / "orders/krnca-rsa.json").unlink()
    order.keep(place.step, place.records, place.hall)
    with pytest.raises(OrderError, match="b is listed, and no order names it"):
        place.evidence()


def test_an_order_that_cannot_be_read_is_none(place: Place) -> None:
    place.stands(listing(6))
    (place.records / "orders/krnca-rsa.json").write_text('{"serial": "0a"}')
    order.keep(place.step, place.records, place.hall)
    place.stands(listing(7))
    with pytest.raises(OrderError, match=r"orders/krnca-rsa\.json: no order"):
        place.evidence()


@pytest.mark.clause("CP-7.2")
def test_a_list_that_was_not_linted_is_no_evidence(place: Place) -> None:
    place.stands(listing(6))
    order.keep(place.step, place.records, place.hall)
    (place.records / NAME).write_bytes(listing(7))
    with pytest.raises(KepilError, match=r"lint/krnca-rsa\.crl-[0-9a-f]{64}\.json: the act left no record"):
        place.evidence()


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("linted_tbs_sha256", "0" * 64, "what was signed is not what was linted"), ("number", 8, "has number 7, not 8")],
)
def test_a_list_is_the_one_that_the_journal_has(place: Place, field: str, value: Any, reason: str) -> None:
    place.stands(listing(6))
    order.keep(place.step, place.records, place.hall)
    place.stands(listing(7))
    made = place.evidence() | {field: value}
    with pytest.raises(EvidenceError, match=reason):
        check_file(place.hall, THING, {THING: made}, {})


def test_a_step_without_an_order_follows_none(place: Place) -> None:
    """As in `compromise`: what is revoked its plan says. Each list holds what the one before held all the same."""
    place.step = place.step.model_copy(update={"order": False})
    place.stands(listing(6, 0xA))
    place.orders("0c")
    order.keep(place.step, place.records, place.hall)
    place.stands(listing(7, 0xA, 0xB))
    assert "order" not in place.evidence()
    stated = {"made": {THING: place.evidence() | {"order": "0" * 64}}}
    with pytest.raises(EvidenceError, match="followed an order, and the step is to follow none"):
        read_evidence(place.step, stated)


def test_a_first_list_is_found_where_it_stands(place: Place, hierarchies: dict[str, Any]) -> None:
    """`root`, held where all that it makes is there, makes nothing."""
    place.plan = estates_plan("root", {"rsa": hierarchies["rsa"]})
    (place.step,) = [one for one in place.plan.steps if THING in one.makes]
    place.stands(listing(6, 0xA))
    order.keep(place.step, place.records, place.hall)
    assert place.evidence()["number"] == 6


def test_what_is_no_list_is_not_read(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"list")
    with pytest.raises(CrlContentError, match=f"{NAME} is no CRL with a number"):
        read_crl(tmp_path / NAME)


def test_an_order_needs_a_list_that_follows_it(tmp_path: Path, hierarchies: dict[str, Any]) -> None:
    stated = definition()
    stated["steps"][1]["order"] = "true"
    with pytest.raises(DefinitionError, match="step key-krnca-rsa: an order says what it revokes, and it makes no CRL"):
        planned(tmp_path, stated, {"rsa": hierarchies["rsa"]})


class Acts:
    """Leaves this evidence of a CRL."""

    def __init__(self, made: dict[str, Any], content: bytes) -> None:
        self.made, self.content = made, content

    def perform(self, _step: Step, folder: Path) -> dict[str, Any]:
        (folder / "files" / NAME).write_bytes(self.content)
        return {"made": {THING: self.made}}

    def remove(self, thing: str, folder: Path) -> Any:
        raise NotImplementedError


@pytest.mark.clause("CP-4.9")
@pytest.mark.parametrize("followed", [True, False])
def test_who_confirms_sees_the_order(tmp_path: Path, keys: Path, hierarchies: dict[str, Any], followed: bool) -> None:
    """And signs that; it stands in the minutes, to be held against the paper."""
    steps = [step("sign", act="sign", makes=[THING], order="true")]
    plan = planned(tmp_path, definition() | {"steps": steps}, {"rsa": hierarchies["rsa"]})
    hall = Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))
    ceremony = hall.open()
    hall.until(ceremony, 1)
    while ceremony.course.phase == "gathering":
        ceremony.accept(hall.desk().sign(ceremony))
    content = listing(7, 0xA)
    (tmp_path / NAME).write_bytes(content)
    made = {"file": NAME, "sha256": sha256(content).hexdigest(), "number": 7, "linter": "pkilint"}
    made |= {"linted_tbs_sha256": read_crl(tmp_path / NAME).tbs_sha256} | ({"order": "ab" * 32} if followed else {})
    with pytest.raises(ActFailedError, match="linted_tbs_sha256"):
        ceremony.perform(Acts({**made, "linted_tbs_sha256": ""}, content))
    ceremony.perform(Acts(made, content))
    shown = hall.signed(ceremony, "confirm", "custodian-1").statement.shown
    assert shown["order krnca-rsa"] == ("ab" * 32 if followed else "Жоқ"), "in her language, which is Kazakh"
    page = " ".join(minutes(ceremony.journal.entries(), "en").split())
    assert "Number: 7" in page
    assert (" ".join(rows("ab" * 32)) in page) is followed
