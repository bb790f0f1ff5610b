"""A token that an interrupted run of the same ceremony began is made anew; any other stays as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import PROJECT

SCRIPT = PROJECT / "playbooks/ceremonies/steps/clear_token.sh"
CEREMONY = "hsm-initialisation-20261130T040000Z"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with a token that this ceremony began, and what opens it."""
    token = tmp_path / "kepil-hsm/nca/0123"
    token.mkdir(parents=True)
    (token / "token.object").touch()
    (token.parent / "begun").write_text(CEREMONY)
    (tmp_path / "pins").mkdir()
    (tmp_path / "pins/hsm-nca.pin").write_text("secret")
    (tmp_path / "pins/hsm-ocsp.pin").write_text("secret")
    return tmp_path


def clear(host: Path) -> str:
    text = SCRIPT.read_text(encoding="utf-8").replace("/var/lib/kepil-hsm", str(host / "kepil-hsm"))
    told = {"PATH": "/usr/bin:/bin", "PARTITION": "nca", "PINS": str(host / "pins"), "CEREMONY": CEREMONY}
    done = subprocess.run(["sh", "-s"], input=text, env=told, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def left(host: Path) -> list[str]:
    return sorted(str(path.relative_to(host)) for path in host.rglob("*") if path.is_file())


def test_what_this_ceremony_began_goes_with_what_opens_it(host: Path) -> None:
    assert clear(host) == "removed"
    assert left(host) == ["pins/hsm-ocsp.pin"]
    assert clear(host) == ""


def test_it_may_have_been_killed_before_anything_opened_it(host: Path) -> None:
    (host / "pins/hsm-nca.pin").unlink()
    (host / "kepil-hsm/nca/0123/token.object").unlink()
    assert clear(host) == "removed"
    assert left(host) == ["pins/hsm-ocsp.pin"]


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("mark", [None, "", "hsm-initialisation-20251130T040000Z"])
def test_a_token_of_before_stays(host: Path, mark: str | None) -> None:
    """Threat: a record is lost, the ceremony is held again, and the partition with its keys is gone."""
    begun = host / "kepil-hsm/nca/begun"
    if mark is None:
        begun.unlink()
    else:
        begun.write_text(mark)
    before = left(host)
    assert clear(host) == ""
    assert left(host) == before
