"""Values as Ansible hands them to plugins, for code that knows nothing of Ansible."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> Any:
    """The value with every part of it resolved; Ansible resolves what lists and dictionaries hold when asked for it."""
    match value:
        case dict():
            return {key: plain(value[key]) for key in value}
        case list():
            return [plain(item) for item in value]
        case _:
            return value
