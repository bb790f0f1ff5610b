"""Keys that follow others, and those whose time is over: what ceremonies act on follows from the inventory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.definition import DefinitionError, read_definition
from kepil.ceremony.plan import Plan, make_plan
from kepil.ceremony.records import recorded, used

from .conftest import SCRIPTS

OVERLAP = {
    "issuing": 2,
    "ocsp": 2,
    "tsp": 2,
    "next": {"issuing": 3, "ocsp": 4, "tsp": 3},
    "former": [{"issuing": 1, "ocsp": 1, "next": {"ocsp": 3}}],
}


def plan_of(
    name: str,
    hierarchies: dict[str, Any],
    rsa: Any,
    *recorded: str,
    used: tuple[str, ...] = (),
    issuing: tuple[str, ...] = (),
) -> Plan:
    definition = read_definition(SCRIPTS / f"{name}.yml")
    return make_plan(definition, "development", {"rsa": hierarchies["rsa"]}, {"rsa": rsa}, recorded, used, issuing)


def made(plan: Plan) -> list[str]:
    return [thing for step in plan.steps for thing in step.makes]


def destroyed(plan: Plan) -> set[str]:
    return {thing for step in plan.steps for thing in step.destroys}


@pytest.mark.clause("CP-5.6")
def test_a_re_key_makes_the_generation_that_is_next(hierarchies: dict[str, Any]) -> None:
    plan = plan_of("rekey", hierarchies, OVERLAP)
    assert made(plan) == [
        "key:nca-rsa-3",
        "request:nca-rsa-3",
        "state:root",
        "opened:root",
        "certificate:nca-rsa-3",
    ]
    assert "key:nca-rsa-2" in plan.holds
    assert any(step.title.en == "Key nca-rsa-3, which follows nca-rsa-2, is made" for step in plan.steps)


@pytest.mark.clause("CP-3.3")
def test_keys_of_ocsp_and_tsp_are_renewed_under_the_ca_of_their_generation(hierarchies: dict[str, Any]) -> None:
    plan = plan_of("renewal", hierarchies, OVERLAP)
    needs = {step.makes: step.needs for step in plan.steps if any(one.startswith("certificate:") for one in step.makes)}
    assert {key[0]: [one for one in value if one.startswith("key:")] for key, value in needs.items()} == {
        "certificate:ocsp-rsa-4": ["key:nca-rsa-3"],
        "certificate:tsp-rsa-3": ["key:nca-rsa-3"],
        "certificate:ocsp-rsa-3": ["key:nca-rsa"],
    }
    assert {"key:nca-rsa", "key:nca-rsa-3"} <= set(plan.holds)
    renewed = plan_of("renewal", hierarchies, {"next": {"ocsp": 2}})
    assert [one for one in made(renewed) if one.startswith("certificate:")] == ["certificate:ocsp-rsa-2"]


@pytest.mark.clause("CP-6.2")
def test_only_keys_that_the_inventory_names_no_more_are_destroyed(hierarchies: dict[str, Any]) -> None:
    """Threat: a key goes while certificates that it signed are in use."""
    held = ("nca-rsa", "nca-rsa-2", "ocsp-rsa", "ocsp-rsa-2", "tsp-rsa", "tsp-rsa-2", "krnca-rsa", "nca-gost")
    assert destroyed(plan_of("destruction", hierarchies, OVERLAP, *held)) == {"key:tsp-rsa"}
    after = {"issuing": 2, "ocsp": 2, "tsp": 2}
    gone = {"key:nca-rsa", "key:ocsp-rsa", "key:tsp-rsa"}
    assert destroyed(plan_of("destruction", hierarchies, after, *held)) == gone


@pytest.mark.clause("CP-5.7")
@pytest.mark.parametrize(
    ("issuing", "gone"),
    [
        ((), {"nca-rsa-2", "ocsp-rsa-2", "tsp-rsa-2"}),
        (("nca-rsa-2",), {"nca-rsa-2", "ocsp-rsa-2", "tsp-rsa-2"}),
        (("nca-rsa",), {"nca-rsa", "ocsp-rsa"}),
        (("nca-rsa-3",), {"nca-rsa-3", "ocsp-rsa-4"}),
        (("nca-rsa-2", "nca-rsa"), {"nca-rsa", "ocsp-rsa", "nca-rsa-2", "ocsp-rsa-2", "tsp-rsa-2"}),
    ],
)
def test_a_compromise_is_of_the_chosen_issuing_ca_whatever_its_generation(
    hierarchies: dict[str, Any], issuing: tuple[str, ...], gone: set[str]
) -> None:
    """Threat: a key that only signs CRLs still is stolen, and nothing revokes its certificate."""
    plan = plan_of("compromise", hierarchies, OVERLAP, "nca-rsa-3", "ocsp-rsa-4", issuing=issuing)
    keys = {f"key:{name}" for name in gone}
    assert {one for one in destroyed(plan) if one.startswith("key:")} == keys
    assert [one for one in made(plan) if one.startswith("crl:")] == ["crl:krnca-rsa"], "once, for all of its root's"
    assert {one for one in plan.holds if one.startswith("key:")} == keys | {"key:krnca-rsa"}


@pytest.mark.parametrize(
    ("name", "issuing", "reason"),
    [
        ("compromise", "nca-rsa-7", r"no issuing CA nca-rsa-7: pki_generations has nca-rsa-2, nca-rsa "),
        ("compromise", "nca-rsa-3", r"no issuing CA nca-rsa-3"),
        ("destruction", "nca-rsa", r"destruction: nca-rsa: it is not about chosen issuing CAs"),
    ],
)
def test_an_issuing_ca_that_cannot_be_chosen_is_refused(
    hierarchies: dict[str, Any], name: str, issuing: str, reason: str
) -> None:
    """One that nobody has, one that is to be made yet, and one in a ceremony whose acts follow from the inventory."""
    with pytest.raises(DefinitionError, match=reason):
        plan_of(name, hierarchies, OVERLAP, "tsp-rsa", issuing=(issuing,))


@pytest.mark.clause("CP-6.2")
def test_every_generation_in_service_is_tried_on_the_second_module(hierarchies: dict[str, Any]) -> None:
    plan = plan_of("backup", hierarchies, OVERLAP, "nca-rsa-3")
    trials = [step.id for step in plan.steps if step.act == "trial"]
    assert trials == ["trial-nca-rsa-2", "trial-nca-rsa-3", "trial-nca-rsa"]
    assert "trial-nca-rsa-3" not in [step.id for step in plan_of("backup", hierarchies, OVERLAP).steps]


@pytest.mark.parametrize("name", ["rekey", "renewal", "destruction"])
def test_a_ceremony_that_has_nothing_to_act_on_is_refused(hierarchies: dict[str, Any], name: str) -> None:
    with pytest.raises(DefinitionError, match=r"nothing to act on in development.*pki_generations"):
        plan_of(name, hierarchies, {}, "nca-rsa", "ocsp-rsa", "tsp-rsa")


@pytest.mark.parametrize("name", ["rekey", "renewal"])
def test_the_name_of_a_destroyed_key_is_not_given_again(hierarchies: dict[str, Any], name: str) -> None:
    """Threat: what was issued long ago points to the CRL of another key."""
    with pytest.raises(DefinitionError, match=r"rsa-[234] was the name of a key that was destroyed"):
        plan_of(name, hierarchies, OVERLAP, used=("nca-rsa-3", "ocsp-rsa-4"))


def test_keys_on_record_and_those_that_were_destroyed(tmp_path: Path) -> None:
    for path in ("keys/nca-rsa-2.json", "keys/ocsp-rsa.json", "retired/3f2a/nca-rsa.crt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps({}))
    assert recorded(tmp_path) == ["nca-rsa-2", "ocsp-rsa"]
    assert used(tmp_path) == {"nca-rsa"}
    assert recorded(tmp_path / "nothing") == []
