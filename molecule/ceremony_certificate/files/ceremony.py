"""ceremony.py FOLDER ENVIRONMENT: rehearse a root ceremony with a stand-in; hierarchies come as JSON on stdin.

It leaves the bundle in FOLDER/bundles, the people's keys in FOLDER/people, and prints the path of the certificate.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from kepil.ceremony.definition import read_definition
from kepil.ceremony.on_estate import rehearse
from kepil.ceremony.plan import make_plan
from kepil.ceremony.stand_in import StandIn

SCRIPT = Path(__file__).parents[3] / "playbooks/ceremonies/scripts/root.yml"


def main(folder: Path, environment: str) -> None:
    """Hold it, with a module of its own."""
    plan = make_plan(read_definition(SCRIPT), environment, json.load(sys.stdin))
    with tempfile.TemporaryDirectory() as module, redirect_stdout(sys.stderr):
        bundle = rehearse(folder, plan, StandIn(Path(module), plan))
    print(next((bundle or folder).glob("files/*.crt")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
