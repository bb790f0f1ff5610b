"""How the pictures name things."""

from __future__ import annotations

from collections.abc import Sequence

from kepil.estate.model import Estate, Zone
from kepil.estate.reachability import EVERYONE

ZONE_GROUP = "zone_"


def named(group: str) -> str:
    """A group of the inventory as a reader says it."""
    if group == EVERYONE:
        return "every host"
    if group.startswith(ZONE_GROUP):
        return f"hosts of {group.removeprefix(ZONE_GROUP)}"
    return group.replace("_", " ")


def named_together(groups: Sequence[str]) -> str:
    """Several groups; zones are named once."""
    whole = [group.removeprefix(ZONE_GROUP) for group in groups if group.startswith(ZONE_GROUP)]
    others = [named(group) for group in groups if not group.startswith(ZONE_GROUP)]
    return listed([*others, f"hosts of {listed(whole)}"] if whole else others)


def listed(names: Sequence[str]) -> str:
    """Names one after the other."""
    if len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return "".join(names)


def counted(number: int, thing: str) -> str:
    """A number of things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def kind(zone: Zone) -> str:
    """What sort of zone it is, as the style sheet names it."""
    if zone.outsiders:
        return "outside"
    return "own" if zone.subnets else "offline"


def sort(zone: Zone) -> str:
    """What sort of zone it is, in words, so that no colour need say it."""
    return {"outside": "not the estate's own", "own": "zone of the estate", "offline": "offline"}[kind(zone)]


def described(estate: Estate) -> str:
    """The estate in one line."""
    inside = sum(1 for zone in estate.zones.values() if not zone.outsiders)
    return (
        f"{counted(inside, 'zone')} of its own, {counted(len(estate.hosts), 'host')},"
        f" {counted(len(estate.flows), 'flow')}. Hosts drop what no flow allows, in and out."
    )
