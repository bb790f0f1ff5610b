"""Categories of web resources: which there are, which are never decrypted (GW-20), which nobody may reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from kepil.gateway.located import GatewayError, Identity, Line, Stated

EXEMPT = {
    1: "finance and banking",
    2: "government and legal organisations",
    3: "health and wellness",
    4: "personal privacy",
    5: "video conferencing",
    6: "services updating the signatures of security tools",
    7: "services updating operating systems",
}
"""The categories that GW-20 excepts from analysis, by their number there."""

UNCATEGORISED = "uncategorised"
"""The category of a host that no list names."""


class Category(Stated):
    """What the inventory states of one category."""

    title: dict[Literal["kk", "ru", "en"], Line]
    """Its name for people, in Kazakh, Russian and English."""
    exempt: Annotated[int, Field(ge=1, le=7)] | None = None
    """Its number in GW-20: never decrypted."""
    malicious: bool = False
    """Nobody reaches it, whatever he applied for, and from wherever (LQ-A3-6)."""
    cover: bool = False
    """Names that clients show in the clear while they encrypt the real one (TLS Encrypted Client Hello)."""
    lists: tuple[Identity | Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")], ...] = ()
    """Names of imported lists that make it up."""

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.exempt is not None) + self.malicious + self.cover > 1:
            raise ValueError("is one of exempt, malicious and cover, not several; make two categories of it")
        if set(self.title) != {"kk", "ru", "en"}:
            raise ValueError("title: needs kk, ru and en")
        return self


class Categories:
    """All categories, by name; checked against GW-20 when made."""

    def __init__(self, categories: Mapping[str, Category]) -> None:
        missing = sorted(set(EXEMPT) - {category.exempt for category in categories.values()})
        if missing:
            named = ", ".join(f"{number} ({EXEMPT[number]})" for number in missing)
            raise GatewayError(f"gateway_categories: no category is GW-20's number {named}: give one `exempt` with it")
        if UNCATEGORISED not in categories:
            raise GatewayError(f"gateway_categories: '{UNCATEGORISED}' is missing: hosts that no list names have it")
        self.by_name = dict(sorted(categories.items()))
        self.exempt = frozenset(name for name, each in self.by_name.items() if each.exempt is not None)
        self.malicious = frozenset(name for name, each in self.by_name.items() if each.malicious)
        self.cover = frozenset(name for name, each in self.by_name.items() if each.cover)
        self.ordinary = frozenset(self.by_name) - self.malicious - self.cover
        """What an organisation can be allowed."""
        self.by_list = _by_list(self.by_name)

    @classmethod
    def load(cls, stated: Any) -> Categories:
        """The categories that the variable `gateway_categories` states; raises GatewayError."""
        try:
            return cls(TypeAdapter(dict[Identity, Category]).validate_python(stated))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise GatewayError(f"gateway_categories: {wrong}") from error

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no organisation can be allowed."""
        return [name for name in names if name not in self.ordinary]


def _by_list(categories: Mapping[str, Category]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, category in categories.items():
        for each in category.lists:
            if found.setdefault(each, name) != name:
                raise GatewayError(f"gateway_categories: list '{each}' is in {found[each]} and in {name}: leave one")
    return found
