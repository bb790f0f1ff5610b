"""The policy that a gateway works by: one JSON file of organisations, catalogue and categories, taken whole or not.

The controller writes it from the inventory; a gateway reads it when it changes. It holds nothing secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, collapse_addresses
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from kepil.gateway.category import Categories, Category
from kepil.gateway.decision import Decision, Standing, Target, decide
from kepil.gateway.located import GatewayError, Stated
from kepil.gateway.network_index import NetworkIndex
from kepil.gateway.organisation import Organisation


class PolicyFile(Stated):
    """The file's content."""

    organisations: dict[str, Organisation]
    catalogue: tuple[IPv4Network, ...]
    """Networks that operators list, enrolled or not; those of organisations are listed by being here."""
    categories: dict[str, Category]


@dataclass(frozen=True)
class Policy:
    """The file, with indexes over its networks."""

    organisations: Mapping[str, Organisation]
    categories: Categories
    by_network: NetworkIndex[str]
    catalogue: NetworkIndex[bool]

    @classmethod
    def of(cls, stated: PolicyFile) -> Policy:
        """The policy that is stated; raises GatewayError where networks of two organisations overlap."""
        enrolled = [(net, name) for name, each in stated.organisations.items() for net in each.networks]
        known = collapse_addresses([*stated.catalogue, *(network for network, _ in enrolled)])
        try:
            by_network = NetworkIndex(enrolled)
        except ValueError as error:
            raise GatewayError(f"the policy's organisations: {error}; correct their files") from error
        catalogue = NetworkIndex((network, True) for network in known)
        return cls(stated.organisations, Categories(stated.categories), by_network, catalogue)

    def standing(self, source: IPv4Address, blocked: frozenset[IPv4Address] = frozenset()) -> Standing:
        """What the catalogue and the watch say of a source."""
        if self.catalogue.find(source):
            return Standing.CATALOGUED
        return Standing.BLOCKED if source in blocked else Standing.UNKNOWN

    def decide(
        self, source: IPv4Address, target: Target, at: datetime, blocked: frozenset[IPv4Address] = frozenset()
    ) -> Decision:
        """Decide about a connection from a source."""
        name = self.by_network.find(source)
        organisation = self.organisations[name] if name is not None else None
        return decide(source, self.standing(source, blocked), organisation, target, self.categories, at)


def write_policy(path: Path, stated: PolicyFile) -> bool:
    """Write the file in one step; whether it is another one than before. Equal policies are equal bytes."""
    ordered: dict[str, Any] = stated.model_dump(mode="json")
    content = json.dumps(ordered, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.chmod(0o644)
    fresh.replace(path)
    return True


def read_policy(path: Path) -> Policy:
    """The policy in a file; raises GatewayError where it is missing, cut off or contradicts itself."""
    try:
        return Policy.of(TypeAdapter(PolicyFile).validate_json(path.read_bytes()))
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror}; converge role gateway writes it") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise GatewayError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; converge role gateway writes it anew"
        ) from error
