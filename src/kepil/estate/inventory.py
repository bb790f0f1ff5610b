"""The inventory as Ansible reads it, for what runs on the controller."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from kepil.estate.model import Estate, EstateError


def read_listing() -> dict[str, Any]:
    """`ansible-inventory --list` of the configured sources.

    Raises EstateError with Ansible's own message where a source cannot be read.
    """
    done = subprocess.run(["ansible-inventory", "--list"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EstateError(done.stderr.strip() or done.stdout.strip())
    listing: dict[str, Any] = json.loads(done.stdout)
    return listing


def all_variables(listing: dict[str, Any]) -> dict[str, Any]:
    """Variables of group `all`, as any host holds them; raises EstateError where there is no host."""
    hostvars: dict[str, dict[str, Any]] = listing["_meta"]["hostvars"]
    if not hostvars:
        raise EstateError("the inventory holds no host: check `inventory` in ansible.cfg")
    return next(iter(hostvars.values()))


def read_estate(listing: dict[str, Any] | None = None) -> Estate:
    """The estate that the configured inventory describes; raises EstateError where it describes none."""
    listing = listing or read_listing()
    groups = {
        name: group.get("hosts", []) for name, group in listing.items() if name not in ("_meta", "all", "ungrouped")
    }
    groups |= {name: [] for name in listing["all"]["children"] if name not in groups and name != "ungrouped"}
    return Estate.from_variables(all_variables(listing), groups, listing["_meta"]["hostvars"])
