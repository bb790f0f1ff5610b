"""A host's rules as the role `base` renders them: what must be in force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

TEMPLATES = Path(__file__).parents[1] / "roles/base/templates"


def rendered(variables: dict[str, Any]) -> str:
    """The role's template with a host's variables; blocks leave no empty lines, as Ansible has it."""
    templates = jinja2.Environment(  # noqa: S701 - rules, not HTML
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return templates.get_template("nftables.conf.j2").render(variables)
