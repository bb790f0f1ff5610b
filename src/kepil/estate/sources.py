"""Where the inventory states something: the file that an error message names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


def files_that_state(subject: str | None, sources: Iterable[str]) -> list[str]:
    """The last inventory file that holds a key of this name, a variable's or a host's; it is the one that counts."""
    if subject is None:
        return []
    key = re.compile(rf"^\s*{re.escape(subject)}\s*:|[{{,]\s*{re.escape(subject)}\s*:", re.MULTILINE)
    places = [Path(source) for source in sources]
    folders = dict.fromkeys(
        place if place.is_dir() else place.parent for place in places
    )  # a file's variables lie beside
    files = [file for folder in folders for file in sorted(folder.rglob("*.yml"))]
    return [str(file) for file in files if key.search(file.read_text(encoding="utf-8"))][-1:]
