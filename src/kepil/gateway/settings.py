"""The gateway's variables as the inventory states them: `group_vars/gateway/gateway.yml`, common and its own."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from kepil.gateway import catalogue, organisations
from kepil.gateway.category import Categories, Category
from kepil.gateway.lists import read_overrides
from kepil.gateway.located import Day, Email, GatewayError, Identity, Stated, line_of
from kepil.gateway.organisation import Network
from kepil.gateway.policy import PolicyFile

FILE = Path("group_vars/gateway/gateway.yml")


class Operator(Stated):
    """A telecom operator that hands users' traffic over."""

    email: Email
    """Where lists of unknown sources go (GW-13)."""
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    """The networks that traffic comes from over the operator's links."""


class Settings(Stated):
    """What the inventory states of the gateway, for what runs on the controller."""

    gateway_categories: dict[str, Category]
    gateway_overrides: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    gateway_operators: dict[Identity, Operator] = Field(default_factory=dict)
    gateway_days_off: tuple[Day, ...] = ()
    gateway_working_days: tuple[Day, ...] = ()

    @property
    def categories(self) -> Categories:
        """The categories, checked."""
        return Categories(self.gateway_categories)

    @property
    def overrides(self) -> dict[str, frozenset[str]]:
        """Local overrides, checked."""
        return read_overrides(self.gateway_overrides, self.categories)

    def operator_of(self, source: IPv4Address) -> str | None:
        """The operator whose links an address comes over."""
        return next(
            (name for name, each in self.gateway_operators.items() if any(source in net for net in each.networks)), None
        )


def read_settings(inventories: Path, environment: str) -> Settings:
    """The variables that are the package's; a role's own are passed over. Raises GatewayError."""
    if not (inventories / environment).is_dir():
        raise GatewayError(f"environment '{environment}': there is no folder {inventories / environment}")
    stated: dict[str, Any] = {}
    for path in (inventories / "common" / FILE, inventories / environment / FILE):
        if path.exists():
            stated |= yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or {}
    mine = {key: _plain(value) for key, value in stated.items() if key in Settings.model_fields}
    try:
        return Settings.model_validate(mine)
    except ValidationError as error:
        first = error.errors()[0]
        raise GatewayError(f"{inventories}/*/{FILE}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def read_policy_file(inventories: Path, environment: str) -> PolicyFile:
    """The whole policy of an environment, checked against itself; raises GatewayError with files and lines."""
    settings = read_settings(inventories, environment)
    ground = read_ground(inventories, environment, settings)
    enrolled = organisations.read_organisations(
        organisations.folder(inventories, environment), settings.categories, ground
    )
    networks = {row.network for row in ground.listed}
    return PolicyFile(organisations=enrolled, catalogue=tuple(sorted(networks)), categories=settings.gateway_categories)


def read_ground(inventories: Path, environment: str, settings: Settings) -> organisations.Ground:
    """What is known of addresses: operators' networks, and the catalogue; raises GatewayError."""
    operators = {
        name: organisations.Links(
            each.networks, _stated_at(inventories, environment, "gateway_operators", name, "networks")
        )
        for name, each in settings.gateway_operators.items()
    }
    listed = catalogue.read_catalogue(inventories / environment / catalogue.FOLDER)
    return organisations.Ground(operators, [row for rows in listed.values() for row in rows])


def _stated_at(inventories: Path, environment: str, *key: str) -> str:
    """`file:line` of a variable's key, in the file that counts."""
    for path in (inventories / environment / FILE, inventories / "common" / FILE):
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CBaseLoader) if path.exists() else None
        if isinstance(node, yaml.MappingNode) and any(name.value == key[0] for name, _ in node.value):
            return f"{path}:{line_of(node, key)}"
    return key[0]


def _plain(value: Any) -> Any:
    """Dates that YAML guessed, as the text that was written."""
    if isinstance(value, list):
        return [str(each) if hasattr(each, "isoformat") else each for each in value]
    return value
