"""Each of the estate's ceremonies, played as it is written, from the roll call to the proof; and no secret is told."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony import activation
from kepil.ceremony.desk import Unattended
from kepil.ceremony.engine import Ceremony
from kepil.ceremony.hold import hold
from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.rehearsal import rehearsal_people, seal_rehearsal
from kepil.ceremony.stand_in import StandIn
from kepil.ceremony.verify import verify_bundle
from kepil.signed.signatures import AllowedSigners

from .conftest import SCRIPTS, estates_plan


def rehearsed(name: str, folder: Path, keys: Path, hierarchies: dict[str, Any]) -> Ceremony:
    """A ceremony of the estate that has been played."""
    plan = estates_plan(name, hierarchies)
    people = rehearsal_people(plan, keys)
    ceremony = Ceremony.open(folder / "ceremony", plan, people)
    hold(ceremony, StandIn(folder / "module", plan), Unattended(keys))
    return ceremony


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("name", sorted(file.stem for file in SCRIPTS.glob("*.yml")))
def test_a_ceremony_is_played_to_its_proof(name: str, tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> None:
    ceremony = rehearsed(name, tmp_path, keys, hierarchies)
    seal_rehearsal(tmp_path, ceremony.people, keys)
    proved = verify_bundle(tmp_path / "bundle", AllowedSigners(keys / "allowed_signers", NAMESPACE))
    assert proved.outcome == "completed"
    made = {thing for step in ceremony.course.plan.steps for thing in step.makes}
    assert {f"certificate:{name}" for name in proved.vouches.values()} == {
        thing for thing in made if thing.startswith("certificate:")
    }


def everything(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.clause("CP-5.4")
def test_no_file_output_or_argument_of_a_whole_ceremony_holds_a_secret(
    tmp_path: Path,
    keys: Path,
    hierarchies: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Temporary files are looked at while they exist, each time that a program is started."""
    secrets: list[bytes] = []
    told: list[tuple[str, bytes]] = []
    real_run, real_secret, real_split = subprocess.run, activation.new_secret, activation.split

    def secret() -> bytes:
        made = real_secret()
        secrets.extend((made, made.hex().encode()))
        return made

    def split(*arguments: Any) -> list[str]:
        shares = real_split(*arguments)
        secrets.extend(share.encode() for share in shares)
        return shares

    def run(words: Any, **options: Any) -> Any:
        told.extend(("an argument", str(word).encode()) for word in words)
        told.extend((str(path), content) for path, content in everything(tmp_path / "tmp"))
        return real_run(words, **options)

    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("kepil.ceremony.stand_in.new_secret", secret)
    monkeypatch.setattr("kepil.ceremony.stand_in.split", split)
    monkeypatch.setattr(subprocess, "run", run)
    ceremony = rehearsed("hsm_initialisation", tmp_path, keys, hierarchies)
    seal_rehearsal(tmp_path, ceremony.people, keys)
    output = capfd.readouterr()
    told += [("the output", output.out.encode()), ("the errors", output.err.encode())]
    told += [(str(path), content) for path, content in everything(tmp_path)]
    assert len(secrets) == 4 * (2 + 3), "four partitions: a secret, its PIN and three shares each"
    assert not [where for where, content in told for word in secrets if word in content]
    assert (tmp_path / "module/root.custodian-1.cms").exists()
