"""What a person has before her eyes when she signs, and what she types of it. It is part of what she signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kepil.ceremony.definition import Language, Thing
from kepil.ceremony.evidence import fingerprint, kind, name_of
from kepil.ceremony.words import say

if TYPE_CHECKING:
    from kepil.ceremony.course import Course
    from kepil.ceremony.statement import Act

ROW = 16
"""Hexadecimal digits in a row of a fingerprint: four groups of four, as people read them aloud."""


def shown(course: Course, act: Act, language: Language) -> dict[str, str]:
    """What is shown for a signature, in that person's language."""
    plan = course.plan
    match act:
        case "present":
            return {
                "title": getattr(plan.title, language),
                "script": course.plan_sha256,
                "people": course.people.sha256,
                "steps": f"{course.step}/{len(plan.steps)}",
            }
        case "confirm":
            step = course.current
            made = course.evidence.made if course.evidence else {}
            media = course.evidence.media if course.evidence else {}
            return {
                "step": f"{course.step + 1}/{len(plan.steps)}",
                "title": getattr(step.title, language),
                "expect": getattr(step.expect, language),
                **{thing: fingerprint(thing, made[thing]) for thing in sorted(made)},
                **(_orders(made, language) if step.order else {}),
                **{f"medium {name}": media[name].manifest for name in sorted(media)},
            }
        case "abort":
            return {"title": getattr(plan.title, language), "remains": ", ".join(course.remains())}
        case "close":
            return {
                "outcome": course.outcome,
                **{thing: fingerprint(thing, course.made[thing]) for thing in sorted(course.made)},
            }


def _orders(made: Mapping[Thing, Mapping[str, Any]], language: Language) -> dict[str, str]:
    """The SHA-256 of each CRL's order, to be held against the paper; a CRL may follow none."""
    lists = sorted(thing for thing in made if kind(thing) == "crl")
    return {f"order {name_of(thing)}": made[thing].get("order") or say(language)["none"] for thing in lists}


def rows(sha256: str) -> list[str]:
    """A fingerprint in rows to be read aloud: `3f2a 91c0 …`."""
    lines = [sha256[start : start + ROW] for start in range(0, len(sha256), ROW)]
    return [" ".join(line[start : start + 4] for start in range(0, ROW, 4)) for line in lines]


def row_asked(course: Course) -> int:
    """Which row is to be typed, from 1: nobody knows it before the entry before stands."""
    return int(course.head[:8], 16) % 4 + 1


def typed_row(course: Course) -> str | None:
    """What is to be typed at this step: a row of the first certificate's fingerprint. None where nothing is."""
    if not course.current.read_aloud or course.evidence is None:
        return None
    for thing, made in sorted(course.evidence.made.items()):
        if kind(thing) == "certificate":
            return rows(fingerprint(thing, made))[row_asked(course) - 1]
    return None
