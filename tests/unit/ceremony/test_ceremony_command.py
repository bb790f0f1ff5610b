"""The command line: what people type before, during and after a ceremony."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.definition import Language, read_definition
from kepil.ceremony.desk import Terminal
from kepil.ceremony.engine import ActFailedError
from kepil.ceremony.hold import hold, progress
from kepil.ceremony.plan import make_plan
from kepil.ceremony.playbook import HOSTS, Playbook, PlaybookError
from kepil.ceremony.records import STAYS
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.shown import row_asked, rows
from kepil.ceremony.verify import Verified
from kepil.change.invocation import ENGINE, SIDES
from kepil.cli import main
from kepil.commands import ceremony as command
from kepil.journal.chain import Journal

from .conftest import SCRIPTS, Hall


@pytest.fixture(autouse=True)
def _project(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is the trial's, whatever the inventory says; that is `kepil estate`'s to read."""
    monkeypatch.setattr(command, "_planned", lambda *_: hall.plan)
    monkeypatch.setattr(command, "_refuse_unreached", lambda _: None)


def run(*words: str | Path) -> int:
    return main(["ceremony", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], reason: str, *words: str | Path) -> None:
    capsys.readouterr()
    assert run(*words) == 1
    assert reason in capsys.readouterr().err


def test_a_rehearsal_from_the_plan_to_the_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "rehearsal"
    assert run("rehearse", "trial", "--folder", folder) == 0
    told = capsys.readouterr().out
    assert "[0/4] Trial: awaited are operator-1, custodian-1, custodian-2, witness-1, auditor-1" in told
    assert "[2/4] key: Operator acts" in told
    assert told.count("[2/4] key: awaited are ") == 1, "nobody sits there to be called"
    assert "[4/4] Completed, and the journal is closed" in told
    assert run("status", folder / "ceremony") == 0
    assert "Completed, and the journal is closed" in capsys.readouterr().out
    signers = folder / "people/allowed_signers"
    assert run("verify", folder / "bundle", "--signers", signers) == 0
    told = capsys.readouterr().out
    assert "vouches for krnca-rsa: SHA-256 " in told
    entries = Journal(folder / "bundle/journal.jsonl").entries()
    began, ended = (one.time.replace("T", " ").removesuffix("Z") for one in (entries[0], entries[-1]))
    assert f"held from {began} to {ended} UTC: " in told
    assert "its time is not proved" in told
    journal = folder / "bundle/journal.jsonl"
    journal.write_text(journal.read_text().replace("Trial", "Tryal"))
    refused(capsys, "journal.jsonl: line 2: its 'previous'", "verify", folder / "bundle", "--signers", signers)


@pytest.mark.parametrize(
    ("seconds", "span"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 01 s"), (3600, "1 h 00 min 00 s"), (90061, "25 h 01 min 01 s")],
)
def test_how_long_a_ceremony_took_is_said(seconds: int, span: str) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    proved = Verified("trial", "trial", "completed", "", 1, began, began + timedelta(seconds=seconds), {})
    assert command._span(proved) == span


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "kk",
            [
                "[2/4] key: ә ғ қ ң ө ұ ү һ і: желісі бар хосттарда орындайды: Оператор",
                "күтілуде: Кастодиан (2), Куәгер (1)",
            ],
        ),
        ("ru", ["[2/4] key: ъ ы э: на хостах с сетью действует: Оператор", "ожидаются: Хранитель (2), Свидетель (1)"]),
    ],
)
def test_the_screen_speaks_the_peoples_language(hall: Hall, language: Language, lines: list[str]) -> None:
    ceremony = hall.open()
    hall.until(ceremony, 2)
    assert progress(ceremony.course, language) == lines[0]
    ceremony.perform(hall.module())
    assert lines[1] in progress(ceremony.course, language)


def test_an_interrupted_rehearsal_goes_on(hall: Hall, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hall.folder, hall.keys = tmp_path / "r/ceremony", tmp_path / "r/people"
    hall.people = rehearsal_people(hall.plan, hall.keys)
    hall.until(hall.open(), 2)
    assert run("rehearse", "trial", "--folder", tmp_path / "r") == 0
    told = capsys.readouterr().out
    assert "[1/4] Trial: awaited are operator-1" in told
    assert "[4/4] Completed, and the journal is closed" in told


def test_a_plan_is_written_once_and_printed(hall: Hall, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", "trial", "--out", plan) == 0
    assert hall.plan.sha256 in capsys.readouterr().out
    refused(capsys, "never replaced", "plan", "trial", "--out", plan)
    assert run("script", plan, "--out", tmp_path / "script") == 0
    assert sorted(path.name for path in (tmp_path / "script").iterdir()) == sorted(
        f"script-trial.{language}.{kind}" for language in ("kk", "ru", "en") for kind in ("html", "pdf")
    )


def test_a_bundle_is_packed_and_sealed_by_hand(hall: Hall, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ceremony = hall.open()
    bundle = tmp_path / "bundle"
    refused(capsys, "the ceremony is not over", "pack", hall.folder, "--out", bundle)
    hall.hold(ceremony)
    assert run("pack", hall.folder, "--out", bundle) == 0
    assert ceremony.course.head in capsys.readouterr().out
    refused(capsys, "is there already and is never replaced", "pack", hall.folder, "--out", bundle)
    for who in ("witness-1", "custodian-2"):
        assert run("seal", bundle, "--person", who, "--key", hall.keys / who) == 0
    hall.people.allowed_signers(tmp_path)
    assert run("verify", bundle, "--signers", tmp_path / "allowed_signers", "--head", ceremony.course.head) == 0


def test_nobody_at_the_terminal_holds_nothing(hall: Hall, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "nobody sits at this terminal", "hold", hall.folder, "--keys", hall.keys)


def test_to_begin_and_to_go_on_take_different_words(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kepil.ceremony.desk.at_terminal", lambda: True)
    refused(capsys, "to begin, name --plan and --people", "hold", hall.folder, "--keys", hall.keys)
    hall.open()
    refused(capsys, "say why it was interrupted", "hold", hall.folder, "--keys", hall.keys)


def test_people_at_the_terminal_see_what_they_sign(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One types the wrong row, one is nobody, one comes twice: all of it is refused, and the ceremony goes on."""
    ceremony = hall.open()
    wrong = iter(["0000 0000 0000 0000"])

    def answers() -> Iterator[str]:
        yield "passer-by"
        yield "abort"
        yield "passer-by"
        while True:
            course = ceremony.course
            waiting = [person.id for person in course.people.people if course.may_sign(person.id)]
            yield waiting[0]
            if course.phase == "working" and course.step == 2:
                fingerprint = course.made["certificate:krnca-rsa"]["fingerprint"]
                yield next(wrong, rows(fingerprint)[row_asked(course) - 1])
            if course.phase == "working":
                yield "Nothing to say" if course.step == 3 else ""

    replies = answers()
    monkeypatch.setattr(builtins, "input", lambda _: next(replies))
    assert hold(ceremony, hall.module(), Terminal(hall.keys)).outcome == "completed"
    told = capsys.readouterr().out
    assert "passer-by is no participant" in told
    assert "refused, and in the journal: custodian-1: what was typed is not the row" in told
    assert "Trial: ә ғ қ ң ө ұ ү һ і" in told
    assert f"    1:  {rows(ceremony.course.made['certificate:krnca-rsa']['fingerprint'])[0]}" in told


def test_people_at_the_terminal_abort(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ceremony = hall.open()
    hall.until(ceremony, 3)
    replies = iter(
        ["abort", "custodian-1", "Seal broken", "abort", "witness-1", "I saw it", "custodian-1", "witness-1"]
    )
    monkeypatch.setattr(builtins, "input", lambda _: next(replies))

    class Broken:
        def perform(self, *_: object) -> dict[str, object]:
            raise PlaybookError("the module does not answer")

        remove = hall.module().remove

    assert hold(ceremony, Broken(), Terminal(hall.keys)).outcome == "aborted"
    assert "the module does not answer" in capsys.readouterr().out


FAKE = """#!/bin/sh
echo "$@" >> {log}
mkdir -p {folder}/account
cat {account} > {folder}/account/root.json
exit ${{STATUS:-0}}
"""
MODULE = {"make": "SoftHSM project", "model": "SoftHSM v2", "serial": "0a1b", "firmware": "2.6"}


@pytest.fixture
def fake(tmp_path: Path, hall: Hall) -> Path:
    """A stand-in for ansible-playbook."""
    path = tmp_path / "ansible-playbook"
    path.write_text(FAKE.format(log=tmp_path / "log", account=tmp_path / "account", folder=hall.folder))
    path.chmod(0o755)
    (tmp_path / "trial.yml").write_text("[]")
    (tmp_path / "account").write_text(json.dumps({"module": MODULE, "keys": {"old": "0" * 64}}))
    return path


def test_an_act_is_its_playbooks_tag(hall: Hall, tmp_path: Path, fake: Path) -> None:
    ceremony = hall.open()
    hall.until(ceremony, 1)
    ceremony.perform(Playbook(tmp_path / "trial.yml", tmp_path, [str(fake)], {"ceremony_keys": "here"}))
    told = (tmp_path / "log").read_text()
    assert f"{tmp_path / 'trial.yml'} --tags account --limit !root --extra-vars" in told
    assert f'"ceremony_keys": "here", "ceremony_hall": "{hall.folder}"' in told
    assert json.loads(told.partition("--extra-vars ")[2]).keys() <= ENGINE, "the change gate lets nothing else pass"
    assert set(HOSTS.values()) == SIDES, "nor another limit"
    assert ceremony.course.accounts == {"estate": [{"old": "0" * 64}], "root": []}
    assert [module.serial for module in ceremony.course.modules.values()] == ["0a1b"]


@pytest.mark.clause("CP-4.9")
def test_after_an_abort_the_roots_host_is_asked_for_its_crl(
    hall: Hall, tmp_path: Path, fake: Path, hierarchies: dict[str, Any]
) -> None:
    """Threat: the CRL was signed and never came out; here the old one lies, and the next CRL follows the other."""
    hall.plan = make_plan(read_definition(SCRIPTS / "root.yml"), "trial", {"rsa": hierarchies["rsa"]})
    hall.people = rehearsal_people(hall.plan, hall.keys)
    hall.open()
    for name in ("keys/krnca-rsa.json", "krnca-rsa.crl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"performed_at": "2020-01-01T00:00:00Z"}')
        os.utime(tmp_path / name, (0, 0))
    performer = Playbook(tmp_path / "trial.yml", tmp_path, [str(fake)])
    assert performer.remove("key:krnca-rsa", hall.folder).how == STAYS
    assert not (tmp_path / "log").exists()
    assert performer.remove("crl:krnca-rsa", hall.folder).how == STAYS
    assert '"ceremony_thing": "crl:krnca-rsa"' in (tmp_path / "log").read_text()
    assert "--tags remove --limit root " in (tmp_path / "log").read_text()


def test_a_playbook_that_fails_or_says_nothing_is_a_failed_act(
    hall: Hall, tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceremony = hall.open()
    hall.until(ceremony, 1)
    performer = Playbook(tmp_path / "trial.yml", tmp_path, [str(fake)])
    monkeypatch.setenv("STATUS", "2")
    with pytest.raises(ActFailedError, match="tag account: exit status 2"):
        ceremony.perform(performer)
    monkeypatch.setenv("STATUS", "0")
    for content, reason in (("", "no record that can be read"), ("[]", "it holds no mapping")):
        (tmp_path / "account").write_text(content)
        with pytest.raises(ActFailedError, match=reason):
            ceremony.perform(performer)
    with pytest.raises(PlaybookError, match="there is no such playbook"):
        Playbook(tmp_path / "other.yml", tmp_path)
    events = [entry.event for entry in Journal(ceremony.journal.path).entries()]
    assert events.count("failed") == 3


def test_a_journal_outlives_its_folders_name(hall: Hall, tmp_path: Path) -> None:
    hall.open()
    os.rename(hall.folder, tmp_path / "moved")
    assert run("status", tmp_path / "moved") == 0


def test_a_key_that_does_not_sign_is_asked_for_again(
    hall: Hall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A card that was not put in is no reason to begin the roll call anew."""
    ceremony = hall.open()
    desk = Terminal(tmp_path / "no-keys")
    replies = iter(["auditor-1", "auditor-1"])

    def reply(_: str) -> str:
        answer = next(replies)
        if "did not sign" in capsys.readouterr().out:
            desk.keys = hall.keys
        return answer

    monkeypatch.setattr(builtins, "input", reply)
    ceremony.accept(desk.sign(ceremony))
    assert ceremony.course.present == ["auditor-1"]
