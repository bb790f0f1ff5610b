"""Organisations, categories and a policy to try on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.gateway.category import Categories
from kepil.gateway.organisation import Organisation

PROJECT = Path(__file__).parents[3]
STATED = yaml.safe_load((PROJECT / "inventories/common/group_vars/gateway/gateway.yml").read_text(encoding="utf-8"))
BIN = "180540012343"
OTHER_BIN = "960340000019"
APPLICATION = "a" * 64

FILE = f"""\
name: Ministry of Tests
bin: "{BIN}"
operator: telecom
contact: it@ministry.example.kz
networks:
  - 198.18.10.0/24
  - 198.18.12.0/25
categories: [government, finance, news, uncategorised]
exceptions:
  - service: Remote work
    destinations: [203.0.113.7]
    protocol: udp
    port: 500
    application: {APPLICATION}
valid_from: 2026-11-21
valid_until: 2027-11-20
application:
  sha256: {APPLICATION}
  dated: 2026-11-18
  received: 2026-11-19
"""


@pytest.fixture(scope="session")
def categories() -> Categories:
    """The categories that the inventory states."""
    return Categories.load(STATED["gateway_categories"])


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write an organisation's file with words replaced, and give its path."""

    def make(name: str = "ministry", words: dict[str, str] | None = None) -> Path:
        text = FILE
        for old, new in (words or {}).items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "organisations" / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


def organisation(**changes: Any) -> Organisation:
    """An organisation as it is after enrolment."""
    return Organisation.model_validate(
        {
            "name": "Ministry of Tests",
            "bin": BIN,
            "operator": "telecom",
            "contact": "it@ministry.example.kz",
            "networks": ["198.18.10.0/24"],
            "categories": ["government", "finance", "news", "uncategorised"],
            "valid_from": date(2026, 11, 21),
            "valid_until": date(2027, 11, 20),
            "application": {"sha256": APPLICATION, "dated": date(2026, 11, 18), "received": date(2026, 11, 19)},
        }
        | changes
    )
