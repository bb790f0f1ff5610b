"""Whether each act of a plan has hosts: Ansible passes over a play that has none, and says that all went well.

Where the modules are a vendor's, the groups `software_hsm` and `second_hsm` are empty, and acts on them do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import yaml

from kepil.ceremony.definition import Side
from kepil.ceremony.plan import Plan
from kepil.errors import KepilError

REMOVE = "remove"
"""The tag under which an aborted ceremony's remains are destroyed."""
_PART = re.compile(r"([!&]?)([a-z0-9_]+)(\[0\])?")


class ReachError(KepilError):
    """An act would reach no host; the message names act, pattern, environment and the remedy."""


def plays(playbook: Path) -> Iterator[dict[str, Any]]:
    """The plays of a playbook and of those that it imports, with the hosts that who imports them names."""
    for play in yaml.load(playbook.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
        imported = play.get("ansible.builtin.import_playbook")
        for one in plays(playbook.parent / imported) if imported else [play]:
            hosts = play.get("vars", {}).get("ceremony_hosts", one["hosts"]) if imported else one["hosts"]
            yield one | {"hosts": hosts}


def matched(pattern: str, groups: Mapping[str, Sequence[str]]) -> set[str]:
    """Hosts that a pattern of a playbook names: groups, their first hosts, and what is left out. Raises ReachError."""
    chosen, without, within = set[str](), set[str](), list[Set[str]]()
    for part in pattern.split(":"):
        found = _PART.fullmatch(part)
        if found is None:
            raise ReachError(f"hosts: {pattern}: {part!r} is neither a group nor the first host of one")
        sign, group, first = found.groups()
        hosts = set(sorted(groups.get(group, ()))[: 1 if first else None])
        if sign == "!":
            without |= hosts
        elif sign == "&":
            within.append(hosts)
        else:
            chosen |= hosts
    return chosen.intersection(*within) - without


def check_reach(plan: Plan, playbook: Path, groups: Mapping[str, Sequence[str]]) -> None:
    """Raise ReachError unless every play of each act has hosts, and each act some on its side of the air gap."""
    known = list(plays(playbook))
    wrong = dict.fromkeys(fault for act, side in _acts(plan) for fault in _empty(act, side, known, groups))
    if wrong:
        raise ReachError(
            f"{plan.id}: in {plan.environment} {'; '.join(wrong)}: it would pass, and nothing would be done. Add such "
            f"a host to inventories/{plan.environment}; where the modules are a vendor's (hsm_kind: appliance), do it "
            "by his means (docs/ceremonies.md, A vendor's modules)"
        )


def _acts(plan: Plan) -> Iterator[tuple[str, Side]]:
    for step in plan.steps:
        if step.act:
            yield step.act, step.at
        if step.makes:
            yield REMOVE, step.at


def _empty(
    act: str, side: Side, known: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    patterns = [str(play["hosts"]) for play in known if act in play["tags"]]
    reached, root = set[str](), set(groups.get("root", ()))
    for pattern in patterns:
        hosts = matched(pattern, groups)
        reached |= hosts & root if side == "root" else hosts - root
        if not hosts:
            yield f"act {act} (hosts: {pattern}) reaches no host"
    if not reached:
        yield f"act {act} (hosts: {', '.join(patterns) or 'no play'}) reaches no host of side {side}"
