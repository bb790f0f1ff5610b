"""Run one Molecule scenario: its output goes to a file that is shown if it fails; say what ran and how long."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

PHASES = ("check", "converge", "idempotence", "verify")
LONGEST_SECONDS = 2400
BORDER = re.compile(r"[➜>] (?P<phase>\w+)[:\]] (?P<what>Executing$|Executed: )")
"""Where a phase begins or ends, with colours and without."""


def main(name: str) -> int:
    """Exit status 0 when the scenario passed every phase, none of them missing."""
    log = Path("build/molecule") / f"{name}.log"
    started = time.monotonic()
    status, seconds = run(name, log)
    total = time.monotonic() - started
    text = _plain(log.read_text())
    missing = [phase for phase in PHASES if not re.search(rf"{phase}: Executed: Successful", text)]
    if status != 0 or missing:
        print(text)
        print(f"role {name}: failed in {', '.join(missing) or 'destroy'} after {total:.0f} s ({log})", flush=True)
        return 1
    tests = re.findall(r"(\d+) passed", text)
    each = ", ".join(f"{phase} {taken:.0f}" for phase, taken in seconds.items())
    count = tests[-1] if tests else 0
    print(f"role {name}: {', '.join(PHASES)} passed, {count} tests, {total:.0f} s ({each})", flush=True)
    return 0


def run(name: str, log: Path) -> tuple[int, dict[str, float]]:
    """Exit status, and seconds by phase; the output is in `log`."""
    command = ["timeout", str(LONGEST_SECONDS), "molecule", "test", "--scenario-name", name]
    seconds: dict[str, float] = {}
    begun = time.monotonic()
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as molecule,
    ):
        for line in molecule.stdout or ():
            output.write(line)
            if not (found := BORDER.search(_plain(line).rstrip())):
                continue
            if found["what"] == "Executing":
                begun = time.monotonic()
            else:
                seconds[found["phase"]] = seconds.get(found["phase"], 0) + time.monotonic() - begun
    return molecule.returncode, seconds


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
