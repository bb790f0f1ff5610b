"""All organisations of an environment: `inventories/<environment>/organisations/*.yml`, checked against each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kepil.gateway.category import Categories
from kepil.gateway.located import GatewayError, Located, read
from kepil.gateway.network_index import overlaps
from kepil.gateway.organisation import Organisation

FOLDER = "organisations"


def folder(inventories: Path, environment: str) -> Path:
    """Where an environment's organisations lie."""
    return inventories / environment / FOLDER


def read_organisations(
    place: Path, categories: Categories, operators: Sequence[str] | None = None
) -> dict[str, Organisation]:
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
    problems += _contradictions(files, categories, operators)
    if problems:
        raise GatewayError("; ".join(problems))
    return {identity: file.value for identity, file in files.items()}


def check_together(files: Mapping[str, Located[Organisation]], categories: Categories) -> None:
    """Raise GatewayError where organisations contradict each other."""
    if problems := list(_contradictions(files, categories, None)):
        raise GatewayError("; ".join(problems))


def _contradictions(
    files: Mapping[str, Located[Organisation]], categories: Categories, operators: Sequence[str] | None
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
        if operators is not None and file.value.operator not in operators:
            yield f"{file.at('operator')}: '{file.value.operator}' is not in gateway_operators ({', '.join(operators)})"


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
