"""A root's CRL is another than the one that stood before its ceremony, and what is new on it an order names (CP-4.9).

An order is a file `orders/NAME.json` among the environment's records: `[{"serial": HEX, "reason": of RFC 5280}, ...]`.
Before the act it is copied to the ceremony's folder, where the act finds it, with the CRL that stands.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Set
from hashlib import sha256
from pathlib import Path
from typing import Final

from kepil.ceremony.definition import Step
from kepil.ceremony.evidence import FILES, kind, name_of
from kepil.ceremony.plan import Plan
from kepil.errors import KepilError
from kepil.pki.crl_content import read_crl

ORDERS: Final = "orders"
"""Folder with what is to be revoked, in the environment's records and in the ceremony's folder."""
STANDING: Final = "standing"
"""Folder in the ceremony's, with each root's CRL as it stood before; an empty file says that there was none."""


class OrderError(KepilError):
    """A CRL is not the one that its step is to make; the message names it, its number or serial numbers."""


def keep(step: Step, records: Path, hall: Path) -> None:
    """Before an act: keep what stood before the ceremony, once, and the orders as they are now. Raises OSError."""
    for name in _lists(step):
        standing, order = hall / STANDING / f"{name}.crl", hall / ORDERS / f"{name}.json"
        if not standing.exists():
            standing.parent.mkdir(exist_ok=True)
            fresh = standing.with_name(f".{standing.name}.new")
            fresh.write_bytes(_content(records / standing.name))
            fresh.replace(standing)
        order.unlink(missing_ok=True)
        if step.order and (given := records / ORDERS / order.name).exists():
            order.parent.mkdir(exist_ok=True)
            shutil.copyfile(given, order)


def order_sha256(step: Step, name: str, hall: Path) -> str | None:
    """SHA-256 of the order that the act of a step followed, if there was one."""
    order = _content(hall / ORDERS / f"{name}.json") if step.order else b""
    return sha256(order).hexdigest() if order else None


def check(step: Step, plan: Plan, hall: Path) -> None:
    """Raise OrderError unless each CRL follows the one that stood, and has what that had and what the order names."""
    for name in _lists(step):
        if plan.first(f"crl:{name}"):
            continue
        path, standing = hall / FILES / f"{name}.crl", hall / STANDING / f"{name}.crl"
        made = read_crl(path)
        if standing.stat().st_size:
            former = read_crl(standing)
            if made.number <= former.number:
                raise OrderError(
                    f"step {step.id}: {path.name} has number {made.number}, and number {former.number} stood before "
                    "this ceremony: its act signed none; try again, or abort"
                )
            _compare(step, name, made.serials, former.serials, hall)
        else:
            _compare(step, name, made.serials, frozenset(), hall)


def _compare(step: Step, name: str, made: Set[int], former: Set[int], hall: Path) -> None:
    order = hall / ORDERS / f"{name}.json"
    ordered = _ordered(order) if order.exists() else frozenset()
    faults = [f"{serial:x} was listed before, and is not now" for serial in sorted(former - made)]
    faults += [f"{serial:x} is ordered, and not listed" for serial in sorted(ordered - made)]
    if step.order:
        faults += [f"{serial:x} is listed, and no order names it" for serial in sorted(made - former - ordered)]
    if faults:
        raise OrderError(f"step {step.id}: {name}.crl: {'; '.join(faults)}: abort, and find out why")


def _ordered(path: Path) -> Set[int]:
    try:
        return frozenset(int(one["serial"], 16) for one in json.loads(path.read_bytes()))
    except (ValueError, TypeError, KeyError) as error:
        raise OrderError(f'{path}: no order: [{{"serial": HEX, "reason": …}}, …] ({error!r})') from error


def _lists(step: Step) -> list[str]:
    return [name_of(thing) for thing in step.makes if kind(thing) == "crl"]


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
