"""GW-15: an application that was signed under GOST is enrolled or refused, where OpenSSL knows GOST."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import iniconfig
import packaging
import pluggy
import pygments
import pytest

PROJECT = Path(__file__).parents[3]
FOLDER = "/root/molecule-gost/suite"
NEEDED = ("src/kepil", "tests/unit/gateway", "inventories/common/group_vars/gateway", "pyproject.toml")
TEST = "tests/unit/gateway/test_enrol.py::test_gost_signatures_are_verified_likewise"


@pytest.mark.clause("GW-15")
def test_gost_applications_are_enrolled_and_refused(host: Any, tmp_path: Path) -> None:
    """The unit test itself, which the controller of these scenarios cannot run; with the controller's pytest."""
    archive = tmp_path / "suite.tar"
    with tarfile.open(archive, "w") as tar:
        for name in NEEDED:
            tar.add(PROJECT / name, name)
        for library in (iniconfig, packaging, pluggy, pygments, pytest):
            folder = Path(str(library.__file__)).parent
            tar.add(folder, f"lib/{folder.name}")
        for name in ("_pytest", "py.py"):
            tar.add(Path(str(pytest.__file__)).parents[1] / name, f"lib/{name}")
    host.check_output(f"mkdir -p {FOLDER}")
    host.ansible("unarchive", f"src={archive} dest={FOLDER}", check=False)
    options = f"--quiet --confcutdir {FOLDER}/tests/unit -p no:cacheprovider --import-mode=importlib"
    done = host.run(f"cd {FOLDER} && PYTHONPATH=lib:src:. python3 -m pytest {options} {TEST}")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
