"""Inventory source that validates the estate and derives from it what each host needs to know."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.vars.plugins import get_vars_from_inventory_sources

from kepil.estate.model import Estate, EstateError
from kepil.estate.sources import files_that_state

DOCUMENTATION = """
name: kepil
short_description: Validate the estate, derive names and firewall rules
description:
  - Stands last among the inventory sources. It reads C(estate_zones), C(estate_flows) and C(estate_services) and the
    hosts that the sources before it made, and stops with the reason if they do not describe a possible estate, so
    that no playbook ever reaches a host from a wrong inventory.
  - Sets C(estate_zone), C(estate_address), C(estate_fqdn) and C(estate_rules) for each host, C(estate_names) for all,
    and C(ansible_host) where hosts are containers.
options:
  plugin:
    description: Marks a file as this plugin's.
    required: true
    choices: [kepil]
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
        sources = [source for source in getattr(inventory, "processed_sources", []) if source]
        everyone = inventory.groups["all"]
        variables: dict[str, Any] = everyone.get_vars() | get_vars_from_inventory_sources(
            loader, sources, [everyone], "all"
        )
        groups = {
            name: sorted(host.name for host in group.get_hosts())
            for name, group in inventory.groups.items()
            if name not in ("all", "ungrouped")
        }
        stated = {name: host.vars for name, host in inventory.hosts.items()}
        try:
            estate = Estate.from_variables(variables, groups, stated)
        except EstateError as error:
            others = [source for source in sources if source != path]
            where = "".join(f"{file}: " for file in files_that_state(error.subject, others))
            raise AnsibleParserError(f"The inventory describes no possible estate. {where}{error}") from error
        inventory.set_variable("all", "estate_names", trusted(estate.names()))
        for host in estate.hosts.values():
            derived: dict[str, Any] = {
                "estate_zone": host.zone,
                "estate_fqdn": host.fqdn(estate.domain),
                "estate_rules": [rule.model_dump(mode="json") for rule in estate.rules(host)],
            }
            if host.address:
                derived["estate_address"] = str(host.address)
            if variables.get("ansible_connection") == "docker":
                derived["ansible_host"] = estate.container(host)
            for name, value in derived.items():
                inventory.set_variable(host.name, name, trusted(value))
