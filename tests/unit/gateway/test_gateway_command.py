"""`kepil gateway`, as people type it."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from kepil.cli import main
from kepil.gateway.calendar import Calendar
from kepil.gateway.category import Categories
from kepil.gateway.register import Register
from tests.unit.gateway.conftest import BIN, OTHER_BIN, PROJECT
from tests.unit.gateway.test_lookup import collection


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("common/group_vars/gateway", "development"):
        shutil.copytree(PROJECT / "inventories" / part, tmp_path / "inventories" / part)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def table(categories: Categories, capsys: pytest.CaptureFixture[str]) -> str:
    collection(Path("lists"), categories, bank="bank.kz\n", games="games.kz\n", press="news.kz\n")
    assert main(["gateway", "import-lists", "--out", "table", "lists"]) == 0
    assert json.loads(capsys.readouterr().out)["lists"]["bank"] == 1
    return "table"


@pytest.mark.clause("GW-20")
@pytest.mark.parametrize(
    ("host", "at", "lines"),
    [
        ("online.bank.kz", "2027-01-01", ("finance (GW-20 number 1: finance and banking)", "splice: ", "(GW-20)")),
        ("news.kz", "2027-01-01", ("category: news", "bump: ", "(GW-20)")),
        ("www.games.kz", "2027-01-01", ("listed as games.kz", "with a page that says why", "category: games (GW-15)")),
        ("nowhere.kz", "2027-01-01", ("category: uncategorised", "bump: ")),
        ("a.gov.kz", "2027-01-01", ("GW-20 number 2", "splice: ")),
        ("news.kz", "2028-01-01", ("refuse: ", "calendar year is over (GW-15-1)")),
        ("cloudflare-ech.com", "2027-01-01", ("terminate: closed\n", "covers another one")),
    ],
)
def test_explain(table: str, capsys: pytest.CaptureFixture[str], host: str, at: str, lines: tuple[str, ...]) -> None:
    where = ["--environment", "development", "--table", table, "--at", f"{at}T00:00:00Z"]
    assert main(["gateway", "explain", "org01", host, *where]) == 0
    said = capsys.readouterr().out
    for line in lines:
        assert line in said


@pytest.mark.parametrize(
    ("who", "host", "reason"),
    [("org09", "a.kz", "no organisation 'org09'; there are org01"), ("org01", "https://a.kz/", "is no name of a host")],
)
def test_explain_names_what_is_wrong(
    table: str, capsys: pytest.CaptureFixture[str], who: str, host: str, reason: str
) -> None:
    assert main(["gateway", "explain", who, host, "--environment", "development", "--table", table]) == 1
    assert reason in capsys.readouterr().err


def test_the_policy_is_written_once(capsys: pytest.CaptureFixture[str]) -> None:
    changed = []
    for _ in range(2):
        assert main(["gateway", "policy", "--out", "policy.json"]) == 0
        changed.append(json.loads(capsys.readouterr().out)["changed"])
    assert changed == [True, False]


def test_a_catalogue_is_imported_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    export = Path("export.csv")
    export.write_text(f"network;bin\n198.18.10.0-198.18.10.10;{OTHER_BIN}\n198.18.10.11;{BIN}\n")
    command = ["gateway", "import-catalogue", "--operator", "telecom", "export.csv"]
    assert main(command) == 0
    assert "198.18.10.8/31" in Path("inventories/development/catalogue/telecom.csv").read_text()
    assert main(["gateway", "policy"]) == 0
    export.write_text("network;bin\n198.18.10.0/24;123\n")
    assert main(command) == 1
    assert "export.csv:2: '123' is no BIN" in capsys.readouterr().err
    assert main([*command[:3], "nobody", "export.csv"]) == 1


def test_what_was_applied_is_told_in_three_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "applied", "org01"]) == 0
    assert capsys.readouterr().out.count("198.18.10.11") == 3
    assert main(["gateway", "register"]) == 0


@pytest.mark.clause("GW-16")
def test_the_register_ends_with_one_while_an_application_is_late(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applications come in, one is decided: the limit of ten working days runs for the others, also for one that could
    not be decided, and whoever looks is told why."""
    register = Register(Path("enrolment/development"), Calendar())
    received = date(2026, 11, 2)  # a Monday; its limit is Monday the 16th
    for sha256 in ("a" * 64, "b" * 64, "c" * 64):
        register.receive(sha256, received, b"signed")
    register.put_off("b" * 64, "its certificate's status is not known")
    register.decide("c" * 64, "refused", note="someone else's signature")

    def printed(day: str) -> tuple[int, list[str]]:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.fromisoformat(f"{day}T12:00:00+05:00").astimezone(tz)

        monkeypatch.setattr("kepil.commands.gateway.datetime", Clock)
        status = main(["gateway", "register"])
        return status, [line.partition(f"{name * 16}")[2] for name, line in zip("abc", out(), strict=True)]

    def out() -> list[str]:
        return capsys.readouterr().out.splitlines()

    status, (waiting, undecided, refused) = printed("2026-11-16")
    assert (status, waiting, undecided) == (0, "", "  its certificate's status is not known")
    status, (waiting, undecided, refused) = printed("2026-11-17")
    assert (status, waiting, undecided) == (1, "  LATE", "  LATE  its certificate's status is not known")
    assert refused == "  someone else's signature"
    for sha256 in ("a" * 64, "b" * 64):
        register.decide(sha256, "applied", organisation="ministry")
    assert printed("2026-11-17")[0] == 0


def test_an_unknown_environment_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "policy", "--environment", "nowhere"]) == 1
    assert "environment 'nowhere'" in capsys.readouterr().err
