"""When a service ends, every key of it is named by the plan, destroyed, and looked for once more (CP-5.8, CP-6.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.definition import DefinitionError, Step, read_definition
from kepil.ceremony.engine import ActFailedError, Ceremony
from kepil.ceremony.evidence import kind, name_of
from kepil.ceremony.plan import Plan, make_plan
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.stand_in import StandIn

from .conftest import SCRIPTS, Hall, definition, planned

MEMBERS = ("root", "issuing", "ocsp", "tsp")


def plan_of(name: str, hierarchies: Mapping[str, Any], *recorded: str, **generations: Any) -> Plan:
    return make_plan(read_definition(SCRIPTS / f"{name}.yml"), "development", hierarchies, generations, recorded)


def destroyed(plan: Plan) -> set[str]:
    return {name_of(thing) for step in plan.steps for thing in step.destroys if kind(thing) == "key"}


@pytest.mark.clause("CP-5.8")
def test_every_key_of_every_hierarchy_goes(hierarchies: dict[str, Any]) -> None:
    keys = {hierarchy[member]["name"] for hierarchy in hierarchies.values() for member in MEMBERS}
    assert destroyed(plan_of("end_of_service", hierarchies)) == keys
    others = ("nca-rsa-2", "ocsp-gost-3", "tsp-rsa-7")
    assert destroyed(plan_of("end_of_service", hierarchies, *keys, *others, "nca-pq")) == {*keys, *others}


@pytest.mark.clause("CP-5.7")
def test_what_the_nca_certified_goes_with_its_key(hierarchies: dict[str, Any]) -> None:
    """Threat: a new certificate is wanted for a key that had one before, which the CA refuses for good (CP-3.3)."""
    gone = {hierarchy[member]["name"] for hierarchy in hierarchies.values() for member in MEMBERS[1:]}
    assert destroyed(plan_of("compromise", hierarchies)) == gone


class Keeping(StandIn):
    """A module that says it destroyed a key and keeps it, or has one that nobody planned for."""

    def __init__(self, module: Path, plan: Plan, kept: str) -> None:
        super().__init__(module, plan)
        self.kept = kept

    def perform(self, step: Step, folder: Path) -> Mapping[str, Any]:
        done = super().perform(step, folder)
        self._key(self.kept)
        return done


def ending(folder: Path, keys: Path, hierarchies: Mapping[str, Any], *recorded: str) -> tuple[Hall, Ceremony]:
    plan = plan_of("end_of_service", hierarchies, *recorded)
    hall = Hall(folder / "ceremony", keys, plan, rehearsal_people(plan, keys))
    return hall, hall.open()


def go_on(hall: Hall, ceremony: Ceremony, module: StandIn) -> None:
    while ceremony.course.phase != "closed":
        if ceremony.course.must_act():
            ceremony.perform(module)
        else:
            ceremony.accept(hall.desk().sign(ceremony))


@pytest.mark.clause("CP-5.8")
@pytest.mark.parametrize("kept", ["ocsp-rsa", "nca-rsa-2", "krnca-rsa"])
def test_a_key_that_is_left_over_fails_the_last_account(
    tmp_path: Path, keys: Path, hierarchies: dict[str, Any], kept: str
) -> None:
    hall, ceremony = ending(tmp_path, keys, {"rsa": hierarchies["rsa"]}, "nca-rsa-2")
    with pytest.raises(ActFailedError, match=f"no key may be left when this ceremony ends, and {kept} is held"):
        go_on(hall, ceremony, Keeping(tmp_path / "module", hall.plan, kept))
    assert ceremony.course.current.empty


@pytest.mark.clause("CP-5.8")
def test_a_key_that_the_plan_forgot_is_found_before_any_is_destroyed(
    tmp_path: Path, keys: Path, hierarchies: dict[str, Any]
) -> None:
    hall, ceremony = ending(tmp_path, keys, {"rsa": hierarchies["rsa"]})
    module = Keeping(tmp_path / "module", hall.plan, "nca-rsa-2")
    module._key("nca-rsa-2")
    with pytest.raises(ActFailedError, match="and nca-rsa-2 is held and not destroyed"):
        go_on(hall, ceremony, module)
    assert not ceremony.course.destroyed


def test_a_key_of_another_familys_hierarchy_stays(tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> None:
    hall, ceremony = ending(tmp_path, keys, {"rsa": hierarchies["rsa"]})
    module = StandIn(tmp_path / "module", hall.plan)
    module._key("nca-gost")
    go_on(hall, ceremony, module)
    assert ceremony.course.outcome == "completed"


def test_who_looks_for_keys_takes_an_account(tmp_path: Path, hierarchies: dict[str, Any]) -> None:
    content = definition()
    content["steps"][1]["empty"] = "true"
    with pytest.raises(DefinitionError, match="no key may be left, and it takes no account"):
        planned(tmp_path, content, hierarchies)
