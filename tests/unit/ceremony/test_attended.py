"""A ceremony at a terminal: people type who they are, what was read aloud and what went otherwise."""

from __future__ import annotations

import builtins
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kepil.ceremony.desk import Terminal
from kepil.ceremony.documents.render import minutes
from kepil.ceremony.engine import Ceremony
from kepil.ceremony.shown import row_asked, typed_row

from .conftest import PROJECT, Hall

WHO, MEDIUM, ROW, DEVIATION = "Who signs?", "Who signs it as ", "Type row", "Deviation from the script"


class Seat:
    """A terminal at which somebody sits, with a ceremony on it."""

    def __init__(self, *words: str) -> None:
        self.screen, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kepil.cli", *words], cwd=PROJECT, stdin=other, stdout=other, stderr=other
        )
        os.close(other)
        self.seen = ""

    def asked(self) -> str | None:
        """The question that is on the screen now; None once the ceremony has let go of the terminal."""
        line = ""
        while not line.endswith(("') ", "empty: nobody) ", "(empty: none): ", "fingerprint: ")):
            try:
                read = os.read(self.screen, 1).decode("latin-1")
            except OSError:  # as Linux says that nobody has the other end open
                read = ""
            if not read:
                return None
            self.seen += read
            line = read if line.endswith("\n") else line + read
        return line

    def answer(self, words: str) -> None:
        os.write(self.screen, f"{words}\n".encode())


@pytest.mark.clause("CP-6.1")
def test_people_hold_a_ceremony_at_a_terminal(tmp_path: Path) -> None:
    """A stranger comes, the wrong one signs a medium, a wrong row is typed, something deviates: it is all written."""
    words = ("ceremony", "rehearse", "root", "--families", "rsa", "--folder", str(tmp_path), "--attended")
    seat = Seat(*words)
    wrong = {"person", "row", "deviation", "medium"}
    while question := seat.asked():
        course = Ceremony(tmp_path / "ceremony").course
        if question.startswith(WHO) and course.step and "person" in wrong:
            wrong.remove("person")
            seat.answer("passer-by")
        elif question.startswith(WHO):
            seat.answer(next(person.id for person in course.people.people if course.may_sign(person.id)))
        elif question.startswith(MEDIUM) and "medium" in wrong:
            wrong.remove("medium")
            seat.answer("custodian-1")
        elif question.startswith(MEDIUM):
            seat.answer(question.partition("(")[2].split(",")[0].split(";")[0])
        elif question.startswith(ROW):
            assert f"row {row_asked(course)} " in question
            seat.answer("0000 0000 0000 0000" if "row" in wrong else str(typed_row(course)))
            wrong.discard("row")
        else:
            assert question.startswith(DEVIATION)
            seat.answer("The seal's number was read twice" if "deviation" in wrong else "")
            wrong.discard("deviation")
    assert seat.process.wait() == 0, seat.seen
    assert not wrong
    assert "passer-by is no participant: " in seat.seen
    entries = Ceremony(tmp_path / "ceremony").journal.entries()
    refused = [entry.data for entry in entries if entry.event == "refused"]
    (stranger,), (carrier,), (reader,) = (
        [one for one in refused if one["act"] == act and (one["role"] == "none") is unknown]
        for act, unknown in (("confirm", True), ("medium", False), ("confirm", False))
    )
    assert (stranger["person"], stranger["role"]) == ("passer-by", "none")
    assert stranger["reason"].startswith("passer-by is no participant: ")
    assert (carrier["person"], carrier["role"]) == ("custodian-1", "custodian")
    assert carrier["reason"].endswith("custodian-1 is no operator who wrote it of this ceremony: operator-1")
    row = "what was typed is not the row of the fingerprint that was asked for: read it again"
    assert reader["reason"] == f"{reader['person']}: {row}"
    notes = [entry.data["statement"].get("note") for entry in entries if entry.event == "confirm"]
    assert [note for note in notes if note] == ["The seal's number was read twice"]
    assert entries[-1].event == "close"
    crossed = Ceremony(tmp_path / "ceremony").course.media
    assert sorted(crossed) == ["krnca-rsa.crl", "krnca-rsa.crt"]
    assert {one.signed for _, one in crossed.values()} == {("operator-1", "witness-1")}


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An ssh-agent of its own, which holds no key yet."""
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL) as running:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        while not socket.exists():
            assert running.poll() is None
        yield
        running.terminate()


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """What people type, in turn."""
    replies = iter(words)
    monkeypatch.setattr(builtins, "input", lambda _: next(replies))


@pytest.mark.usefixtures("agent")
def test_a_key_that_only_the_agent_has_signs(hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a card: beside the terminal lies the public half alone."""
    here = tmp_path / "here"
    here.mkdir()
    shutil.copyfile(hall.keys / "auditor-1.pub", here / "auditor-1.pub")
    ceremony, desk = hall.open(), Terminal(here)
    typed(monkeypatch, "auditor-1", "auditor-1")
    with pytest.raises(StopIteration):  # nobody is left to come
        desk.sign(ceremony)
    assert [one.data["person"] for one in ceremony.journal.entries() if one.event == "refused"] == ["auditor-1"] * 2
    subprocess.run(["ssh-add", "-q", hall.keys / "auditor-1"], check=True, capture_output=True)
    typed(monkeypatch, "auditor-1")
    ceremony.accept(desk.sign(ceremony))
    assert ceremony.course.present == ["auditor-1"]


def test_what_a_stranger_types_is_one_line_and_no_command(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: what is typed clears the screen of who reads the journal; or nothing typed fills it."""
    ceremony = hall.open()
    typed(monkeypatch, "", "\x1b[2J\udcffeve\u2028x", "abort", "mallory")
    with pytest.raises(StopIteration):
        Terminal(hall.keys).sign(ceremony)
    refused = [one.data for one in ceremony.journal.entries() if one.event == "refused"]
    assert [(one["act"], one["person"]) for one in refused] == [("present", "[2Jeve x"), ("abort", "mallory")]
    assert "mallory: " not in minutes(ceremony.journal.entries(), "en")
    assert "mallory is no participant" in minutes(ceremony.journal.entries(), "en")
