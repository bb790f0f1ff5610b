"""The inventory as Ansible reads it, for what runs on the controller."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kepil.estate.model import Estate, EstateError

OVERLAYS = {"rehearsal": "production"}
"""Environments that are another one but for a few variables."""


def environment_sources(inventories: Path, environment: str) -> list[Path]:
    """The inventory sources of an environment, in the order in which they count; raises EstateError if it has none."""
    own = inventories / environment
    if not own.is_dir():
        raise EstateError(f"environment '{environment}': there is no folder {own}")
    below = [inventories / OVERLAYS[environment]] if environment in OVERLAYS else []
    return [inventories / "common", *below, own, inventories / "estate.kepil.yml"]


def read_listing(sources: Sequence[Path] = ()) -> dict[str, Any]:
    """`ansible-inventory --list` of these sources, or of the configured ones.

    Raises EstateError with Ansible's own message where a source cannot be read.
    """
    inventory = [f"--inventory={source}" for source in sources]
    done = subprocess.run(["ansible-inventory", "--list", *inventory], capture_output=True, text=True, check=False)
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


def host_groups(listing: dict[str, Any]) -> dict[str, list[str]]:
    """Hosts of each group, those of the groups within it too; `all` and `ungrouped` are left out."""

    def members(name: str) -> set[str]:
        group = listing.get(name, {})
        return set(group.get("hosts", [])).union(*(members(child) for child in group.get("children", [])))

    names = {name for name in listing if name != "_meta"} | set(listing["all"]["children"])
    return {name: sorted(members(name)) for name in sorted(names - {"all", "ungrouped"})}


def read_estate(listing: dict[str, Any] | None = None) -> Estate:
    """The estate that the configured inventory describes; raises EstateError where it describes none."""
    listing = listing or read_listing()
    return Estate.from_variables(all_variables(listing), host_groups(listing), listing["_meta"]["hostvars"])
