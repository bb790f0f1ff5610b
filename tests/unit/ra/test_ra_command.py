"""`kepil ra`, as officers at a branch use it, against the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import pem

from kepil.cli import main
from kepil.ra.https import Answer, UnreachableError
from tests.unit.ra.conftest import Branch, Line, through

SETTINGS = {"url": "https://ra01.example.test:8443", "certificate": "/o.crt", "key": "/o.key", "ca": "/ca.crt"}

Run = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "ra-client.json"
    path.write_text(json.dumps(SETTINGS), "utf-8")
    return path


@pytest.fixture
def run(branch: Branch, settings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as an officer; returns exit status, what it printed (read as JSON where it is) and its errors."""
    monkeypatch.setenv("KEPIL_RA_SETTINGS", str(settings))

    def run(officer: str, *words: str) -> tuple[int, Any, str]:
        branch.client.headers["X-Officer"] = officer
        monkeypatch.setattr("kepil.commands.ra.sender", lambda door: through(branch.client))
        status = main(["ra", *words])
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if printed.out.startswith("{") else printed.out, printed.err

    return run


@pytest.fixture
def apply(tmp_path: Path, new_request: Callable[[], bytes]) -> list[str]:
    """The words of an application with a new key."""
    (tmp_path / "request.pem").write_bytes(pem.armor("CERTIFICATE REQUEST", new_request()))
    (tmp_path / "application.pdf").write_bytes(b"signed")
    files = ("--request", f"{tmp_path}/request.pem", "--document", f"{tmp_path}/application.pdf")
    return ["apply", "--profile", "natural-person", "--authority", "nca-rsa", "--email", "asan@example.kz", *files]


def test_a_branchs_day(run: Run, apply: list[str], tmp_path: Path) -> None:
    status, made, _ = run("registrar-1", *apply)
    assert (status, made["state"]) == (0, "submitted")
    assert run("registrar-1", *apply)[1]["id"] == made["id"], "sent twice, entered once"
    assert [each["id"] for each in run("approver-1", "list", "--state", "submitted")[1]["items"]] == [made["id"]]
    checked = run("approver-1", "check", made["id"])[1]
    approved = run("approver-1", "approve", made["id"], "--request-sha256", checked["request_sha256"])[1]
    assert approved["state"] == run("registrar-1", "show", made["id"])[1]["state"] == "issued"
    assert run("registrar-1", "fetch", made["id"])[1].count("BEGIN CERTIFICATE") == 2
    assert run("registrar-1", "fetch", made["id"], "--out", f"{tmp_path}/certificate.pem")[0] == 0
    assert "BEGIN CERTIFICATE" in (tmp_path / "certificate.pem").read_text("ascii")
    document = ("--document", f"{tmp_path}/application.pdf")
    revoked = run("revoker-1", "revoke", approved["serial"], "--reason", "keyCompromise", *document)[1]
    assert revoked["serial"] == approved["serial"]
    assert run("auditor-1", "journal")[1]["items"][-1]["act"] == "certificate.revoke"


def test_a_refusal_says_why_and_what_to_do(run: Run, apply: list[str]) -> None:
    made = run("registrar-1", *apply)[1]
    status, printed, error = run("approver-1", "approve", made["id"], "--request-sha256", "f" * 64)
    assert (status, printed) == (1, "")
    assert error.startswith("kepil: request-changed: ")
    assert "Check the application again" in error
    assert run("approver-1", "reject", made["id"], "--reason", "withdrawn")[1]["state"] == "rejected"
    assert run("registrar-1", "show", "../journal")[0] == 1


def test_what_may_succeed_later_has_a_status_of_its_own(
    run: Run, apply: list[str], line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("registrar-1", *apply)[1]
    checked = run("approver-1", "check", made["id"])[1]
    serial = run("approver-1", "approve", made["id"], "--request-sha256", checked["request_sha256"])[1]["serial"]
    line.down = True
    status, _, error = run("registrar-1", "fetch", made["id"])
    assert (status, "authority-unavailable" in error) == (3, True), serial

    def unreachable(_door: Any) -> Callable[..., Answer]:
        def send(*_words: Any) -> Answer:
            raise UnreachableError("does not answer")

        return send

    monkeypatch.setattr("kepil.commands.ra.sender", unreachable)
    assert main(["ra", "list"]) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{}", "url: Field required"),
        (json.dumps(SETTINGS | {"url": "http://a"}), "url: String"),
    ],
)
def test_settings_that_cannot_be_used(
    tmp_path: Path, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ra.json"
    if content:
        path.write_text(content, "utf-8")
    assert main(["ra", "list", "--settings", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_wrong_usage() -> None:
    for words in (["approve", "x"], ["reject", "x", "--reason", "whim"], ["revoke", "00", "--reason", "cACompromise"]):
        with pytest.raises(SystemExit) as left:
            main(["ra", *words])
        assert left.value.code == 2
