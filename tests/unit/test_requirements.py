"""Galaxy requirements and the collections that the locked `ansible` package carries are the same."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]


def test_collections_are_those_of_the_ansible_package() -> None:
    wanted = yaml.safe_load((PROJECT / "requirements.yml").read_text())["collections"]
    listed = subprocess.run(
        ["ansible-galaxy", "collection", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    carried = {name: data["version"] for path in json.loads(listed.stdout).values() for name, data in path.items()}
    assert {item["name"]: item["version"] for item in wanted} == {
        item["name"]: carried[item["name"]] for item in wanted
    }
