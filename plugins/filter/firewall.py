"""Filters over firewall rules: types are adapted here, what they do is in the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kepil.estate import firewall
from kepil.estate.model import Rule


def kepil_admits(rules: list[dict[str, Any]], connection: str) -> bool:
    """Whether the rules of a host (`estate_rules`) admit a connection that its SSH server knows as `SSH_CONNECTION`.

    That is the client's address and port, then the server's; an empty one is never admitted.
    """
    match connection.split():
        case [client, _, _, port]:
            return firewall.admits(map(_rule, rules), client, int(port))
        case _:
            return False


def _rule(rule: dict[str, Any]) -> Rule:
    """The rule with every part of it resolved; Ansible resolves what lists and dictionaries hold when asked for it."""
    return Rule.model_validate({key: rule[key] for key in rule} | {"peers": list(rule["peers"])})


class FilterModule:
    """Filters of the project."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name to function."""
        return {"kepil_admits": kepil_admits}
