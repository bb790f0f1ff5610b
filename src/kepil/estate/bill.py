"""The bill of an image: every package in it by name, version and SHA-256 of the file it came from (CycloneDX 1.6)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kepil.errors import KepilError

NAMESPACE = uuid.UUID("8d7c6b0e-2f0e-5b63-9a3f-6f5e2c1b7a10")
"""Of the bills' serial numbers: one that says the same has the same."""


class BillError(KepilError):
    """An image does not hold what its bill says; the message names every package that differs."""


@dataclass(frozen=True, order=True)
class Component:
    """A package. `sha256` is that of its .deb as the signed index has it, or of its wheel."""

    purl: str
    name: str
    version: str
    sha256: str
    source: str


def debian(installed: str, available: str, suite: str) -> Iterator[Component]:
    """What `dpkg-query` says is installed, each with what `apt-cache show` says of its .deb. Raises BillError.

    A line of `installed` is package, version, architecture, source package and its version, with tabs between.
    """
    known = {(one["Package"], one["Version"], one["Architecture"]): one.get("SHA256") for one in _stanzas(available)}
    for line in installed.splitlines():
        name, version, architecture, source, source_version = line.split("\t")
        found = known.get((name, version, architecture))
        if found is None:
            raise BillError(f"{name} {version} ({architecture}) is installed, and no index of the archive has it")
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='~.')}?arch={architecture}&distro={suite}"
        yield Component(purl, name, version, found, f"{source} {source_version}")


def _stanzas(text: str) -> Iterator[Mapping[str, str]]:
    for stanza in text.strip().split("\n\n"):
        fields = (line.partition(": ") for line in stanza.splitlines() if not line.startswith(" "))
        yield {key: value for key, _, value in fields}


def wheels(folder: Path) -> Iterator[Component]:
    """The Python wheels in a folder."""
    for path in sorted(folder.glob("*.whl")):
        name, version = path.name.split("-")[:2]
        digest = sha256(path.read_bytes()).hexdigest()
        yield Component(f"pkg:pypi/{name.lower().replace('_', '-')}@{version}", name, version, digest, path.name)


def cyclonedx(components: Iterable[Component], image: Path, at: datetime) -> bytes:
    """The bill of an image; the same components and the same image make the same bytes."""
    listed = [
        {
            "type": "library",
            "bom-ref": one.purl,
            "name": one.name,
            "version": one.version,
            "purl": one.purl,
            "hashes": [{"alg": "SHA-256", "content": one.sha256}],
            "properties": [{"name": "kepil:source", "value": one.source}],
        }
        for one in sorted(components)
    ]
    with image.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    described = {"type": "operating-system", "name": image.stem, "hashes": [{"alg": "SHA-256", "content": digest}]}
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"timestamp": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "component": described},
        "components": listed,
    }
    bill["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, json.dumps(bill, sort_keys=True))}"
    return json.dumps(bill, sort_keys=True, indent=1).encode() + b"\n"


def read(path: Path) -> dict[str, str]:
    """SHA-256 of every package of a bill, by its package URL. Raises BillError."""
    try:
        components = json.loads(path.read_bytes())["components"]
        return {one["purl"]: one["hashes"][0]["content"] for one in components}
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BillError(f"{path}: no bill of this project: {error}") from error


def compare(bill: Path, found: Iterable[Component]) -> None:
    """Raise BillError, with every difference, unless exactly what a bill lists was found."""
    expected, there = read(bill), {one.purl: one.sha256 for one in found}
    differences = [
        *(f"{purl} is missing" for purl in expected if purl not in there),
        *(f"{purl} is not in the bill" for purl in there if purl not in expected),
        *(f"{purl} has another SHA-256" for purl in there if there[purl] != expected.get(purl, there[purl])),
    ]
    if differences:
        raise BillError(
            f"not what {bill} lists: {'; '.join(sorted(differences))}. Name the mirror that has what it lists "
            "(KEPIL_DEBIAN_MIRROR), or build without it and have the new bill approved"
        )
