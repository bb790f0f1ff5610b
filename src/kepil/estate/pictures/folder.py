"""The folder that holds an environment's pictures: what belongs into it, and how it comes there."""

from __future__ import annotations

from pathlib import Path

from kepil.estate.model import Estate
from kepil.estate.pictures.overview import overview
from kepil.estate.pictures.pages import contents, reachability
from kepil.estate.pictures.zone import zone_sheet
from kepil.estate.reachability import zones


def pictures(estate: Estate) -> dict[str, str]:
    """Every file by name. The same estate gives the same bytes on every machine."""
    sheets = {f"zone-{zone.name}.svg": zone_sheet(estate, zone) for zone in zones(estate)}
    pages = {"README.md": contents(estate), "reachability.html": reachability(estate)}
    return pages | {"overview.svg": overview(estate)} | sheets


def draw(estate: Estate, folder: Path) -> list[Path]:
    """Write the files, and remove the sheets of zones that are no more; returns what was written.

    Raises OSError where the folder cannot be written.
    """
    made = pictures(estate)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("zone-*.svg"):
        if old.name not in made:
            old.unlink()
    for name, content in made.items():
        (folder / name).write_text(content, encoding="utf-8")
    return [folder / name for name in made]
