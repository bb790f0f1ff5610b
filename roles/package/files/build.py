"""Build the project's wheel, once for each content: prints {"version", "wheel", "built"} as JSON.

Usage: build.py PROJECT. The version is a hash over everything that goes into the wheel, so a wheel is built again only
when its content changes, and two machines with the same commit get the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# A fixed time stamp for the members of the archive (2020-01-01): the wheel depends on its content only.
ENVIRONMENT = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}


def content_version(project: Path) -> str:
    """First 16 hexadecimal digits of the hash over path and content of each file that the wheel is made from."""
    sources = [p for p in (project / "src" / "kepil").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    digest = hashlib.sha256()
    for path in sorted([*sources, *(project / name for name in ("pyproject.toml", "README.md", "LICENSE"))]):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(project)} {content}\n".encode())
    return digest.hexdigest()[:16]


def build(project: Path, target: Path) -> None:
    """Leave one wheel in `target`. Raises subprocess.CalledProcessError when the build fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        made = Path(scratch) / "made"
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(made)]
        subprocess.run(command, cwd=project, env=ENVIRONMENT, check=True, stdout=sys.stderr)
        try:
            made.rename(target)
        except OSError:  # another run finished the same content first
            if not target.is_dir():
                raise


def main() -> None:
    """Build if need be and say what there is."""
    project = Path(sys.argv[1])
    version = content_version(project)
    target = project / "build" / "wheel" / version
    missing = not target.is_dir()
    if missing:
        build(project, target)
    wheel = next(target.glob("kepil-*.whl"))
    json.dump({"version": version, "wheel": str(wheel), "built": missing}, sys.stdout)


if __name__ == "__main__":
    main()
