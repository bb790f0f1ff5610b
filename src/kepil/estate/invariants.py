"""What no estate may be, whatever its inventory says: who can reach the keys, and how.

They hold for the zones of the design, by their names; an estate that lacks a zone has nothing to break there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kepil.estate.model import Estate, Flow

UNTRUSTED = ("internet", "organisations", "branches", "edge", "mail")
"""Zones whose packets never come near a key (CP-6.7)."""
GUARDED = ("hsm", "core")
OFFLINE = "vault"
KEY_USERS = ("status", "core", "registration")
"""Zones whose hosts may sign with a key on an HSM (CP-6.2)."""
FORWARDING = "forwarding"
"""The group of the hosts that may pass packets on."""

Problem = tuple[str, str]


def broken(estate: Estate) -> Iterator[Problem]:
    """Each invariant that the estate breaks: the variable that is wrong, and what to mend."""
    yield from _offline(estate)
    yield from _key_users(estate)
    yield from _reached(estate)


def _offline(estate: Estate) -> Iterator[Problem]:
    """The root is kept off every network (CP-6.7)."""
    zone = estate.zones.get(OFFLINE)
    if zone and (zone.subnets or zone.administered_from or zone.outsiders):
        yield (
            "estate_zones",
            f"{OFFLINE}: holds the root and has no network at all; give it `subnets: []` and nothing else",
        )


def _key_users(estate: Estate) -> Iterator[Problem]:
    for flow in estate.flows:
        if _administers(estate, flow):
            continue
        strangers = sorted(_from(estate, flow) - set(KEY_USERS))
        if "hsm" in _to(estate, flow) and strangers:
            yield (
                "estate_flows",
                f"'{flow.source}' ({', '.join(strangers)}) to '{flow.destination}' {flow.service}: only hosts of"
                f" {', '.join(KEY_USERS)} that need a key reach zone hsm ({flow.why})",
            )


def _reached(estate: Estate) -> Iterator[Problem]:
    """Follow packets from untrusted zones, on through every host that forwards."""
    for start in UNTRUSTED:
        seen: set[str] = set()
        paths: list[tuple[str, tuple[str, ...]]] = [(start, (start,))]
        while paths:
            zone, path = paths.pop()
            for flow in estate.flows:
                if zone not in _from(estate, flow):
                    continue
                for target in sorted(_to(estate, flow) & set(GUARDED)):
                    yield (
                        "estate_flows",
                        f"'{flow.source}' to '{flow.destination}' {flow.service}: zone {target} is reached from"
                        f" {' by '.join(path)}; nothing from {', '.join(UNTRUSTED)} may reach"
                        f" {' or '.join(GUARDED)} ({flow.why})",
                    )
                onward = {host.zone for host in estate.members(flow.destination) if FORWARDING in host.groups}
                for through in sorted(onward - seen):
                    seen.add(through)
                    paths.append((through, (*path, through)))


def _administers(estate: Estate, flow: Flow) -> bool:
    """Whether operators use it to log in: it leads to a host, not to a key."""
    return any(
        flow.source in zone.administered_from and flow.destination == f"zone_{zone.name}"
        for zone in estate.zones.values()
    )


def _from(estate: Estate, flow: Flow) -> set[str]:
    """Zones that the flow comes from."""
    outside = {zone.name for zone in estate.zones.values() if zone.outsiders == flow.source}
    return {host.zone for host in estate.members(flow.source) if host.address} | outside


def _to(estate: Estate, flow: Flow) -> set[str]:
    """Zones that the flow leads into."""
    groups = (flow.destination, *((flow.on_the_way_to,) if flow.on_the_way_to else ()))
    return {host.zone for group in groups for host in estate.members(group) if host.address}
