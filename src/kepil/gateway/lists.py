"""Import of domain lists in the layout of the University of Toulouse ("UT1"): a folder a list, with a file `domains`.

A line of `domains` is a name; it stands for the name and all below it. Files `urls` name single pages, which a
gateway that does not decrypt cannot see; they are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kepil.gateway.category import Categories
from kepil.gateway.host_name import normal
from kepil.gateway.located import GatewayError

MOST_UNREADABLE = 0.02
"""Part of a list that may be no names (addresses, typing errors of its keepers); more, and it is no list of names."""


@dataclass
class Imported:
    """What an import took and what it left."""

    names: dict[str, int] = field(default_factory=dict)
    """Names by list."""
    left: list[str] = field(default_factory=list)
    """Folders that no category names."""
    skipped: int = 0
    """Lines that are no names of hosts."""


def read_lists(place: Path, categories: Categories, report: Imported) -> Iterator[tuple[str, str]]:
    """Names with their category, list after list; fills the report.

    Raises GatewayError where a list that a category names is missing or is no list of names: a list that was not
    delivered whole would open what it closes, and decrypt what it exempts.
    """
    if missing := sorted(name for name in categories.by_list if not (place / name / "domains").is_file()):
        raise GatewayError(
            f"{place}: there is no {', '.join(f'{name}/domains' for name in missing)}: bring the whole collection, or "
            "take the list out of gateway_categories"
        )
    folders = sorted(path.parent.name for path in place.glob("*/domains"))
    report.left = [name for name in folders if name not in categories.by_list]
    for name, category in sorted(categories.by_list.items()):
        for host in _names(place / name / "domains", report):
            report.names[name] = report.names.get(name, 0) + 1
            yield host, category


def _names(path: Path, report: Imported) -> Iterator[str]:
    lines = taken = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            lines += 1
            if (name := normal(text)) is not None and "." in name:
                taken += 1
                yield name
    report.skipped += lines - taken
    if taken == 0 or lines - taken > max(100, lines * MOST_UNREADABLE):
        raise GatewayError(
            f"{path}: {lines - taken} of {lines} lines are no names of hosts: this is no list of domains"
        )


def read_overrides(stated: Mapping[str, Iterable[str]], categories: Categories) -> dict[str, frozenset[str]]:
    """The names that `gateway_overrides` states, with all categories each is to have; raises GatewayError."""
    found = {}
    for text, names in stated.items():
        name, given = normal(text), frozenset(names)
        if name is None or "." not in name:
            raise GatewayError(f"gateway_overrides: {text!r} is no name of a host, or a top-level domain")
        if unknown := sorted(given - set(categories.by_name)):
            there_are = ", ".join(categories.by_name)
            raise GatewayError(f"gateway_overrides: {text}: {', '.join(unknown)} is no category; there are {there_are}")
        found[name] = given
    return found
