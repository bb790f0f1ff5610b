"""What the engine runs is there: each act of a ceremony is a tag of its playbook, and no tag is anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.ceremony.definition import Side, read_definition
from kepil.ceremony.plan import make_plan
from kepil.ceremony.reach import ReachError, check_reach, matched, plays
from kepil.cli import main
from kepil.commands import ceremony as command
from kepil.estate.inventory import all_variables, environment_sources, host_groups, read_listing
from kepil.pki.hierarchy import chosen

from .conftest import NEXT, PAST, PROJECT, SCRIPTS

PLAYBOOKS = SCRIPTS.parent
STEPS = PLAYBOOKS / "steps"
HELD = sorted(file.stem for file in SCRIPTS.glob("*.yml") if (PLAYBOOKS / file.name).exists())
NO_ACTS = {"never", "remove"}
"""`never` keeps a play for the engine; `remove` clears away what an aborted ceremony left."""


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


UNREACHED = {
    "development": {"backup"},
    "rehearsal": set[str](),
    "production": {"backup", "custodian_replacement", "hsm_initialisation"},
}
"""Ceremonies some of whose acts have no host: the estate has one module alone, production's are the vendor's."""


@pytest.fixture(scope="module")
def listings() -> dict[str, dict[str, Any]]:
    """The inventory of each environment, as Ansible reads it."""
    folder = PROJECT / "inventories"
    return {name: read_listing(environment_sources(folder, name)) for name in UNREACHED}


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("environment", UNREACHED)
def test_every_act_has_hosts_in_its_environment_or_is_refused(
    environment: str, listings: dict[str, dict[str, Any]]
) -> None:
    """Threat: on a vendor's modules `hsm_initialisation` passes, all sign, and no partition was made."""
    groups, everywhere = host_groups(listings[environment]), all_variables(listings[environment])
    hierarchies = chosen(everywhere["pki_hierarchies_known"], ["rsa", "gost"])
    assert UNREACHED[environment] <= set(HELD)
    for name in HELD:
        plan = make_plan(read_definition(SCRIPTS / f"{name}.yml"), environment, hierarchies, NEXT, PAST)
        if name not in UNREACHED[environment]:
            check_reach(plan, PLAYBOOKS / f"{name}.yml", groups)
            continue
        remedy = f"Add such a host to inventories/{environment}; where the modules are a vendor's"
        with pytest.raises(ReachError, match=rf"{name}: in {environment} act .*second_hsm\) reaches no host.*{remedy}"):
            check_reach(plan, PLAYBOOKS / f"{name}.yml", groups)


def test_an_act_needs_a_host_on_its_side(listings: dict[str, dict[str, Any]]) -> None:
    groups = host_groups(listings["rehearsal"]) | {"root": []}
    hierarchies = chosen(all_variables(listings["rehearsal"])["pki_hierarchies_known"], ["rsa"])
    plan = make_plan(read_definition(SCRIPTS / "issuing.yml"), "rehearsal", hierarchies)
    reason = "act account (hosts: root[0]:ca[0]) reaches no host of side root; act certificate (hosts: root[0]) reaches"
    with pytest.raises(ReachError, match=re.escape(reason)):
        check_reach(plan, PLAYBOOKS / "issuing.yml", groups)


def test_each_play_of_an_act_needs_a_host(listings: dict[str, dict[str, Any]]) -> None:
    """Threat: new activation data are split and brought to every host, and the module's own play had none."""
    hierarchies = chosen(all_variables(listings["production"])["pki_hierarchies_known"], ["rsa"])
    plan = make_plan(read_definition(SCRIPTS / "custodian_replacement.yml"), "production", hierarchies)
    with pytest.raises(ReachError, match=r"act shares \(hosts: software_hsm:!second_hsm\) reaches no host"):
        check_reach(plan, PLAYBOOKS / "custodian_replacement.yml", host_groups(listings["production"]))


def test_no_plan_is_written_for_acts_without_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listings: dict[str, dict[str, Any]], capsys: Any
) -> None:
    """Nor is such a ceremony begun."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(command, "_listing", lambda name: listings[name])
    words = ["ceremony", "plan", "hsm_initialisation", "--environment"]
    assert main([*words, "production", "--out", str(tmp_path / "no.json")]) == 1
    assert (
        "hsm_initialisation: in production act partitions (hosts: software_hsm:!second_hsm)" in capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())
    assert main([*words, "rehearsal", "--out", str(tmp_path / "yes.json")]) == 0
    monkeypatch.setattr("kepil.ceremony.desk.at_terminal", lambda: True)
    monkeypatch.setattr(command, "_listing", lambda _: listings["production"])
    held = ["ceremony", "hold", str(tmp_path / "hall"), "--keys", str(tmp_path), "--people", "none"]
    assert main([*held, "--plan", str(tmp_path / "yes.json")]) == 1
    assert "reaches no host" in capsys.readouterr().err
    assert not (tmp_path / "hall").exists()


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("a", {"a1", "a2"}),
        ("a[0]:b", {"a1", "b1"}),
        ("a:!c", {"a1"}),
        ("a:&c", {"a2"}),
        ("c:!c", set()),
        ("none:b", {"b1"}),
    ],
)
def test_patterns_name_the_hosts_that_ansible_finds(pattern: str, hosts: set[str]) -> None:
    groups = {"a": ["a1", "a2"], "b": ["b1"], "c": ["a2"]}
    assert matched(pattern, groups) == hosts
    with pytest.raises(ReachError, match="neither a group nor the first host"):
        matched(f"{pattern}:a[1]", groups)


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


def tasks_of(content: Any) -> Iterator[dict[str, Any]]:
    """Every task of a playbook or a file of tasks."""
    for each in content:
        yield each
        for inside in ("tasks", "block", "rescue", "always"):
            yield from tasks_of(each.get(inside, []))


@pytest.mark.parametrize("file", sorted([*PLAYBOOKS.glob("*.yml"), *STEPS.glob("*.yml")]), ids=lambda file: file.stem)
def test_what_is_included_in_a_loop_has_a_variable_of_its_own(file: Path) -> None:
    """Threat: variables are made up when they are used, and a loop inside then puts its own `item` into them."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for task in tasks_of(content if isinstance(content, list) else []):
        if "ansible.builtin.include_tasks" in task and "loop" in task:
            assert "loop_var" in task.get("loop_control", {}), task["name"]


def test_what_is_registered_has_a_name_that_no_variable_has() -> None:
    """Threat: what a task registered outranks a variable of its name for the rest of the run."""
    contents = [yaml.safe_load(file.read_text()) for file in (*PLAYBOOKS.glob("*.yml"), *STEPS.glob("*.yml"))]
    tasks = [task for content in contents if isinstance(content, list) for task in tasks_of(content)]
    stated = {name for task in tasks for name in task.get("vars", {})}
    stated |= set(yaml.safe_load((PLAYBOOKS / "ceremony.yml").read_text()))
    registered = {task["register"] for task in tasks if "register" in task}
    assert len(registered) > 20
    assert registered & stated == set()
