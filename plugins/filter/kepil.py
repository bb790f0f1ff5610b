"""Filters over the estate model: types and errors are adapted here, what they do is in the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

from kepil.estate import substrate
from kepil.estate.model import ESTATE_VARIABLES, Estate, EstateError, HostVariables
from kepil.plain import plain


def kepil_substrate(groups: dict[str, list[str]], hostvars: Any, project: str, mirror: str) -> dict[str, Any]:
    """Images, networks and containers of the environment that the inventory describes."""
    kinds = {name: list(members) for name, members in groups.items() if name not in ("all", "ungrouped")}
    fields = HostVariables.model_fields
    hosts = {name: {key: plain(hostvars[name].get(key)) for key in fields} for name in groups["all"]}
    everyone = hostvars[groups["all"][0]]
    stated = {key: plain(everyone[key]) for key in (*ESTATE_VARIABLES, "estate_networks") if key in everyone}
    try:
        estate = Estate.from_variables(stated, kinds, hosts)
        return substrate.describe(Path(project), estate, kinds, mirror)
    except EstateError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Filters of the project."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"kepil_substrate": kepil_substrate}
