"""All organisations of an environment: `inventories/<environment>/organisations/*.yml`, checked against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from kepil.gateway.catalogue import Row
from kepil.gateway.category import Categories
from kepil.gateway.located import GatewayError, Located, read
from kepil.gateway.network_index import overlaps
from kepil.gateway.organisation import Organisation

FOLDER = "organisations"


@dataclass(frozen=True)
class Links:
    """Of an operator: the networks that traffic comes from over its links, and where that is stated, `file:line`."""

    networks: Sequence[IPv4Network]
    where: str


@dataclass(frozen=True)
class Ground:
    """What is known of addresses beside what organisations say themselves."""

    operators: Mapping[str, Links]
    listed: Sequence[Row] = ()
    """The catalogue."""


def folder(inventories: Path, environment: str) -> Path:
    """Where an environment's organisations lie."""
    return inventories / environment / FOLDER


def read_organisations(place: Path, categories: Categories, ground: Ground | None = None) -> dict[str, Organisation]:
    """The organisations in a folder by identity, the file's name without `.yml`.

    Raises GatewayError that names file and line of everything that is wrong, in any of them and between them.
    """
    files: dict[str, Located[Organisation]] = {}
    problems: list[str] = []
    for path in sorted(place.glob("*.yml")):
        try:
            files[path.stem] = read(path, Organisation)
        except GatewayError as error:
            problems.append(str(error))
    problems += _contradictions(files, categories, ground)
    if problems:
        raise GatewayError("; ".join(problems))
    return {identity: file.value for identity, file in files.items()}


def check_together(files: Mapping[str, Located[Organisation]], categories: Categories, ground: Ground) -> None:
    """Raise GatewayError where organisations contradict each other, or what is known of addresses."""
    if problems := list(_contradictions(files, categories, ground)):
        raise GatewayError("; ".join(problems))


def _contradictions(
    files: Mapping[str, Located[Organisation]], categories: Categories, ground: Ground | None
) -> Iterator[str]:
    yield from _same_bin(files)
    yield from _overlapping(files)
    for file in files.values():
        for number, name in enumerate(file.value.categories):
            if name in categories.unknown([name]):
                yield (
                    f"{file.at('categories', number)}: '{name}' is no category that can be allowed; "
                    f"there are {', '.join(sorted(categories.ordinary))}"
                )
        if ground is not None:
            yield from _elsewhere(file, ground.operators)
    if ground is not None:
        yield from _listed_of_others(files, ground.listed)


def _same_bin(files: Mapping[str, Located[Organisation]]) -> Iterator[str]:
    seen: dict[str, Located[Organisation]] = {}
    for file in files.values():
        first = seen.setdefault(file.value.bin, file)
        if first is not file:
            yield f"{file.at('bin')}: BIN {file.value.bin} is also at {first.at('bin')}; keep one file an organisation"


def _overlapping(files: Mapping[str, Located[Organisation]]) -> Iterator[str]:
    stated = [
        (network, file.at("networks", number))
        for file in files.values()
        for number, network in enumerate(file.value.networks)
    ]
    for (broad, one), (narrow, other) in overlaps(stated):
        yield f"{other}: {narrow} overlaps {broad} at {one}; an address has one owner: correct one of them"


def _elsewhere(file: Located[Organisation], operators: Mapping[str, Links]) -> Iterator[str]:
    name = file.value.operator
    if name not in operators:
        yield f"{file.at('operator')}: '{name}' is not in gateway_operators ({', '.join(sorted(operators))})"
        return
    for number, network in enumerate(file.value.networks):
        if not any(network.subnet_of(each) for each in operators[name].networks):
            yield (
                f"{file.at('networks', number)}: {network} is not in the networks of operator {name} at "
                f"{operators[name].where}; correct one of them"
            )


def _listed_of_others(files: Mapping[str, Located[Organisation]], listed: Sequence[Row]) -> Iterator[str]:
    """Threat: a valid applicant names a network that the catalogue knows as another's."""
    known = [(row.network, (row.bin, row.where, True)) for row in listed]
    stated = [
        (network, (file.value.bin, file.at("networks", number), False))
        for file in files.values()
        for number, network in enumerate(file.value.networks)
    ]
    for (one, (its, here, one_listed)), (other, (their, there, other_listed)) in overlaps([*known, *stated]):
        if its != their and one_listed != other_listed:
            yield f"{there}: {other} of BIN {their} overlaps {one} of BIN {its} at {here}; an address has one owner"
