"""Run one Molecule scenario: its output goes to a file that is shown if it fails; say what ran and how long."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

PHASES = ("check", "converge", "idempotence", "verify")
LONGEST_SECONDS = 1200


def main(name: str) -> int:
    """Exit status 0 when the scenario passed every phase, none of them missing."""
    log = Path("build/molecule") / f"{name}.log"
    started = time.monotonic()
    with log.open("w") as output:
        command = ["timeout", str(LONGEST_SECONDS), "molecule", "test", "--scenario-name", name]
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    seconds = time.monotonic() - started
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text())
    missing = [phase for phase in PHASES if not re.search(rf"{phase}: Executed: Successful", text)]
    if status != 0 or missing:
        print(text)
        print(f"role {name}: failed in {', '.join(missing) or 'destroy'} after {seconds:.0f} s ({log})", flush=True)
        return 1
    tests = re.findall(r"(\d+) passed", text)
    print(f"role {name}: {', '.join(PHASES)} passed, {tests[-1] if tests else 0} tests, {seconds:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
