"""Whatever is done to a journal behind its back is found; what it wrote itself is not complained of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest

from kepil.journal.chain import GENESIS, Journal, JournalError, canonical

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
Lines = list[bytes]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "log.jsonl", clock=lambda: NOON)
    for word in ("one", "two", "three"):
        made.append(word, {"note": word, "мәні": 1})
    return made


def lines(journal: Journal) -> Lines:
    return journal.path.read_bytes().splitlines(keepends=True)


def chained(previous: bytes, number: int) -> bytes:
    """An entry that fits after another, as someone might write it by hand."""
    return canonical({"number": number, "time": "", "event": "x", "data": {}, "previous": sha256(previous).hexdigest()})


@pytest.mark.clause("CP-5.4")
def test_entries_are_read_as_they_were_written(journal: Journal) -> None:
    entries = journal.entries()
    assert [(e.number, e.event, e.data) for e in entries] == [
        (n, word, {"note": word, "мәні": 1}) for n, word in enumerate(("one", "two", "three"), start=1)
    ]
    assert {e.time for e in entries} == {"2026-11-21T12:00:00Z"}


def test_the_chain_can_be_followed_with_sha256_alone(journal: Journal) -> None:
    written = lines(journal)
    assert json.loads(written[0])["previous"] == GENESIS
    for before, after in pairwise(written):
        assert json.loads(after)["previous"] == sha256(before).hexdigest()
    assert journal.head.read_text() == f"3 {sha256(written[-1]).hexdigest()}\n"


@pytest.mark.clause("CP-5.4")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: [x[0].replace(b"one", b"ONE"), *x[1:]], "line 2: its 'previous'"),
        (lambda x: [*x[:2], x[2].replace(b"three", b"four!")], "the end was removed or changed"),
        (lambda x: x[1:], "line 1: it calls itself entry 2"),
        (lambda x: [x[0], x[2]], "line 2: it calls itself entry 3"),
        (lambda x: x[:2], None),
        (lambda x: x[:1], "ends with entry 1"),
        (lambda _: [], "ends with entry 0"),
        (lambda x: [x[1], x[0], x[2]], "line 1: it calls itself entry 2"),
        (lambda x: [*x, x[2]], "line 4: it calls itself entry 3"),
        (lambda x: [*x, b'{"event":"free"}\n'], "line 4: it is not an entry"),
        (lambda x: [*x, b"free\n"], "line 4: it is not JSON"),
        (lambda x: [*x, b"3\n"], "line 4: it is not an entry"),
        (lambda x: [*x, chained(b"other", 4)], "line 4: its 'previous'"),
        (lambda x: [*x, chained(x[2], 4), chained(chained(x[2], 4), 5)], "ends with entry 5"),
        (lambda x: [x[0].replace(b",", b", "), *x[1:]], "line 1: it is not an entry"),
        (lambda x: [*x[:2], x[2][:-9]], "line 3: it was cut off"),
    ],
)
def test_what_is_changed_behind_its_back_is_found(
    journal: Journal, change: Callable[[Lines], Lines], reason: str | None
) -> None:
    journal.path.write_bytes(b"".join(change(lines(journal))))
    with pytest.raises(JournalError, match=reason or "the end was removed") as caught:
        journal.entries()
    assert str(journal.path) in str(caught.value)
    before = journal.path.read_bytes()
    with pytest.raises(JournalError):
        journal.append("more", {})
    assert journal.path.read_bytes() == before


def test_a_removed_journal_is_missed(journal: Journal) -> None:
    journal.path.unlink()
    with pytest.raises(JournalError, match="ends with entry 0"):
        journal.entries()


def test_a_removed_head_is_missed(journal: Journal) -> None:
    journal.head.unlink()
    with pytest.raises(JournalError, match="says 'nothing'"):
        journal.entries()


def test_a_stop_between_entry_and_head_is_no_damage(journal: Journal) -> None:
    head = journal.head.read_text()
    journal.append("four", {})
    journal.head.write_text(head)
    assert [e.event for e in journal.entries()][-1] == "four"
    assert journal.append("five", {}).number == 5
    assert journal.head.read_text().startswith("5 ")


def test_a_stop_after_the_first_entry_is_no_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "log.jsonl")
    journal.append("one", {})
    journal.head.unlink()
    assert journal.append("two", {}).number == 2


def test_a_failed_write_leaves_nothing_half_done(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    before = journal.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        journal.append("four", {})
    monkeypatch.undo()
    assert journal.path.read_bytes() == before
    assert journal.append("four", {}).number == 4


def test_what_is_no_number_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append("bad", {"value": float("nan")})
    assert len(journal.entries()) == 3


def test_processes_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "log.jsonl"
    program = (
        "import sys; from pathlib import Path; from kepil.journal.chain import Journal\n"
        "for n in range(20): Journal(Path(sys.argv[1])).append('turn', {'who': sys.argv[2]})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(path), who]) for who in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(Journal(path).entries()) == 60


def test_an_entry_that_was_cut_off_is_taken_off_and_told(journal: Journal) -> None:
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"data":{},"ev')
    assert journal.recover() == b'{"data":{},"ev'
    assert journal.path.read_bytes() == whole
    assert journal.append("four", {}).number == 4
    assert journal.recover() == b""


def test_recovery_excuses_nothing_else(journal: Journal) -> None:
    written = lines(journal)
    for changed in ([*written[:2], b"{"], [written[0], written[2], b"{"], [*written[:2], written[2][:-1]]):
        journal.path.write_bytes(b"".join(changed))
        with pytest.raises(JournalError):
            journal.recover()
        assert journal.path.read_bytes() == b"".join(changed)


def test_who_has_not_seen_the_last_entry_adds_nothing(journal: Journal) -> None:
    seen = journal.entries()[-1].sha256
    journal.append("four", {}, after=seen)
    with pytest.raises(JournalError, match="another process has written to it meanwhile"):
        journal.append("five", {}, after=seen)
    assert [entry.event for entry in journal.entries()][-1] == "four"
