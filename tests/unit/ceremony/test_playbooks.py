"""What the engine runs is there: each act of a ceremony is a tag of its playbook, and no tag is anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.ceremony.definition import Side, read_definition

from .conftest import SCRIPTS

PLAYBOOKS = SCRIPTS.parent
STEPS = PLAYBOOKS / "steps"
HELD = sorted(file.stem for file in SCRIPTS.glob("*.yml") if (PLAYBOOKS / file.name).exists())
NO_ACTS = {"never", "remove"}
"""`never` keeps a play for the engine; `remove` clears away what an aborted ceremony left."""


def plays(path: Path) -> Iterator[dict[str, Any]]:
    for play in yaml.safe_load(path.read_text(encoding="utf-8")):
        imported = play.get("ansible.builtin.import_playbook")
        for one in plays(path.parent / imported) if imported else [play]:
            hosts = play.get("vars", {}).get("ceremony_hosts", one["hosts"]) if imported else one["hosts"]
            yield one | {"hosts": hosts}


BOTH = {"hsm", "software_hsm", "root", "ca", "ocsp", "tsp", "second_hsm"}
SIDES: dict[Side, set[str]] = {"root": {"root", "software_hsm"}, "estate": BOTH - {"root"}}
"""Groups with hosts on each side of the air gap."""


def sides(hosts: str) -> set[Side]:
    groups = {group.removesuffix("[0]") for group in hosts.split(":") if not group.startswith("!")}
    assert groups <= BOTH, "a group whose side is not known"
    return {side for side, names in SIDES.items() if groups & names}


def test_there_are_playbooks() -> None:
    assert {"hsm_initialisation", "root", "issuing", "status"} <= set(HELD)


@pytest.mark.parametrize("name", HELD)
def test_every_act_is_a_tag_and_every_tag_an_act(name: str) -> None:
    acts = {step.act for step in read_definition(SCRIPTS / f"{name}.yml").steps if step.act}
    tagged = [set(play.get("tags", [])) - {"never"} for play in plays(PLAYBOOKS / f"{name}.yml")]
    assert all(len(tags) == 1 for tags in tagged), "a play is one act"
    assert {tag for tags in tagged for tag in tags} - NO_ACTS == acts


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("name", HELD)
def test_every_act_has_hosts_on_its_side_of_the_gap(name: str) -> None:
    """Threat: limited to the wrong side, a playbook reaches no host, does nothing, and says that it went well."""
    reached = {
        tag: {side for play in plays(PLAYBOOKS / f"{name}.yml") if tag in play["tags"] for side in sides(play["hosts"])}
        for play in plays(PLAYBOOKS / f"{name}.yml")
        for tag in play["tags"]
    }
    steps = read_definition(SCRIPTS / f"{name}.yml").steps
    assert not [step.id for step in steps if step.act and step.at not in reached[step.act]]
    assert not [step.id for step in steps if step.makes and step.at not in reached["remove"]]


@pytest.mark.parametrize("name", HELD)
def test_what_an_aborted_ceremony_made_can_be_destroyed(name: str) -> None:
    """Threat: an abort writes that keys were destroyed, and no play destroyed any."""
    makes = any(step.makes for step in read_definition(SCRIPTS / f"{name}.yml").steps)
    tags = {tag for play in plays(PLAYBOOKS / f"{name}.yml") for tag in play.get("tags", [])}
    assert ("remove" in tags) is makes


@pytest.mark.clause("CP-6.2")
@pytest.mark.parametrize("name", HELD)
def test_an_abort_reaches_every_host_that_an_act_leaves_something_on(name: str) -> None:
    """Threat: a key that is a file, or a copy of a PIN, is brought to a group's other hosts, and stays there."""
    hosts: dict[bool, set[str]] = {True: set(), False: set()}
    for play in plays(PLAYBOOKS / f"{name}.yml"):
        if not {"account", "destroy"} & set(play["tags"]):
            hosts["remove" in play["tags"]] |= {one for one in play["hosts"].split(":") if not one.startswith("!")}
    among = {"second_hsm": ["hsm"], "software_hsm": ["hsm", "root"]}
    reached = {each for one in hosts[True] for each in among.get(one, [one])}
    used = {each for one in hosts[False] for each in among.get(one, [one])}
    assert not hosts[True] or not {one for one in used if not {one, one.removesuffix("[0]")} & reached}


def test_every_playbook_is_a_ceremonys() -> None:
    """Beside them lies what all of them need to know."""
    assert {file.stem for file in PLAYBOOKS.glob("*.yml")} == {*HELD, "ceremony"}


def included(tasks: Any) -> Iterator[str]:
    """Names of the task files that these tasks include, wherever they stand."""
    for task in tasks:
        yield from included(task.get("block", []))
        if name := task.get("ansible.builtin.include_tasks"):
            yield Path(name).name


def reached(names: set[str], through: set[str]) -> set[tuple[str, str]]:
    """Which file includes which, from these on, without what the files in `through` include."""
    pairs, waiting = set[tuple[str, str]](), set(names)
    while waiting:
        name = waiting.pop()
        inside = set() if name in through else set(included(yaml.safe_load((STEPS / name).read_text())))
        waiting |= inside - {one for one, _ in pairs} - {name}
        pairs |= {(name, one) for one in inside}
    return pairs


@pytest.mark.clause("CP-6.1")
def test_nothing_goes_to_or_comes_from_the_offline_root_but_on_a_medium() -> None:
    """Threat: a step added later carries a plain file. A draft is only linted; the root signs what has its hash."""
    acts = [play for name in HELD for play in plays(PLAYBOOKS / f"{name}.yml") if "remove" not in play["tags"]]
    on_root = [play for play in acts if "root" in str(play["hosts"]).replace("[0]", "").split(":")]
    names = {name for play in on_root for name in included(play["tasks"])}
    carried = {pair for pair in reached(names, {"leave.yml", "arrive.yml"}) if pair[1].startswith("carry_")}
    assert {"sign.yml", "root.yml", "crl.yml", "first_crl.yml"} <= names
    assert carried == {("certify.yml", "carry_out.yml")}
