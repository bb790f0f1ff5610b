"""The words of ceremonies besides those of their definitions: on paper and on the screen, in three languages."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kepil.ceremony.definition import Language
from kepil.ceremony.roles import Role


@cache
def everything() -> dict[str, Any]:
    """As `words.yml` has them."""
    words: dict[str, Any] = yaml.safe_load(files(__package__).joinpath("words.yml").read_text(encoding="utf-8"))
    return words


def say(language: Language) -> dict[str, str]:
    """Every word in a language."""
    return {name: translations[language] for name, translations in everything().items() if name != "roles"}


def role_text(role: Role, what: str, language: Language) -> str:
    """A role's `name`, `functions` or `responsibilities`."""
    return str(everything()["roles"][role][what][language])
