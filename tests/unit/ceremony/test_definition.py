"""A ceremony that cannot work is refused before anybody travels to it; those of the estate can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.ceremony.definition import LANGUAGES, DefinitionError, read_definition
from kepil.ceremony.plan import read_plan
from kepil.signed.document import DocumentError

from .conftest import SCRIPTS, definition, estates_plan, planned, step, text

Change = Callable[[dict[str, Any]], Any]


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("file", sorted(SCRIPTS.glob("*.yml")), ids=lambda file: file.stem)
def test_the_estates_ceremonies_can_work(file: Path, hierarchies: dict[str, Any]) -> None:
    plan = estates_plan(file.stem, hierarchies)
    for each in plan.steps:
        for language in LANGUAGES:
            assert "{" not in getattr(each.title, language) + getattr(each.expect, language)


def test_steps_are_there_once_for_each_hierarchy(tmp_path: Path, hierarchies: dict[str, Any]) -> None:
    plan = planned(tmp_path, definition(), hierarchies)
    keys = ["key-krnca-rsa", "key-krnca-gost"]
    assert [s.id for s in plan.steps] == ["before", *keys, "sign-krnca-rsa", "sign-krnca-gost", "after"]
    assert plan.steps[1].makes == ("key:krnca-rsa",)


def test_a_plan_is_read_as_it_was_written_and_not_otherwise(tmp_path: Path, hierarchies: dict[str, Any]) -> None:
    plan = planned(tmp_path, definition(), hierarchies)
    plan.write(tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    with pytest.raises(DocumentError, match="never replaced"):
        plan.write(tmp_path / "plan.json")
    (tmp_path / "plan.json").write_bytes(plan.content.replace(b":{", b": {"))
    with pytest.raises(DefinitionError, match="not as this project writes plans"):
        read_plan(tmp_path / "plan.json")


def test_a_part_stands_among_the_steps(tmp_path: Path, hierarchies: dict[str, Any]) -> None:
    (tmp_path / "parts").mkdir()
    part = {"steps": [step("pause"), step("tea")]}
    (tmp_path / "parts/rest.yml").write_text(yaml.safe_dump(part, allow_unicode=True), encoding="utf-8")
    content = definition()
    content["steps"].insert(1, {"part": "rest"})
    plan = planned(tmp_path, content, {"rsa": hierarchies["rsa"]})
    assert [s.id for s in plan.steps] == ["before", "pause", "tea", "key-krnca-rsa", "sign-krnca-rsa", "after"]


def without_witness(content: dict[str, Any]) -> None:
    del content["roles"]["witness"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["steps"].reverse(), "needs key:krnca-rsa, which is not there yet"),
        (lambda c: c["holds"].clear(), "needs partition:root, which is not there yet"),
        (lambda c: c["steps"][1].update(destroys=["partition:root"]), "partition:root, which was destroyed before"),
        (lambda c: c["steps"][1].update(confirms={"security-officer": "2"}), "security-officer confirms, a role that"),
        (without_witness, "no witness is among the roles"),
        (lambda c: c["steps"][1].update(actor="security-officer"), "security-officer acts, a role that nobody holds"),
        (lambda c: c["steps"][1].update(actor="auditor"), "auditor acts, who must only look on"),
        (lambda c: c["steps"][1].update(confirms={"custodian": "3"}), "3 people confirm as custodian, and 2 will be"),
        (lambda c: c["steps"][1].update(confirms={"witness": "1"}), "partition:root is touched, and one person"),
        (
            lambda c: c["steps"][0].update({"confirms": {"witness": "1"}, "secret": "true"}),
            "secrets pass, and one",
        ),
        (lambda c: c["steps"][0].update(confirms={"operator": "1"}), "the operator who acts confirms alone"),
        (lambda c: c["steps"].pop(), "account is not taken both before and after"),
        (lambda c: c["steps"].pop(0), "account is not taken both before and after"),
        (
            lambda c: c["steps"][1].update(at="root"),
            r"\(root\), and the HSM's account is not taken both before and after",
        ),
        (lambda c: c["steps"][3].update(at="root"), r"\(estate\), and the HSM's account is not taken both before and"),
        (lambda c: c["steps"][0].pop("act"), "takes the HSM's account and has no act"),
        (lambda c: c["steps"][1].pop("act"), "makes key:krnca-rsa and has no act"),
        (lambda c: c["steps"].insert(2, step("again", each="root", act="k", makes=["key:{name}"])), "made before"),
        (lambda c: c["steps"].append(step("before")), "step before is there 2 times"),
        (lambda c: c["steps"][1].update(title=text("{nobody}")), "{nobody} stands for nothing"),
        (lambda c: c["steps"][0].update(act="s", makes=["shares:root"]), "threshold does not say how many"),
        (lambda c: c.update(threshold="3"), "3 shares are needed, and 2 custodians"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, hierarchies: dict[str, Any], change: Change, reason: str) -> None:
    content = definition()
    change(content)
    with pytest.raises(DefinitionError, match=reason):
        planned(tmp_path, content, hierarchies)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["steps"][0]["title"].pop("kk"), r"steps.0.title.kk: Field required"),
        (lambda c: c["steps"][0].update(makes=["secret:x"]), r"steps.0.makes.0: String should match"),
        (lambda c: c["steps"][0].update(actor="director"), r"steps.0.actor: Input should be 'security-officer'"),
        (lambda c: c.update(id="other"), "the file's name is its id"),
        (lambda c: c.update(begins=["nothing"]), r"nothing.yml: there is no such file"),
        (lambda c: c["steps"].insert(1, {"part": "nothing"}), r"nothing.yml: there is no such file"),
        (lambda c: c["steps"].insert(1, {"part": "nothing", "at": "root"}), r"steps.1.part: Extra inputs are not"),
        (lambda c: c["steps"][0].update(at="home"), r"steps.0.at: Input should be 'estate' or 'root'"),
        (lambda c: c.update(threshold="1"), "greater than or equal to 2"),
    ],
)
def test_what_is_no_definition_is_named(
    tmp_path: Path, hierarchies: dict[str, Any], change: Change, reason: str
) -> None:
    content = definition()
    change(content)
    with pytest.raises((DefinitionError, DocumentError), match=reason):
        planned(tmp_path, content, hierarchies)


def test_a_ceremony_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(DefinitionError, match="the folder has backup, compromise, crl, "):
        read_definition(SCRIPTS / "launch.yml")


def test_every_playbook_has_its_script() -> None:
    playbooks = {file.name for file in SCRIPTS.parent.glob("*.yml")} - {"ceremony.yml"}  # what they share
    assert playbooks <= {file.name for file in SCRIPTS.glob("*.yml")}
