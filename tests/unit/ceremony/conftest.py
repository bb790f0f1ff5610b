"""A small ceremony that makes a key and a certificate, its people with SSH keys, and a stand-in for the HSM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
SCRIPTS = PROJECT / "playbooks/ceremonies/scripts"


@pytest.fixture(scope="session")
def hierarchies() -> dict[str, Any]:
    """The RSA and GOST hierarchies, as the inventory describes them."""
    file = PROJECT / "inventories/common/group_vars/all/hierarchies.yml"
    known = yaml.safe_load(file.read_text(encoding="utf-8"))["pki_hierarchies_known"]
    return {family: known[family] for family in ("rsa", "gost")}
