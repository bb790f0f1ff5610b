"""A million domains with their categories, looked up in microseconds: an LMDB file that processes share by mapping it.

A file is built beside the one in use and then renamed over it, so that a reader has the old table or the new one,
whole. Keys are names; a value is a bit field of categories, by their order in the table's own list.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import lmdb

from kepil.gateway.category import UNCATEGORISED, Categories
from kepil.gateway.host_name import suffixes
from kepil.gateway.located import GatewayError

_NAMES: Final = b"\0categories"
_LARGEST: Final = 1 << 31
"""Address space for a table that is being built, bytes; the file is as large as its content."""
FORGETS: Final = frozenset({UNCATEGORISED})


class Table:
    """A table in use, as it lay there when it was opened; raises GatewayError where it is broken."""

    def __init__(self, path: Path, categories: Categories) -> None:
        self.path = path
        self._categories = categories
        self._open()

    def find(self, name: str) -> tuple[str | None, frozenset[str]]:
        """The listed name that decides about a host, and its categories; the narrowest listed name decides."""
        with self._environment.begin(buffers=False) as transaction:
            for listed in suffixes(name):
                if (value := transaction.get(listed.encode())) is not None:
                    return listed, self._decode(int.from_bytes(value, "big"))
        return None, FORGETS

    def _open(self) -> None:
        try:
            environment = lmdb.open(str(self.path), subdir=False, readonly=True, lock=False, max_spare_txns=4)
            with environment.begin() as transaction:
                names = json.loads(transaction.get(_NAMES) or b"null")
        except (OSError, lmdb.Error, ValueError) as error:
            raise GatewayError(f"{self.path}: no table of categories ({error}): kepil gateway import-lists") from error
        if not isinstance(names, list) or not set(names) <= set(self._categories.by_name):
            environment.close()
            raise GatewayError(f"{self.path}: made for other categories: kepil gateway import-lists makes it anew")
        self._environment, self._names = environment, names

    def _decode(self, bits: int) -> frozenset[str]:
        found = frozenset(name for number, name in enumerate(self._names) if bits >> number & 1)
        return found or FORGETS


def build(
    path: Path,
    names: Iterable[tuple[str, str]],
    overrides: Mapping[str, frozenset[str]],
    categories: Categories,
) -> int:
    """Make a table of names with one category each and put it in place; return how many names it holds.

    A name that occurs several times has all the categories; an override has its own and no others, for all names below
    it that lists name, too.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    order = {name: number for number, name in enumerate(categories.by_name)}
    try:
        environment = lmdb.open(str(fresh), subdir=False, lock=False, map_size=_LARGEST, sync=False, writemap=False)
        try:
            count = _fill(environment, names, overrides, order)
            environment.sync(True)
        finally:
            environment.close()
        fresh.chmod(0o644)
        fresh.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
    return count


def _fill(
    environment: lmdb.Environment,
    names: Iterable[tuple[str, str]],
    overrides: Mapping[str, frozenset[str]],
    order: Mapping[str, int],
) -> int:
    bits: dict[str, int] = {}
    for name, category in names:
        if not any(above in overrides for above in suffixes(name)):
            bits[name] = bits.get(name, 0) | 1 << order[category]
    bits |= {name: sum(1 << order[each] for each in given) for name, given in overrides.items()}
    width = len(order) // 8 + 1
    rows = iter(sorted((name.encode(), value.to_bytes(width, "big")) for name, value in bits.items()))
    with environment.begin(write=True) as transaction:
        transaction.put(_NAMES, json.dumps(list(order)).encode())
        with transaction.cursor() as cursor:
            cursor.putmulti(rows, append=True)
    return len(bits)
