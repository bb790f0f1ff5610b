"""Shares as the playbooks' acts handle them: split, handed out, opened by who is there, tried."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.activation import new_secret, pin
from kepil.cli import main

from .conftest import Hall

pytestmark = pytest.mark.clause("CP-6.4")
HOLDERS = ("custodian-1", "custodian-2")


class Acts:
    """Activation data of a partition, split between the custodians of a hall."""

    def __init__(self, hall: Hall, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        self.pin, self.shares, self.keys = folder / "hsm-nca.pin", folder / "shares", folder / "keys"
        self.pin.write_text(pin(new_secret()))
        people = {person.id: person.certificate for person in hall.people.people if person.id in HOLDERS}
        split = json.loads(self.said({"threshold": 2, "certificates": people}, "split", "--pin", self.pin))
        for place in (self.shares, self.keys):
            place.mkdir()
        for person, share in split["shares"].items():
            (self.shares / f"{person}.pem").write_text(share)
            shutil.copy(hall.keys / f"{person}.pem", self.keys)

    def run(self, given: Any, *words: str | Path) -> int:
        """The exit status; what is given is JSON on standard input."""
        self.monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(given)))
        return main(["ceremony", *map(str, words)])

    def said(self, given: Any, *words: str | Path) -> str:
        self.capsys.readouterr()
        assert self.run(given, *words) == 0
        return str(self.capsys.readouterr().out)

    def open(self, *words: str) -> str:
        return self.said(None, "open-shares", self.shares, "--keys", self.keys, *words)


@pytest.fixture
def acts(hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Acts:
    return Acts(hall, tmp_path, monkeypatch, capsys)


def test_opened_shares_give_the_activation_data(acts: Acts) -> None:
    opened = json.loads(acts.open())
    assert acts.run(opened, "try-shares", "--pin", acts.pin, "--threshold", "2") == 0
    acts.pin.write_text(pin(new_secret()))
    assert acts.run(opened, "try-shares", "--pin", acts.pin, "--threshold", "2") == 1
    assert "recover something else" in acts.capsys.readouterr().err


def test_who_is_missing_is_named_unless_enough_are_there(acts: Acts) -> None:
    (acts.keys / "custodian-2.pem").unlink()
    for enough in ((), ("--enough", "2")):
        assert acts.run(None, "open-shares", acts.shares, "--keys", acts.keys, *enough) == 1
        assert "no key, and no card's URI, of custodian-2" in acts.capsys.readouterr().err
    assert len(json.loads(acts.open("--enough", "1"))) == 1


def test_nobody_who_takes_no_part_gives_a_share(acts: Acts, tmp_path: Path) -> None:
    """Threat: one custodian is there, and the keys of the others lie in the folder."""
    record = tmp_path / "given.json"
    asked = ("--enough", "2", "--record", str(record))
    alone = ("open-shares", acts.shares, "--keys", acts.keys, "--person", "custodian-1", *asked)
    assert acts.run(None, *alone) == 1
    assert "2 shares are needed, and of those who are here custodian-1 holds one" in acts.capsys.readouterr().err
    assert not record.exists()
    both = json.loads(acts.open("--person", "custodian-1", "--person", "custodian-2", "--person", "other", *asked))
    assert acts.run(both, "try-shares", "--pin", acts.pin, "--threshold", "2") == 0
    assert json.loads(record.read_text()) == {"threshold": 2, "holders": ["custodian-1", "custodian-2"]}


def test_activation_data_that_are_gone_are_not_split(acts: Acts) -> None:
    acts.pin.unlink()
    assert acts.run({"threshold": 2, "certificates": {}}, "split", "--pin", acts.pin) == 1
    assert "what lay in memory alone is gone" in acts.capsys.readouterr().err


def test_recovered_activation_data_are_written_once_and_for_root_alone(acts: Acts, tmp_path: Path) -> None:
    there = tmp_path / "second.pin"
    opened = json.loads(acts.open())
    assert acts.run(opened[:1], "recover", "--pin", there, "--threshold", "2") == 1
    assert not there.exists()
    assert acts.run(opened, "recover", "--pin", there, "--threshold", "2") == 0
    assert there.read_text().strip() == acts.pin.read_text().strip()
    assert there.stat().st_mode & 0o777 == 0o600
    assert acts.run(opened, "recover", "--pin", there, "--threshold", "2") == 1
    assert "is there already" in acts.capsys.readouterr().err
