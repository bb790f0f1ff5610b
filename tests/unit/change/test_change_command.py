"""`kepil change` does what it says, or says why not and leaves nothing behind."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from kepil import cli
from kepil.change.record import TIME, read_record

from .conftest import ENVIRONMENT, SOURCES, Site

RUN = (
    *("--playbook", "playbooks/touch.yml", "--reason", "Try it", "--id", "first"),
    *(part for source in SOURCES for part in ("--inventory", source)),
)


def at(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).strftime(TIME)


@pytest.fixture(autouse=True)
def _in_the_project(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.path)


def change(verb: str, *arguments: str) -> int:
    return cli.main(["change", verb, ENVIRONMENT, *arguments])


def refused(capsys: pytest.CaptureFixture[str], reason: str, verb: str, *arguments: str) -> None:
    """The command ends with 1 and this reason."""
    capsys.readouterr()
    assert change(verb, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("kepil: ")
    assert reason in error


def key(site: Site, person: str) -> tuple[str, str]:
    return "--key", str(site.key(person))


def test_a_proposal_is_a_record_of_what_is_checked_out(site: Site) -> None:
    tags = ("--tags", "one,two", "--tags", "three", "--extra-vars", "mode=x", "--limit", "app01")
    assert change("propose", *RUN, *tags, "--until", at(2)) == 0
    record, _ = read_record(site.records / "first/record.yml")
    assert record.commit == site.git("rev-parse", "HEAD")
    assert (record.tags, record.extra_vars, record.limit) == (("one", "two", "three"), ("mode=x",), "app01")
    assert record.kind == "ordinary"
    assert record.inventory == SOURCES


def test_a_proposal_names_the_usual_sources_and_itself(site: Site) -> None:
    site.commit(**{"inventories/common/hosts.yml": "all: {}\n"})
    until = "2026-11-22T18:00:00Z"
    options = ("--playbook", "playbooks/touch.yml", "--reason", "x", "--from", "2026-11-21T18:00:00Z")
    assert change("propose", *options, "--until", until) == 0
    record, _ = read_record(site.records / "2026-11-21-touch/record.yml")
    assert record.inventory == ("inventories/common", f"inventories/{ENVIRONMENT}", "inventories/estate.kepil.yml")
    assert record.window.until.strftime(TIME) == until


def test_a_dirty_tree_is_not_proposed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.write("playbooks/touch.yml", "[]")
    refused(capsys, "not clean: playbooks/touch.yml", "propose", *RUN, "--until", at(1))
    refused(capsys, "not clean: playbooks/touch.yml", "break-glass", *RUN, *key(site, "change-manager"))
    assert not site.records.exists()


def test_what_cannot_be_run_is_not_proposed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "must end after it begins", "propose", *RUN, "--until", at(-1))
    refused(capsys, "at most 7 days", "propose", *RUN, "--until", at(200))
    missing = ("--playbook", "playbooks/none.yml", "--until", at(1))
    refused(capsys, "playbooks/none.yml is not in", "propose", *RUN, *missing)
    assert not site.records.exists()
    with pytest.raises(SystemExit) as ended:
        change("propose", *RUN, "--until", "tomorrow")
    assert ended.value.code == 2
    assert "'tomorrow' is no time in UTC" in capsys.readouterr().err


def test_a_record_is_never_replaced(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.propose()
    refused(capsys, "record.yml is there already and is never replaced", "propose", *RUN, "--until", at(1))


def test_outside_a_checkout_nothing_is_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(capsys, "not a git repository", "propose", *RUN, "--until", at(1))


def test_who_signs_sees_what(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = site.propose()
    monkeypatch.setattr(builtins, "input", lambda _: "yes")
    assert change("sign", "first", *key(site, "change-manager")) == 0
    shown = capsys.readouterr().out
    assert path.read_text() in shown
    assert sha256(path.read_bytes()).hexdigest() in shown
    assert "# commit: Author, " in shown
    assert "KEPIL_CHANGE=first ansible-playbook playbooks/touch.yml -i inventories/trial" in shown
    assert path.with_name("change-manager.sig").exists()


@pytest.mark.parametrize("answer", ["no", "y", ""])
def test_who_does_not_say_yes_does_not_sign(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str
) -> None:
    path = site.propose()

    def ask(_: str) -> str:
        if not answer:
            raise EOFError
        return answer

    monkeypatch.setattr(builtins, "input", ask)
    refused(capsys, "not signed", "sign", "first", *key(site, "change-manager"))
    assert not path.with_name("change-manager.sig").exists()


def test_nobody_signs_what_they_cannot_read(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.propose(commit="1" * 40)
    refused(capsys, "its commit is unknown here", "sign", "first", "--yes", *key(site, "change-manager"))
    refused(capsys, "did its folder arrive", "sign", "other", "--yes", *key(site, "change-manager"))


def test_verify_tells_whether_a_record_would_do(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    path = site.propose("change-manager")
    refused(capsys, "needs 2 different signers and has change-manager", "verify", "first")
    site.sign(path, "deputy-manager")
    assert change("verify", "first") == 0
    assert "ordinary, signed by change-manager, deputy-manager" in capsys.readouterr().out
    site.propose("change-manager", "deputy-manager", id="early", window={"from": at(1), "until": at(2)})
    assert change("verify", "early") == 0
    site.propose("change-manager", "deputy-manager", id="late", window={"from": at(-2), "until": at(-1)})
    refused(capsys, "the window is", "verify", "late")


def test_glass_that_a_stranger_breaks_leaves_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "no allowed signer's", "break-glass", *RUN, *key(site, "stranger"))
    assert not (site.records / "first").exists()
    refused(capsys, "at most 12:00:00", "break-glass", *RUN, *key(site, "change-manager"), "--hours", "13")


def test_without_broken_glass_there_is_nothing_to_review(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    refused(capsys, "no break-glass run is without a review", "review", "--finding", "x")


def test_a_broken_log_is_no_log(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.propose("change-manager", "deputy-manager")
    site.log().start(*site.examine(), check=True)
    assert change("log") == 0
    shown = capsys.readouterr().out
    assert "first: playbooks/touch.yml" in shown
    assert "dry run, by" in shown
    assert "interrupted, or not over" in shown
    assert f"head {site.log().journal.entries()[-1].sha256}" in shown
    log = site.log().journal.path
    log.write_text(log.read_text().replace("touch", "other"))
    refused(capsys, "the end was removed or changed", "log")
