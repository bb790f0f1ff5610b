"""The IP-address catalogue (GW-13): every user network, by operator, imported from the operator's CSV export.

The export has a header with the columns `network` and `bin`, and perhaps `name`; it is separated by commas, semicolons
or tabs. A network is written 192.0.2.0/24, 192.0.2.7 or 192.0.2.0-192.0.2.9.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, summarize_address_range
from pathlib import Path

from kepil.gateway.located import GatewayError
from kepil.gateway.network_index import overlaps
from kepil.gateway.organisation import BROADEST
from kepil.pki.name import is_identification_number

FOLDER = "catalogue"
REQUIRED = {"network", "bin"}
COLUMNS = ("network", "bin", "name")


@dataclass(frozen=True)
class Row:
    """One network of one user."""

    network: IPv4Network
    bin: str
    name: str
    where: str
    """`file:line`."""


def read_export(path: Path) -> list[Row]:
    """The rows of an operator's export, ranges as networks; raises GatewayError that names every wrong line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GatewayError(f"{path}: cannot be read as UTF-8: {error}") from error
    return check(_read_rows(path, text.splitlines()))


def read_catalogue(place: Path) -> dict[str, list[Row]]:
    """The catalogue of an environment: rows by operator, the file's name without `.csv`; raises GatewayError."""
    found = {path.stem: read_export(path) for path in sorted(place.glob("*.csv"))}
    check(row for rows in found.values() for row in rows)
    return found


def check(rows: Iterable[Row]) -> list[Row]:
    """The rows, one address of one user only; raises GatewayError that names the lines."""
    listed = list(rows)
    problems = [
        f"{other.where}: {narrow} ({other.bin}) overlaps {broad} ({one.bin}) at {one.where}; an address has one owner"
        for (broad, one), (narrow, other) in overlaps((row.network, row) for row in listed)
        if one.bin != other.bin
    ]
    if problems:
        raise GatewayError("; ".join(problems))
    return listed


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as the estate keeps them: sorted, separated by commas; what one user has is joined."""
    users: dict[tuple[str, str], list[IPv4Network]] = {}
    for row in rows:
        users.setdefault((row.bin, row.name), []).append(row.network)
    lines = sorted((network, *user) for user, networks in users.items() for network in collapse_addresses(networks))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}")
    with fresh.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(lines)
    fresh.replace(path)


def _read_rows(path: Path, lines: list[str]) -> Iterator[Row]:
    if not lines:
        raise GatewayError(f"{path}:1: the file is empty; its first line names the columns {', '.join(COLUMNS)}")
    separator = max(",;\t", key=lines[0].count)
    reader = csv.DictReader(lines, delimiter=separator)
    columns = [name.strip().lower() for name in reader.fieldnames or []]
    if missing := sorted(REQUIRED - set(columns)):
        raise GatewayError(f"{path}:1: column {' and '.join(missing)} is missing; the first line names the columns")
    reader.fieldnames = columns
    problems = []
    for cells in reader:
        where = f"{path}:{reader.line_num}"
        try:
            yield from _row(cells, where)
        except ValueError as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise GatewayError("; ".join(problems))


def _row(cells: dict[str, str | None], where: str) -> Iterator[Row]:
    number = (cells["bin"] or "").strip()
    if not is_identification_number(number):
        raise ValueError(f"{number!r} is no BIN: twelve digits, the last the check digit")
    for network in networks_of((cells["network"] or "").strip()):
        yield Row(network, number, (cells.get("name") or "").strip(), where)


def networks_of(text: str) -> list[IPv4Network]:
    """The networks that a network, an address or a range is; raises ValueError for what is none, or far too broad."""
    first, dash, last = text.partition("-")
    if dash:
        found = list(summarize_address_range(IPv4Address(first.strip()), IPv4Address(last.strip())))
    else:
        found = [IPv4Network(text)]
    if any(network.prefixlen < BROADEST for network in found):
        raise ValueError(f"{text} is broader than /{BROADEST}, more than one user has; give his own networks")
    return found
