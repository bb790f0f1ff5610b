"""Each guard rail is run into once, from the production inventory as it stands."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.estate.access import administered, ssh_config
from kepil.estate.guards import CHECKS, Environment, GuardRailError, hold, in_earnest
from kepil.estate.inventory import environment_sources, read_estate, read_listing
from kepil.estate.model import Estate

PROJECT = Path(__file__).parents[3]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDXk0eyQ0P0kPZkdCHF4VgPJVqwnCxqLV3Yqk2hDrmcA"

Change = Callable[[dict[str, dict[str, Any]]], Any]


@pytest.fixture(scope="module")
def listing() -> dict[str, Any]:
    return read_listing(environment_sources(PROJECT / "inventories", "production"))


@pytest.fixture
def estate(listing: dict[str, Any]) -> Estate:
    return read_estate(listing)


@pytest.fixture
def production(listing: dict[str, Any], estate: Estate, tmp_path: Path) -> Environment:
    """Production as it is when its operator has pinned the hosts' keys and brought in the lists of weak ones."""
    (tmp_path / "known_hosts").write_text("".join(f"{host.address} {KEY}\n" for host in administered(estate)))
    folders = (PROJECT / "inventories/common", PROJECT / "inventories/production", tmp_path)
    hosts = deepcopy(listing["_meta"]["hostvars"])
    for host in estate.members("ca"):
        hosts[host.name]["ca_known_keys"] = ["known-keys/blacklist.RSA-2048"]
    return Environment(estate, hosts, folders, {})


def test_production_as_it_stands_passes(production: Environment) -> None:
    hold(production)


def test_every_problem_is_named_at_once(production: Environment) -> None:
    production.hosts["ca01"]["base_log_retention_days"] = 365  # type: ignore[index]
    production.hosts["db01"]["hsm_module"] = "/usr/lib/softhsm/libsofthsm2.so"  # type: ignore[index]
    with pytest.raises(GuardRailError) as refusal:
        hold(production)
    assert "log_retention: ca01: base_log_retention_days is 365; seven years are 2557" in str(refusal.value)
    assert "software_hsm: db01: hsm_module is /usr/lib/softhsm" in str(refusal.value)


@pytest.mark.parametrize(
    ("host", "variables", "message"),
    [
        ("ca01", {"hsm_kind": "software"}, "software_hsm: ca01: hsm_kind is 'software'"),
        ("ca01", {"ceremony_certificate_gate": False}, "ceremonies: ca01: ceremony_certificate_gate is not true"),
        ("ca01", {"ceremony_certificate_signers": "x"}, "ceremonies: ca01: ceremony_certificate_signers is set"),
        ("ca01", {"hsm_client_module": "/usr/lib/p11-kit-client.so"}, "software_hsm: ca01: hsm_client_module"),
        (
            "ca01",
            {"hsm_file_key_types": ["gost2012_512"]},
            "software_hsm: ca01: hsm_file_key_types is",
        ),
        ("ca01", {"tsp_key": "file:/etc/kepil/tsp.key"}, "file_keys: ca01: tsp_key is file:"),
        (
            "ca01",
            {"pki_hierarchies": {"rsa": {"root": {}}}},
            "file_keys: ca01: pki_hierarchies.rsa.root has no partition",
        ),
        ("mon01", {"base_time_sources": []}, "time: mon01: base_time_sources is empty"),
        ("mon01", {"base_time_sources": ["198.18.9.1"]}, "time: mon01: base_time_sources: 198.18.9.1"),
        ("mon01", {"base_time_sources": ["0.debian.pool.ntp.org"]}, "0.debian.pool.ntp.org is an address for tests"),
        ("ca01", {"base_owns_clock": False}, "time: ca01: base_owns_clock is false"),
        ("ca01", {"base_hardware_randomness": False}, "randomness: ca01"),
        ("ca01", {"ca_debug": True}, "debugging: ca01: ca_debug is True"),
        ("ca01", {"ca": {"log_level": "DEBUG"}}, "debugging: ca01: ca.log_level is 'DEBUG'"),
        ("ca01", {"ansible_ssh_args": "-o StrictHostKeyChecking=no"}, "host_keys: ca01: ansible_ssh_args"),
        ("ca01", {"ansible_host_key_checking": False}, "host_keys: ca01: ansible_host_key_checking"),
        ("ca01", {"base_log_retention_days": 2556}, "log_retention: ca01"),
        ("ca01", {"ca_known_keys": []}, "known_keys: ca01: ca_known_keys names no list"),
    ],
)
def test_what_serves_development_is_refused(
    production: Environment, host: str, variables: dict[str, Any], message: str
) -> None:
    production.hosts[host].update(variables)  # type: ignore[attr-defined]
    with pytest.raises(GuardRailError, match=message.replace("(", r"\(")):
        hold(production)


@pytest.mark.parametrize("name", ["ANSIBLE_DEBUG", "ANSIBLE_KEEP_REMOTE_FILES", "ANSIBLE_STRATEGY"])
def test_the_run_itself_does_not_debug(production: Environment, name: str) -> None:
    with pytest.raises(GuardRailError, match=f"debugging: the environment variable {name} is set"):
        hold(replace(production, process={name: "1"}))


def test_the_run_itself_checks_host_keys(production: Environment) -> None:
    with pytest.raises(GuardRailError, match="ANSIBLE_HOST_KEY_CHECKING"):
        hold(replace(production, process={"ANSIBLE_HOST_KEY_CHECKING": "False"}))


@pytest.mark.parametrize("left", ["", "# 10.77.3.11 comes later\n", "@revoked 10.77.3.11 {key}\n"])
def test_an_unpinned_host_is_refused(production: Environment, left: str) -> None:
    known_hosts = production.folders[-1] / "known_hosts"
    lines = [line for line in known_hosts.read_text().splitlines(keepends=True) if not line.startswith("10.77.3.11 ")]
    known_hosts.write_text("".join(lines) + left.format(key=KEY))
    with pytest.raises(GuardRailError, match=r"ca01: .*known_hosts holds no key for 10\.77\.3\.11"):
        hold(production)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("vrrp_password: swordfish", True),
        ("database: {roles: [{pin: '1234'}]}", True),
        ("key: |\n  -----BEGIN PRIVATE KEY-----", True),
        ("vrrp_password: '{{ vault_vrrp_password }}'", False),
        ("vrrp_password: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162", False),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162", False),
    ],
)
def test_secrets_are_encrypted(production: Environment, text: str, *, refused: bool) -> None:
    file = production.folders[-1] / "secrets.yml"
    file.write_text(text)
    if not refused:
        hold(production)
        return
    with pytest.raises(GuardRailError, match=f"secrets: {file}: ") as refusal:
        hold(production)
    assert "swordfish" not in str(refusal.value)
    assert "1234" not in str(refusal.value)


@pytest.mark.clause("LQ-A3-6")
def test_a_gateway_has_real_databases(production: Environment) -> None:
    """Threat: what development is content with, the test file's signature, is all that a gateway in earnest knows."""
    estate = production.estate
    hosts = estate.hosts | {"gw01": estate.hosts["ca01"].model_copy(update={"name": "gw01", "groups": {"gateway"}})}
    with_gateway = replace(production, estate=estate.model_copy(update={"hosts": hosts}))
    with_gateway.hosts["gw01"] = dict(production.hosts["ca01"])  # type: ignore[index]
    (problem,) = CHECKS["antivirus"](with_gateway)
    assert problem.startswith("gw01: gateway_antivirus_mirror is empty")
    with_gateway.hosts["gw01"]["gateway_antivirus_mirror"] = "https://mirror.example.kz/clamav"  # type: ignore[index]
    assert list(CHECKS["antivirus"](with_gateway)) == []


def test_only_a_rehearsal_lifts_a_guard_rail(production: Environment) -> None:
    production.hosts["ca01"]["hsm_kind"] = "software"  # type: ignore[index]
    rehearsal = replace(production, estate=production.estate.model_copy(update={"environment": "rehearsal"}))
    hold(rehearsal, frozenset({"software_hsm"}))
    with pytest.raises(GuardRailError, match="ca01"):
        hold(rehearsal)
    with pytest.raises(GuardRailError, match="production lifts none"):
        hold(production, frozenset({"software_hsm"}))
    with pytest.raises(GuardRailError, match="softhsm: there are software_hsm, file_keys"):
        hold(rehearsal, frozenset({"softhsm"}))


@pytest.mark.parametrize(
    ("environment", "held"),
    [("production", True), ("rehearsal", True), ("trial", True), ("development", False), ("molecule-base", False)],
)
def test_guard_rails_hold_everywhere_but_in_development(estate: Estate, environment: str, *, held: bool) -> None:
    assert in_earnest(estate.model_copy(update={"environment": environment})) is held


def test_a_rehearsal_differs_from_production_by_what_is_named() -> None:
    """Whatever else a rehearsal stated would not be rehearsed (docs/production.md)."""
    overlay = PROJECT / "inventories/rehearsal/group_vars"
    stated = {file.name: set(yaml.safe_load(file.read_text())) for file in overlay.rglob("*.yml")}
    assert stated["networks.yml"] == {"estate_environment", "estate_domain", "estate_change_branch", "estate_networks"}
    assert {key.split("_")[0] for key in stated["hsm.yml"]} == {"hsm"}
    assert stated["containers.yml"] == {
        *("base_owns_clock", "base_hardware_randomness", "estate_guard_rails_lifted"),
        *("ansible_user", "ansible_ssh_args"),
    }
    assert stated["ceremony_certificate.yml"] == {"ceremony_certificate_signers"}
    assert sorted(stated) == ["ceremony_certificate.yml", "containers.yml", "hsm.yml", "networks.yml"]


def test_operators_come_as_the_inventory_says(estate: Estate) -> None:
    """`kepil estate ssh-config` writes the file; here it is held to the inventory."""
    committed = (PROJECT / "inventories/production/ssh_config").read_text()
    assert committed == ssh_config(estate, "inventories/production"), "kepil estate ssh-config --environment production"
