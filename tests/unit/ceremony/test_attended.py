"""A ceremony at a terminal: people type who they are, what was read aloud and what went otherwise."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from kepil.ceremony.engine import Ceremony
from kepil.ceremony.shown import row_asked, typed_row

from .conftest import PROJECT

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
    """The wrong person comes, the wrong row is typed, something deviates: what was signed is in the journal."""
    words = ("ceremony", "rehearse", "root", "--families", "rsa", "--folder", str(tmp_path), "--attended")
    seat = Seat(*words)
    wrong = {"person", "row", "deviation"}
    while question := seat.asked():
        course = Ceremony(tmp_path / "ceremony").course
        if question.startswith(WHO) and course.step and "person" in wrong:
            wrong.remove("person")
            seat.answer("passer-by")
        elif question.startswith(WHO):
            seat.answer(next(person.id for person in course.people.people if course.may_sign(person.id)))
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
    assert [entry.data["reason"] for entry in entries if entry.event == "refused"] == [
        next(entry.data["person"] for entry in entries if entry.event == "refused")
        + ": what was typed is not the row of the fingerprint that was asked for: read it again"
    ]
    notes = [entry.data["statement"].get("note") for entry in entries if entry.event == "confirm"]
    assert [note for note in notes if note] == ["The seal's number was read twice"]
    assert entries[-1].event == "close"
    crossed = Ceremony(tmp_path / "ceremony").course.media
    assert sorted(crossed) == ["krnca-rsa.crl", "krnca-rsa.crt"]
    assert {one.signed for _, one in crossed.values()} == {("operator-1", "witness-1")}
