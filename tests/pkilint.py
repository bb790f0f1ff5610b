"""pkilint, a linter of other hands, and the findings that are justified."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import yaml

WAIVERS = Path(__file__).with_name("pkilint_waivers.yml")


def findings(linter: str, *arguments: str) -> dict[str, str]:
    """What the linter found of any severity, code to place, less what the waiver file justifies."""
    done = subprocess.run(
        [linter, "lint", "--severity", "INFO", "--format", "JSON", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    waived = {entry["code"] for entry in yaml.safe_load(WAIVERS.read_text(encoding="utf-8"))}
    return {
        description["code"]: f"{description['severity']} {result['node_path']} {description['message'] or ''}"
        for result in json.loads(done.stdout)["results"]
        for description in result["finding_descriptions"]
        if description["code"] not in waived
    }
