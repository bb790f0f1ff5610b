"""Inventory source that validates the estate and derives from it what each host needs to know."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.group import Group
from ansible.inventory.helpers import sort_groups
from ansible.inventory.host import Host
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.vars.plugins import get_vars_from_inventory_sources

from kepil.change.invocation import touches_hosts
from kepil.errors import KepilError
from kepil.estate import guards
from kepil.estate.model import Estate, EstateError
from kepil.estate.model import Host as EstateHost
from kepil.estate.sources import files_that_state
from kepil.pki.generation import authorities, current, refuse_unknown
from kepil.pki.hierarchy import chosen
from kepil.pki.profile import ProfileError

DOCUMENTATION = """
name: kepil
short_description: Validate the estate, derive names and firewall rules
description:
  - Stands last among the inventory sources. It reads C(estate_zones), C(estate_flows) and C(estate_services) and the
    hosts that the sources before it made, and stops with the reason if they do not describe a possible estate, so
    that no playbook ever reaches a host from a wrong inventory.
  - Sets C(estate_zone), C(estate_address), C(estate_fqdn) and C(estate_rules) for each host, C(estate_names) for all,
    C(ansible_host), and C(ansible_become) where operators come by SSH.
  - Sets C(pki_hierarchies) for all, the hierarchies of C(pki_hierarchies_known) that C(pki_families) lists, in the
    generation that issues; and C(pki_authorities), all generations of them that C(pki_generations) states.
  - In every environment but development and those of Molecule, nothing that only development may hold lets a run
    begin; C(estate_guard_rails_lifted) names the guard rails that a rehearsal goes without.
  - There, too, a run begins only under an approved change record, or it has no hosts; C(estate_change_branch) is the
    git branch whose commits are known, by default C(refs/remotes/origin/main).
options:
  plugin:
    description: Marks a file as this plugin's.
    required: true
    choices: [kepil]
  describes_only:
    description: Whether none of the hosts can be reached, so that neither guard rails nor change gate apply.
    type: bool
    default: false
"""


def trusted(value: Any) -> Any:
    """The value as if an inventory file held it; what plugins set is otherwise marked unsafe when it is listed."""
    match value:
        case str():
            return trust_as_template(value)
        case dict():
            return {key: trusted(item) for key, item in value.items()}
        case list():
            return [trusted(item) for item in value]
        case _:
            return value


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]
    """Validation and derivation; the model is `kepil.estate.model`."""

    NAME = "kepil"

    def verify_file(self, path: str) -> bool:
        """Take files named *.kepil.yml only."""
        return bool(super().verify_file(path)) and path.endswith(".kepil.yml")

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Derive; raise AnsibleParserError with the model's own message where the inventory is wrong."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        sources = [source for source in getattr(inventory, "processed_sources", []) if source and source != path]
        stated = Stated(inventory, loader, sources)
        add_derived_groups(inventory, stated.of_everyone)
        try:
            estate = Estate.from_variables(stated.of_everyone, stated.groups(), stated.of_hosts())
        except EstateError as error:
            where = "".join(f"{file}: " for file in files_that_state(error.subject, sources))
            raise AnsibleParserError(f"The inventory describes no possible estate. {where}{error}") from error
        choose_hierarchies(inventory, stated.of_everyone)
        inventory.set_variable("all", "estate_names", trusted(estate.names()))
        for host in estate.hosts.values():
            connection = stated.of_host(host.name).get("ansible_connection")
            for name, value in derived_variables(estate, host, connection).items():
                inventory.set_variable(host.name, name, trusted(value))
        if self.get_option("describes_only"):
            for name in estate.hosts:
                inventory.set_variable(name, "ansible_connection", "none: this inventory only describes")
        elif guards.in_earnest(estate) and touches_hosts(context.CLIARGS):
            try:
                hold_guard_rails(estate, stated)
                leave_consoles_out(inventory, estate, stated)
                pass_gate(estate.environment, Path(path).resolve().parents[1], stated.of_everyone)
            except (KepilError, OSError) as error:
                for host in list(inventory.hosts.values()):  # a setting may turn an inventory's error into a warning
                    inventory.remove_host(host)
                raise AnsibleParserError(str(error)) from error


class Stated:
    """What the sources before this one state."""

    def __init__(self, inventory: InventoryData, loader: DataLoader, sources: list[str]) -> None:
        self._inventory, self._loader, self._sources = inventory, loader, sources
        self.of_everyone: dict[str, Any] = self._merged(inventory.groups["all"])

    def groups(self) -> dict[str, list[str]]:
        """Hosts of each group."""
        return {
            name: sorted(host.name for host in group.get_hosts())
            for name, group in self._inventory.groups.items()
            if name not in ("all", "ungrouped")
        }

    def of_host(self, name: str) -> dict[str, Any]:
        """Variables of a host with those of its groups, by Ansible's precedence."""
        host = self._inventory.hosts[name]
        merged: dict[str, Any] = {}
        for holder in (*sort_groups(host.get_groups()), host):
            merged |= self._merged(holder)
        return merged

    def folders(self) -> tuple[Path, ...]:
        """The sources' folders, in the order in which they count."""
        places = [Path(source) for source in self._sources]
        return tuple(dict.fromkeys(place if place.is_dir() else place.parent for place in places))

    def of_hosts(self) -> dict[str, dict[str, Any]]:
        """Variables of every host."""
        return {name: self.of_host(name) for name in self._inventory.hosts}

    def _merged(self, holder: Group | Host) -> dict[str, Any]:
        files: dict[str, Any] = get_vars_from_inventory_sources(self._loader, self._sources, [holder], "all")
        stated: dict[str, Any] = holder.vars
        return stated | files


def leave_consoles_out(inventory: InventoryData, estate: Estate, stated: Stated) -> None:
    """A host without a network whose connection is local is reached from its own console and from nowhere else."""
    for host in estate.hosts.values():
        at_console = stated.of_host(host.name).get("ansible_connection") == "local"
        if host.address is None and at_console and platform.node() != host.name:
            inventory.remove_host(inventory.hosts[host.name])


def hold_guard_rails(estate: Estate, stated: Stated) -> None:
    """Raise KepilError where an environment in earnest holds what only development may hold."""
    hosts = {host.name: stated.of_host(host.name) for host in estate.hosts.values() if "appliance" not in host.groups}
    lifted = frozenset(stated.of_everyone.get("estate_guard_rails_lifted", []))
    guards.hold(guards.Environment(estate, hosts, stated.folders(), os.environ), lifted)


def pass_gate(environment: str, project: Path, variables: dict[str, Any]) -> None:
    """Let the run begin under its change record, or raise KepilError."""
    from kepil.change.gate import MAIN, admit  # noqa: PLC0415 -- an eighth of each start, where nothing is guarded

    branch = variables.get("estate_change_branch", MAIN)
    admit(environment, project, context.CLIARGS, branch=branch, config=constants.CONFIG_FILE)


def add_derived_groups(inventory: InventoryData, variables: dict[str, Any]) -> None:
    """Software HSMs are hosts like others, the later ones for copies; a vendor's appliance is not configured here."""
    parent, members = (
        ("software_hsm", ("hsm", "root")) if variables.get("hsm_kind") == "software" else ("appliance", ("hsm",))
    )
    for name in {parent, *members} - inventory.groups.keys():
        inventory.add_group(name)
    for member in members:
        inventory.add_child(parent, member)
    inventory.add_group("second_hsm")
    if parent == "software_hsm":
        for host in inventory.groups["hsm"].get_hosts()[1:]:
            inventory.add_host(host.name, group="second_hsm")


def choose_hierarchies(inventory: InventoryData, variables: dict[str, Any]) -> None:
    """Set the hierarchies that the environment has, and all generations of them. Raise AnsibleParserError."""
    if known := variables.get("pki_hierarchies_known"):
        try:
            hierarchies = chosen(known, variables.get("pki_families", list(known)))
            generations = variables.get("pki_generations", {})
            refuse_unknown(known, generations)
            made = authorities(hierarchies, generations)
        except ProfileError as error:
            raise AnsibleParserError(str(error)) from error
        inventory.set_variable("all", "pki_hierarchies", trusted(current(made)))
        inventory.set_variable("all", "pki_authorities", trusted(made))


def derived_variables(estate: Estate, host: EstateHost, connection: str | None) -> dict[str, Any]:
    """What follows from the estate for one host."""
    variables: dict[str, Any] = {
        "estate_zone": host.zone,
        "estate_fqdn": host.fqdn(estate.domain),
        "estate_rules": [rule.model_dump(mode="json") for rule in estate.rules(host)],
    }
    if host.address:
        variables["estate_address"] = variables["ansible_host"] = str(host.address)
    if connection == "docker":
        variables["ansible_host"] = estate.container(host)
    if connection == "ssh":
        variables["ansible_become"] = True  # here and not for group all, which the controller itself belongs to
    return variables
