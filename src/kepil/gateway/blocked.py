"""The sources that the catalogue watch has closed, as a file: an address a line (GW-13)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from kepil.gateway.located import GatewayError


def read_blocked(path: Path) -> frozenset[IPv4Address]:
    """The sources; none where the watch has not run yet. Raises GatewayError that names the line."""
    if not path.exists():
        return frozenset()
    found = set()
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        try:
            found.add(IPv4Address(line))
        except ValueError as error:
            raise GatewayError(f"{path}:{number}: {error}; `kepil gateway watch` writes the file anew") from error
    return frozenset(found)


def write_blocked(path: Path, sources: Iterable[IPv4Address]) -> bool:
    """Write the file in one step; whether it is another one."""
    content = "".join(f"{source}\n" for source in sorted(sources))
    if path.exists() and path.read_text(encoding="ascii") == content:
        return False
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(content, encoding="ascii")
    fresh.replace(path)
    return True
