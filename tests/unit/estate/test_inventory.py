"""A wrong inventory stops every Ansible command, with the file, the key, what it holds and what is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kepil.estate.inventory import all_variables, environment_sources, read_listing

PROJECT = Path(__file__).parents[3]
SOURCES = ("common", "development", "estate.kepil.yml")


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    """A copy of the inventories that a test may break."""
    return Path(shutil.copytree(PROJECT / "inventories", tmp_path / "inventories"))


def complaint(inventories: Path) -> str:
    """What Ansible says of the development inventory, which it must refuse."""
    sources = [inventories / name for name in SOURCES]
    done = subprocess.run(
        ["ansible-inventory", "--list", *(word for source in sources for word in ("-i", str(source)))],
        cwd=PROJECT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "development/group_vars/all/zones.yml",
            "198.18.3.0/24",
            "198.18.2.0/25",
            "estate_zones: hsm (198.18.2.0/24) and core (198.18.2.0/25) overlap; give each its own",
        ),
        (
            "common/group_vars/all/flows.yml",
            "from: ca, to: hsm",
            "from: organisation, to: hsm",
            "only hosts of status, core, registration that need a key reach zone hsm",
        ),
        (
            "development/hosts.yml",
            "ca01: {estate_hostnum: 11}",
            "ca01: {estate_hostnum: 999}",
            "ca01: estate_hostnum is 999; choose a free number from 2 to 254 in 198.18.3.0/24",
        ),
    ],
)
def test_the_file_is_named(inventories: Path, file: str, old: str, new: str, message: str) -> None:
    path = inventories / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    said = complaint(inventories)
    assert message in said
    assert f"{path}:" in said


@pytest.mark.parametrize(("environment", "second"), [("development", []), ("rehearsal", ["hsm02"]), ("production", [])])
def test_a_second_software_module_keeps_copies(environment: str, second: list[str]) -> None:
    """A vendor's modules are nobody's to configure but his."""
    listing = read_listing(environment_sources(PROJECT / "inventories", environment))
    assert listing.get("second_hsm", {}).get("hosts", []) == second


@pytest.mark.clause("CP-5.6")
def test_generations_are_what_the_environment_states(inventories: Path) -> None:
    """Who asks what issues is told the generation that does; who serves all is told of every one."""
    stated = inventories / "development/group_vars/all/generations.yml"
    stated.write_text("pki_generations: {rsa: {issuing: 2, ocsp: 2, tsp: 2, former: [{issuing: 1, ocsp: 1}]}}\n")
    everywhere = all_variables(read_listing([inventories / name for name in SOURCES]))
    assert everywhere["pki_hierarchies"]["rsa"]["issuing"]["name"] == "nca-rsa-2"
    served = [(each["stage"], each["issuing"]["name"]) for each in everywhere["pki_authorities"]]
    assert served == [("current", "nca-rsa-2"), ("former", "nca-rsa"), ("current", "nca-gost")]
    stated.write_text("pki_generations: {dsa: {issuing: 2}}\n")
    assert "pki_generations: no hierarchy dsa; there are rsa, gost, pq" in complaint(inventories)
