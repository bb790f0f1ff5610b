"""Who takes part in a ceremony, as what, and what nobody may be at once (CP-6.1, EN 319 411-1 GEN-6.5.1-04)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final, Literal, get_args

Role = Literal["security-officer", "custodian", "witness", "auditor", "operator"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

INDEPENDENT: Final[frozenset[Role]] = frozenset({"witness", "auditor"})
"""They look on and confirm what they saw; they never act, and are nothing else besides (CP-6.1: supervision)."""

COMPATIBLE: Final[frozenset[frozenset[Role]]] = frozenset({frozenset[Role]({"security-officer", "custodian"})})
"""The only two roles that one person may hold: a share is of no use without the other custodians."""


def conflict(roles: Iterable[Role]) -> tuple[Role, Role] | None:
    """Two of these roles that one person may not hold, if there are two."""
    for one, other in combinations(sorted(set(roles)), 2):
        if frozenset({one, other}) not in COMPATIBLE:
            return one, other
    return None
