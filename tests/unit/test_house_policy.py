"""What the house forbids, and what every role must have, read from the repository itself."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
ROLES = sorted(path for path in (PROJECT / "roles").iterdir() if path.is_dir())
TASK_FILES = sorted([*PROJECT.glob("roles/*/tasks/*.yml"), *PROJECT.glob("roles/*/handlers/*.yml")])
PLAYBOOKS = sorted((PROJECT / "playbooks").rglob("*.yml"))
SCENARIOS = sorted(PROJECT.glob("molecule/*/converge.yml"))
LONGEST_TASK_FILE = 110
FORBIDDEN = {
    "ignore_errors": "a failure that is passed over is found by someone else later",
    "validate_certs: false": "an unverified peer is nobody",
    "version: latest": "versions are exact",
    "state: latest": "versions change by a change, not by a converge",
    "StrictHostKeyChecking=no": "host keys are pinned",
}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [*TASK_FILES, *PLAYBOOKS], ids=lambda p: str(p.relative_to(PROJECT)))
def test_nothing_forbidden(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = [f"{words}: {why}" for words, why in FORBIDDEN.items() if words in text]
    assert not found


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_a_task_file_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_TASK_FILE


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda p: str(p.relative_to(PROJECT)))
def test_a_play_has_no_variable_that_its_files_have(path: Path) -> None:
    """The file's would count: a play's own variable of the same name is never seen."""
    plays = load(path)
    for play in plays if isinstance(plays, list) else []:
        for name in play.get("vars_files", []):
            twice = play.get("vars", {}).keys() & load(path.parent / name).keys()
            assert not twice, f"{name} has them, too"


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_defaults_and_specification_agree(role: Path) -> None:
    """Every public variable is specified, and a default is typed once: the two files hold the same."""
    specification = load(role / "meta" / "argument_specs.yml")["argument_specs"]["main"].get("options", {})
    defaults_file = role / "defaults" / "main.yml"
    defaults = (load(defaults_file) or {}) if defaults_file.exists() else {}
    assert set(defaults) <= set(specification), "defaults that the specification does not know"
    required = {name for name, option in specification.items() if option.get("required")}
    optional = {name for name in specification if name not in required and "default" in specification[name]}
    assert optional <= set(defaults), "defaults that the specification names and defaults/main.yml lacks"
    for name in optional:
        if "{{" not in str(defaults[name]):
            assert specification[name]["default"] == defaults[name], name
    undescribed = [name for name, option in specification.items() if not option.get("description")]
    assert not undescribed


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_public_names_begin_with_the_role(role: Path) -> None:
    defaults_file = role / "defaults" / "main.yml"
    defaults = (load(defaults_file) or {}) if defaults_file.exists() else {}
    assert [name for name in defaults if not name.startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda p: p.name)
def test_a_role_has_its_scenario_and_tests(role: Path) -> None:
    """A scenario converges it: its own, or one that roles on the same ground share."""
    converged = {path.parent: [one for play in load(path) for one in play.get("roles", [])] for path in SCENARIOS}
    scenarios = [scenario for scenario, roles in converged.items() if role.name in roles]
    assert scenarios
    assert any(list(scenario.glob("tests/test_*.py")) for scenario in scenarios)


def test_scenarios_have_networks_of_their_own() -> None:
    """Scenarios run side by side, beside the development estate."""
    seen: dict[Any, str] = {}
    for path in [
        *sorted(PROJECT.glob("molecule/*/hosts.yml")),
        PROJECT / "inventories/development/group_vars/all/zones.yml",
    ]:
        content = load(path)
        zones = content.get("estate_zones") or content["all"]["vars"]["estate_zones"]
        for zone in zones.values():
            for network in map(ip_network, zone["subnets"]):
                clash = [where for other, where in seen.items() if other.overlaps(network)]
                assert not clash, f"{path}: {network} is also in {clash}"
                assert network.subnet_of(ip_network("198.18.0.0/15"))  # type: ignore[arg-type]
                seen[network] = str(path)


def test_environments_share_their_variables_and_differ_in_data() -> None:
    """A port is typed in the flows alone."""
    flows = load(PROJECT / "inventories/common/group_vars/all/flows.yml")["estate_flows"]
    for flow in flows:
        assert re.fullmatch(r"[a-z_]+", flow["from"])
        assert flow["why"]
