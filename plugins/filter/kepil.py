"""Filters over the estate model: types and errors are adapted here, what they do is in the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

from kepil.estate import substrate
from kepil.estate.model import EstateError


def kepil_substrate(groups: dict[str, list[str]], hostvars: Any, project: str, mirror: str) -> dict[str, Any]:
    """Images, networks and containers of the environment that the inventory describes."""
    hosts = list(groups["all"])
    first = hostvars[hosts[0]]
    kinds = {name: list(members) for name, members in groups.items() if name not in ("all", "ungrouped")}
    try:
        return substrate.describe(
            Path(project),
            str(first["estate_environment"]),
            dict(first["estate_zones"]),
            kinds,
            {name: hostvars[name].get("estate_address") for name in hosts},
            mirror,
        )
    except EstateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the project."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"kepil_substrate": kepil_substrate}
