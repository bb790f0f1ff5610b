"""The watch as a gateway runs it: what the kernel saw, what was mailed, what is kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from kepil.gateway.blocked import read_blocked, write_blocked
from kepil.gateway.calendar import Calendar
from kepil.gateway.located import GatewayError
from kepil.gateway.watch import Event, Fact
from kepil.gateway.watching import message, read_facts, run, seen_by_kernel, untold, write_facts

AT = datetime(2026, 11, 16, 6, tzinfo=UTC)
SOURCE = IPv4Address("198.18.50.1")
LISTING = json.dumps(
    {
        "nftables": [
            {"metainfo": {"version": "1.1.3"}},
            {
                "set": {
                    "family": "inet",
                    "name": "unknown",
                    "timeout": 5184000,
                    "elem": [
                        {"elem": {"val": str(SOURCE), "expires": 5180400}},
                        {"elem": {"val": str(SOURCE + 1), "timeout": 7200, "expires": 0}},
                    ],
                }
            },
        ]
    }
)


def test_when_a_source_was_first_seen_is_what_passed_of_its_time() -> None:
    assert seen_by_kernel(LISTING, AT) == {SOURCE: AT - timedelta(hours=1), SOURCE + 1: AT - timedelta(hours=2)}
    assert seen_by_kernel(LISTING.replace('"elem": [{', '"el": [{'), AT) == {}
    with pytest.raises(GatewayError, match="cannot be read"):
        seen_by_kernel('{"nftables": []}', AT)


def test_facts_are_kept_as_they_are(tmp_path: Path) -> None:
    facts = {Fact(SOURCE, Event.SEEN, AT), Fact(SOURCE, Event.TOLD, AT, "telecom")}
    write_facts(tmp_path / "gw01", facts)
    write_facts(tmp_path / "gw02", list(facts)[::-1])
    assert read_facts(tmp_path / "gw01") == facts
    assert (tmp_path / "gw01").read_bytes() == (tmp_path / "gw02").read_bytes()
    assert read_facts(tmp_path / "nothing") == set()


@pytest.mark.parametrize("line", ["", "{}", '{"source": "x"}', "[1]"])
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "facts").write_text(f"{line}\n")
    with pytest.raises(GatewayError, match="facts:1: "):
        read_facts(tmp_path / "facts")


@pytest.mark.clause("GW-13")
def test_each_operator_is_mailed_one_list() -> None:
    told: list[tuple[str, list[IPv4Address]]] = []
    seen = {SOURCE: AT, SOURCE + 1: AT}
    facts = run(set(), seen, lambda _: False, lambda _: "telecom", lambda *what: told.append(what), Calendar(), AT)
    assert told == [("telecom", [SOURCE, SOURCE + 1])]
    run(facts, seen, lambda _: False, lambda _: "telecom", lambda *what: told.append(what), Calendar(), AT)
    assert len(told) == 1


def test_the_days_do_not_run_while_the_mail_was_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Threats: an operator is blocked of whom nobody asked anything; nobody knows that he was not told."""

    def fails(*_: object) -> None:
        raise OSError("no transport")

    facts = run(set(), {SOURCE: AT}, lambda _: False, lambda _: "telecom", fails, Calendar(), AT)
    assert {fact.event for fact in facts} == {Event.SEEN}
    assert capsys.readouterr().err == "kepil: operator telecom was not told of 1 sources: no transport\n"
    (line,) = untold(facts, lambda _: "telecom", Calendar(), AT)
    assert line.startswith("operator telecom is not yet told of 1 sources")
    (line,) = untold(facts, lambda _: None, Calendar(), AT)
    assert line.startswith(f"no operator has {SOURCE}")
    assert untold(facts | {Fact(SOURCE, Event.TOLD, AT, "telecom")}, lambda _: None, Calendar(), AT) == []


def test_the_gateway_that_stands_by_tells_nobody() -> None:
    facts = run(set(), {SOURCE: AT}, lambda _: False, lambda _: "telecom", None, Calendar(), AT)
    assert {fact.event for fact in facts} == {Event.SEEN}


def test_the_mail_names_addresses_and_the_last_day() -> None:
    mail = message("telecom", "a@telecom.kz", "gateway@example.kz", [SOURCE], AT, Calendar())
    text = mail.get_content()
    assert text.count("2026-11-23") == 3
    assert str(SOURCE) in text
    again = message("telecom", "a@telecom.kz", "gateway@example.kz", [SOURCE], AT, Calendar())
    assert mail["Message-ID"] == again["Message-ID"]


def test_blocked_sources_are_a_file_that_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "blocked"
    assert write_blocked(path, [SOURCE])
    assert not write_blocked(path, [SOURCE])
    assert read_blocked(path) == {SOURCE}
    path.write_text("198.18.0.300\n")
    with pytest.raises(GatewayError, match="blocked:1: "):
        read_blocked(path)
