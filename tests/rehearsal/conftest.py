"""The rehearsal's inventory, where other tests have the development estate's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from kepil.estate.inventory import environment_sources, read_listing

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def listing() -> dict[str, Any]:
    """The inventory as Ansible lists it."""
    os.chdir(PROJECT)
    return read_listing(environment_sources(Path("inventories"), "rehearsal"))
