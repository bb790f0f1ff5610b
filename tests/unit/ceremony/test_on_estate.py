"""Ceremonies that rehearsal people hold on hosts: once, never in earnest, and taken up where they broke off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kepil.ceremony.engine import ActFailedError
from kepil.ceremony.on_estate import BUNDLES, HALLS, PEOPLE, SIGNERS, EarnestError, found, rehearse
from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.stand_in import StandIn
from kepil.ceremony.vouch import vouched
from kepil.errors import KepilError
from kepil.signed.signatures import AllowedSigners

from .conftest import Hall


@pytest.fixture
def records(tmp_path: Path, hall: Hall) -> Path:
    """The folder of an environment's records, with its people."""
    shutil.copytree(hall.keys, tmp_path / "records" / PEOPLE)
    hall.plan = hall.plan.model_copy(update={"environment": "development"})
    return tmp_path / "records"


def module(records: Path, hall: Hall) -> StandIn:
    return StandIn(records.parent / "module", hall.plan)


def test_a_ceremony_leaves_a_bundle_that_vouches(records: Path, hall: Hall) -> None:
    assert found(records, hall.plan) is None
    bundle = rehearse(records, hall.plan, module(records, hall))
    assert bundle is not None
    assert found(records, hall.plan) == bundle
    signers = AllowedSigners(records / PEOPLE / SIGNERS, NAMESPACE)
    assert list(vouched(records / BUNDLES, signers, environment="development").values()) == [bundle.name]
    assert not (records / HALLS / hall.plan.id).exists()


def test_a_plan_that_makes_more_is_not_held_yet(records: Path, hall: Hall) -> None:
    """A hierarchy was added since."""
    rehearse(records, hall.plan, module(records, hall))
    steps = [
        step.model_copy(update={"makes": ("key:more",)}) if step.id.startswith("key-") else step
        for step in hall.plan.steps
    ]
    assert found(records, hall.plan.model_copy(update={"steps": tuple(steps)})) is None


def test_a_plan_that_opens_a_module_is_held_all_the_same(records: Path, hall: Hall) -> None:
    """The bundle is of an earlier release, whose ceremonies opened nothing: nobody makes its keys again."""
    bundle = rehearse(records, hall.plan, module(records, hall))
    steps = tuple(step.model_copy(update={"makes": (*step.makes, "opened:root")}) for step in hall.plan.steps)
    assert found(records, hall.plan.model_copy(update={"steps": steps})) == bundle


def test_a_bundle_that_was_changed_is_not_passed_over(records: Path, hall: Hall) -> None:
    bundle = rehearse(records, hall.plan, module(records, hall))
    assert bundle is not None
    (bundle / "files/krnca-rsa.crt").write_bytes(b"another")
    with pytest.raises(KepilError, match=r"krnca-rsa\.crt"):
        found(records, hall.plan)


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("environment", ["production", "rehearsals", "other"])
def test_no_machine_holds_a_ceremony_in_earnest(records: Path, hall: Hall, environment: str) -> None:
    plan = hall.plan.model_copy(update={"environment": environment})
    with pytest.raises(EarnestError, match="rehearsal people hold no ceremony here"):
        rehearse(records, plan, module(records, hall))
    assert not (records / HALLS).exists()


def test_it_goes_on_where_an_act_failed(records: Path, hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    performer = module(records, hall)

    def fail(*_: object) -> None:
        raise KepilError("the cable was pulled")

    with monkeypatch.context() as patched:
        patched.setattr(performer, "_certificate", fail)
        with pytest.raises(ActFailedError, match="the cable was pulled"):
            rehearse(records, hall.plan, performer)
    assert (records / HALLS / hall.plan.id).exists()
    assert rehearse(records, hall.plan, performer) is not None


def test_a_bundle_that_was_left_unsealed_is_sealed(records: Path, hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("kepil.ceremony.on_estate.sealers", lambda _: [])
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        rehearse(records, hall.plan, module(records, hall))
    with pytest.raises(KepilError, match="needs 2 participants"):
        found(records, hall.plan)
    assert rehearse(records, hall.plan, module(records, hall)) == found(records, hall.plan)
