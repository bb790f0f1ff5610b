"""What comes over a medium is used only if all of it is as two people signed it, for this ceremony, this way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.engine import Ceremony
from kepil.ceremony.hold import hold
from kepil.ceremony.medium import DIRECTIONS, Direction, MediumError, check_medium, sign_medium, write_medium
from kepil.ceremony.people import People
from kepil.cli import build_parser, main
from kepil.errors import KepilError
from kepil.journal.chain import canonical

from .conftest import Hall

AT = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)
CEREMONY, ENVIRONMENT = "issuing-20261121-100000", "production"


@pytest.fixture
def people(hall: Hall) -> People:
    return hall.people


@pytest.fixture
def medium(tmp_path: Path, hall: Hall) -> Path:
    """A request and a ceremony's folder, signed by an operator and the witness."""
    (tmp_path / "nca-rsa.csr").write_bytes(b"request")
    (tmp_path / "hall/files").mkdir(parents=True)
    (tmp_path / "hall/journal.jsonl").write_bytes(b"{}\n")
    (tmp_path / "hall/files/krnca-rsa.crt").write_bytes(b"certificate")
    written = tmp_path / "medium"
    write_medium(written, [tmp_path / "nca-rsa.csr", tmp_path / "hall"], CEREMONY, ENVIRONMENT, "to-root", AT)
    for who in ("operator-1", "witness-1"):
        sign_medium(written, who, hall.keys / who, hall.people, quiet=True)
    return written


def check(medium: Path, people: People, **changes: Any) -> Path:
    """As it arrives at the root's host."""
    given: dict[str, Any] = {
        "ceremony": CEREMONY,
        "environment": ENVIRONMENT,
        "direction": "to-root",
        "out": medium.parent / "in",
    }
    check_medium(medium, people, **given | changes)
    return medium.parent / "in"


def refused(medium: Path, people: People, reason: str, **changes: Any) -> None:
    with pytest.raises(KepilError, match=reason):
        check(medium, people, **changes)
    assert not (medium.parent / "in").exists()
    assert not list(medium.parent.glob(".in.*"))


@pytest.mark.clause("CP-6.1")
def test_what_was_written_arrives(medium: Path, people: People) -> None:
    arrived = check(medium, people)
    assert {str(path.relative_to(arrived)): path.read_bytes() for path in arrived.rglob("*") if path.is_file()} == {
        "nca-rsa.csr": b"request",
        "hall/journal.jsonl": b"{}\n",
        "hall/files/krnca-rsa.crt": b"certificate",
    }
    manifest = (medium / "manifest.json").read_bytes()
    assert manifest == canonical(json.loads(manifest))
    assert json.loads(manifest)["files"]["nca-rsa.csr"]["size"] == 7


@pytest.mark.clause("CP-2.4")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: (m / "files/nca-rsa.csr").unlink(), "nca-rsa.csr is missing"),
        (lambda m: (m / "files/nca-rsa.csr").write_bytes(b"Request"), "nca-rsa.csr was changed"),
        (lambda m: (m / "files/nca-rsa.csr").write_bytes(b"request2"), "nca-rsa.csr was changed"),
        (lambda m: (m / "files/autorun.inf").write_bytes(b""), "autorun.inf is not in its manifest"),
        (lambda m: (m / "files/hall/other").write_bytes(b""), "hall/other is not in its manifest"),
        (lambda m: shutil.rmtree(m / "files"), "hall/journal.jsonl is missing"),
        (lambda m: (m / "notes.txt").write_bytes(b""), "no part of a medium: notes.txt"),
        (lambda m: (m / "manifest.json").unlink(), "manifest.json: no plain file that can be read"),
        (lambda m: shutil.rmtree(m / "signatures"), "it has those of nobody"),
        (lambda m: (m / "signatures/witness-1.sig").unlink(), "it has those of operator"),
        (lambda m: (m / "signatures/operator-1.sig").unlink(), "it has those of witness"),
        (lambda m: (m / "signatures/witness-1.sig").write_bytes(b"x"), "no valid signature of 'witness-1'"),
        (
            lambda m: shutil.copy(m / "signatures/operator-1.sig", m / "signatures/witness-1.sig"),
            "no valid signature of 'witness-1'",
        ),
        (lambda m: (m / "signatures/witness-1.sig").rename(m / "signatures/nobody.sig"), "nobody took no part"),
        (lambda m: (m / "signatures/x").mkdir(), None),
    ],
)
def test_what_was_changed_on_the_way_is_refused(
    medium: Path, people: People, change: Callable[[Path], Any], reason: str | None
) -> None:
    change(medium)
    if reason is None:
        check(medium, people)
    else:
        refused(medium, people, reason)


@pytest.mark.parametrize("place", ["files/link", "files/nca-rsa.csr", "manifest.json", "signatures/witness-1.sig"])
@pytest.mark.parametrize("make", ["link", "pipe"])
def test_what_is_no_plain_file_is_refused(medium: Path, people: People, place: str, make: str) -> None:
    """A link to the very file is refused too: what it points to may be another one by the time it is read."""
    path = medium / place
    if path.exists():
        path.rename(medium.parent / "original")
    else:
        (medium.parent / "original").write_bytes(b"")
    path.symlink_to(medium.parent / "original") if make == "link" else os.mkfifo(path)
    refused(medium, people, "plain file")


def test_a_folder_that_is_a_link_is_refused(medium: Path, people: People) -> None:
    (medium / "files").rename(medium.parent / "files")
    (medium / "files").symlink_to(medium.parent / "files")
    refused(medium, people, "plain files and folders")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"environment": "rehearsal"}, "of environment production, not of"),
        ({"direction": "from-root"}, "of direction to-root, not of"),
        ({"ceremony": "issuing-20261122-100000"}, f"of ceremony {CEREMONY}, not of"),
        ({"since": AT + timedelta(seconds=1)}, "written 2026-11-21T10:00:00Z, before .*: an earlier crossing's"),
    ],
)
def test_a_medium_of_something_else_is_refused(
    medium: Path, people: People, changes: dict[str, Any], reason: str
) -> None:
    refused(medium, people, reason, **changes)


def resign(medium: Path, hall: Hall, change: Callable[[dict[str, Any]], Any], *who: str) -> None:
    """The manifest as somebody would write it who can have it signed."""
    stated = json.loads((medium / "manifest.json").read_bytes())
    change(stated)
    (medium / "manifest.json").write_bytes(canonical(stated))
    shutil.rmtree(medium / "signatures")
    for person in who or ("operator-1", "witness-1"):
        sign_medium(medium, person, hall.keys / person, hall.people, quiet=True)


@pytest.mark.parametrize("place", ["../outside", "/etc/passwd", "hall/../../outside", ".hidden", "a//b", "a/", ""])
def test_a_path_that_leads_outside_is_refused_though_it_is_signed(medium: Path, hall: Hall, place: str) -> None:
    resign(medium, hall, lambda stated: stated["files"].update({place: stated["files"]["nca-rsa.csr"]}))
    refused(medium, hall.people, "String should match pattern")
    assert not (medium.parent / "outside").exists()


def test_a_manifest_that_others_write_otherwise_is_refused(medium: Path, hall: Hall) -> None:
    resign(medium, hall, lambda stated: stated.update(note="x"))
    refused(medium, hall.people, "note: Extra inputs")
    resign(medium, hall, lambda stated: stated.pop("note"))
    check(medium, hall.people)
    shutil.rmtree(medium.parent / "in")
    text = (medium / "manifest.json").read_text()
    (medium / "manifest.json").write_text(text.replace(",", ", "))
    shutil.rmtree(medium / "signatures")
    for person in ("operator-1", "witness-1"):
        sign_medium(medium, person, hall.keys / person, hall.people, quiet=True)
    refused(medium, hall.people, "not as this project writes manifests")


@pytest.mark.clause("CP-6.1")
def test_who_has_no_part_in_carrying_cannot_sign(medium: Path, hall: Hall) -> None:
    with pytest.raises(MediumError, match="custodian-1 is custodian and signs no media"):
        sign_medium(medium, "custodian-1", hall.keys / "custodian-1", hall.people, quiet=True)
    with pytest.raises(MediumError, match="stranger took no part"):
        sign_medium(medium, "stranger", hall.keys / "auditor-1", hall.people, quiet=True)
    shutil.copy(medium / "signatures/witness-1.sig", medium / "signatures/custodian-1.sig")
    refused(medium, hall.people, "custodian-1 is custodian and signs no media")


def test_another_ones_key_under_the_witnesss_name_is_refused(medium: Path, hall: Hall) -> None:
    (medium / "signatures/witness-1.sig").unlink()
    sign_medium(medium, "witness-1", hall.keys / "operator-1", hall.people, quiet=True)
    refused(medium, hall.people, "no valid signature of 'witness-1'")


def test_nothing_is_replaced(medium: Path, hall: Hall) -> None:
    with pytest.raises(MediumError, match="never replaced"):
        write_medium(medium, [medium.parent / "nca-rsa.csr"], CEREMONY, ENVIRONMENT, "to-root", AT)
    with pytest.raises(KepilError, match="never replaced"):
        sign_medium(medium, "witness-1", hall.keys / "witness-1", hall.people, quiet=True)
    check(medium, hall.people)
    with pytest.raises(MediumError, match="in is there already and is never replaced"):
        check(medium, hall.people)


def test_what_cannot_be_carried_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "Upper").write_bytes(b"")
    for name, reason in (("link", "plain files and folders"), ("Upper", "files.Upper.*match pattern")):
        with pytest.raises(KepilError, match=reason):
            write_medium(tmp_path / "medium", [tmp_path / name], CEREMONY, ENVIRONMENT, "to-root", AT)
    with pytest.raises(FileNotFoundError):
        write_medium(tmp_path / "medium", [tmp_path / "nothing"], CEREMONY, ENVIRONMENT, "to-root", AT)
    assert not (tmp_path / "medium").exists()


@pytest.mark.clause("CP-6.1")
def test_a_ceremony_goes_on_where_it_was_carried(hall: Hall, tmp_path: Path) -> None:
    """Begun at one machine, carried to the root's, and held to its end there by the same people."""
    ceremony = hall.open()
    hall.until(ceremony, 3)
    identity, environment = ceremony.course.ceremony, hall.plan.environment
    medium = tmp_path / "medium"
    write_medium(medium, [hall.folder], identity, environment, "to-root", datetime.now(UTC))
    for who in ("operator-1", "witness-1"):
        sign_medium(medium, who, hall.keys / who, hall.people, quiet=True)
    check(medium, hall.people, ceremony=identity, environment=environment)
    shutil.rmtree(hall.folder)
    carried = Ceremony.resume(tmp_path / "in/ceremony", "Carried to the root's host")
    hold(carried, hall.module(), hall.desk())
    assert carried.course.outcome == "completed"


def test_from_the_command_line(hall: Hall, people: People, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people.write(tmp_path / "people.json")
    (tmp_path / "nca-rsa.crt").write_bytes(b"certificate")
    medium, known = str(tmp_path / "medium"), ["--people", str(tmp_path / "people.json")]
    crossing = ["--ceremony", CEREMONY, "--environment", ENVIRONMENT, "--direction", "from-root"]
    words = ["ceremony", "medium"]
    assert main([*words, "write", medium, str(tmp_path / "nca-rsa.crt"), *crossing]) == 0
    arrive = [*words, "check", medium, *known, *crossing, "--out", str(tmp_path / "in")]
    assert main(arrive) == 1
    assert "it has those of nobody: kepil ceremony medium sign" in capsys.readouterr().err
    for who in ("operator-1", "auditor-1"):
        assert main([*words, "sign", medium, "--person", who, "--key", str(hall.keys / who), *known]) == 0
    with pytest.raises(SystemExit, match="2"):
        main([*arrive, "--since", "yesterday"])
    assert main([*arrive, "--since", "2999-01-01T00:00:00Z"]) == 1
    assert main([*arrive, "--since", "2026-01-01T00:00:00Z"]) == 0
    assert f"{tmp_path / 'in'}: as auditor-1 and operator-1 signed it, written 20" in capsys.readouterr().out
    assert (tmp_path / "in/nca-rsa.crt").read_bytes() == b"certificate"


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_command_line_knows_the_directions(direction: Direction) -> None:
    crossing = ["--ceremony", "x", "--environment", "y", "--direction", direction]
    assert build_parser().parse_args(["ceremony", "medium", "write", "m", "f", *crossing]).direction == direction
