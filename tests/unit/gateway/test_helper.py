"""What Squid is told: the pure decision, over a pipe, by facts that change while it runs."""

from __future__ import annotations

import io
import socket
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from kepil.gateway import helper
from kepil.gateway.blocked import write_blocked
from kepil.gateway.category import Categories
from kepil.gateway.helper import Facts, answer, serve
from kepil.gateway.lookup import build
from kepil.gateway.policy import PolicyFile, write_policy
from kepil.gateway.resolver import MOST, OUTLASTS, NoAnswerError, Resolver, ask
from tests.unit.gateway.conftest import STATED, organisation

OPEN = datetime(2027, 1, 15, 12, tzinfo=UTC)
NAMES = [("bank.kz", "finance"), ("news.kz", "news"), ("games.kz", "games"), ("evil.kz", "malware")]


def stated(*allowed: str) -> PolicyFile:
    enrolled = organisation(categories=allowed or ["finance", "news"])
    return PolicyFile.model_validate(
        {
            "organisations": {"ministry": enrolled.model_dump()},
            "catalogue": ["198.18.20.0/24"],
            "categories": STATED["gateway_categories"],
        }
    )


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def facts(tmp_path: Path, categories: Categories, told: list[str], monkeypatch: pytest.MonkeyPatch) -> Facts:
    monkeypatch.setattr(helper, "LOOKS_EVERY", 0.0)
    build(tmp_path / "table", NAMES, {}, categories)
    write_policy(tmp_path / "policy", stated())
    resolver = Resolver(lambda _: frozenset({IPv4Address("203.0.113.1")}))
    return Facts(tmp_path / "policy", tmp_path / "table", tmp_path / "blocked", told.append, resolver)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("198.18.10.1 203.0.113.1 bank.kz 443 tls splice", "OK exempt"),
        ("198.18.10.1 203.0.113.1 bank.kz 443 tls bump", "ERR exempt"),
        ("198.18.10.1 203.0.113.1 www.NEWS.kz 443 tls bump", "OK inspected"),
        ("198.18.10.1 203.0.113.1 games.kz 443 tls bump", "OK category-closed"),
        ("198.18.10.1 203.0.113.1 games.kz 443 tls page", "OK category-closed"),
        ("198.18.10.1 203.0.113.1 games.kz 443 tls pass", "ERR category-closed"),
        ("198.18.10.1 203.0.113.1 - 443 tls splice", "ERR name-missing"),
        ("198.18.10.1 203.0.113.1 - 443 tls bump", "ERR name-missing"),
        ("198.18.10.1 203.0.113.1 203.0.113.1 443 tls bump", "ERR name-missing"),
        ("198.18.10.1 evil.kz bank.kz 443 tls splice", "ERR name-mismatch"),
        ("198.18.10.1 bank.kz bank.kz 443 tls splice", "OK exempt"),
        ("198.18.10.1 203.0.113.2 bank.kz 443 tls splice", "ERR name-mismatch"),
        ("198.18.10.1 203.0.113.2 news.kz 443 tls bump", "ERR name-mismatch"),
        ("198.18.10.1 203.0.113.2 games.kz 443 tls bump", "ERR name-mismatch"),
        ("198.18.10.1 news.kz - 80 http pass", "OK inspected"),
        ("198.18.10.1 bank.kz - 80 http pass", "OK exempt"),
        ("198.18.10.1 games.kz - 443 http page", "OK category-closed"),
        ("198.18.20.1 203.0.113.1 news.kz 443 tls bump", "ERR not-enrolled"),
        ("198.18.99.1 203.0.113.1 news.kz 443 tls splice", "OK source-unknown"),
        ("198.18.99.1 203.0.113.1 news.kz 443 tls bump", "ERR source-unknown"),
        ("198.18.10.1 203.0.113.1 news.kz 8443 tls bump", "ERR service-closed"),
    ],
)
def test_answers(facts: Facts, request_: str, expected: str) -> None:
    word, reason = expected.split()
    given = answer(facts, f"7 {request_}", OPEN)
    assert given.startswith(f'7 {word} message="{reason} ')


@pytest.mark.parametrize(
    "request_",
    [
        "",
        "198.18.10.1",
        "nobody 203.0.113.1 a.kz 443 tls bump",
        "198.18.10.1 a.kz a.kz x tls bump",
        *[f"198.18.10.1 203.0.113.1 news.kz 443 {words}" for words in ("tls open", "quic bump", "tls bump more")],
    ],
)
def test_what_cannot_be_decided_opens_nothing(facts: Facts, request_: str) -> None:
    assert answer(facts, f"0 {request_}", OPEN).startswith("0 BH")


def test_a_change_of_policy_is_in_force_at_the_next_question(facts: Facts, tmp_path: Path) -> None:
    question = "0 198.18.10.1 203.0.113.1 games.kz 443 tls pass"
    assert answer(facts, question, OPEN).startswith("0 ERR")
    write_policy(tmp_path / "policy", stated("games"))
    facts.refresh()
    assert answer(facts, question, OPEN).startswith("0 OK")
    write_blocked(tmp_path / "blocked", [organisation().networks[0].network_address + 2**20])
    facts.refresh()
    assert len(facts.blocked) == 1


def test_a_broken_file_is_told_and_not_taken(facts: Facts, tmp_path: Path, told: list[str]) -> None:
    """Threat: a file that was cut off opens or closes everything."""
    (tmp_path / "policy").write_bytes(b'{"organisations":')
    facts.refresh()
    assert answer(facts, "0 198.18.10.1 203.0.113.1 bank.kz 443 tls splice", OPEN).startswith("0 OK")
    assert "the one before stays in use" in told[0]


def test_a_policy_that_came_before_its_table_is_taken_once_the_table_is_there(
    facts: Facts, tmp_path: Path, told: list[str]
) -> None:
    """Threat: an expiry or a closed category that the helpers never hear of, since the policy was refused once."""
    fewer = {name: each for name, each in STATED["gateway_categories"].items() if name != "games"}
    question = "0 198.18.10.1 203.0.113.1 news.kz 443 tls bump"
    before_its_table = stated("finance").model_copy(update={"categories": Categories.load(fewer).by_name})
    write_policy(tmp_path / "policy", before_its_table)
    for _ in range(3):
        facts.refresh()
    assert answer(facts, question, OPEN).startswith("0 OK")
    assert len(told) == 1, "told once, not each second"
    assert "made for other categories" in told[0]
    build(tmp_path / "table", [("news.kz", "news")], {}, Categories.load(fewer))
    facts.refresh()
    assert answer(facts, question, OPEN).startswith('0 OK message="category-closed ')


def test_a_new_table_is_taken(facts: Facts, tmp_path: Path, categories: Categories) -> None:
    build(tmp_path / "table", [("news.kz", "games")], {}, categories)
    facts.refresh()
    assert facts.table.find("news.kz")[1] == {"games"}
    (tmp_path / "table").unlink()
    facts.refresh()
    assert facts.table.find("news.kz")[1] == {"games"}


def test_it_serves_until_the_pipe_closes(facts: Facts) -> None:
    answers = io.StringIO()
    serve(facts, io.StringIO("0 198.18.20.1 203.0.113.1 a.kz 443 tls bump\n\n1 x\n"), answers)
    assert sorted(line.split()[:2] for line in answers.getvalue().splitlines()) == [["0", "ERR"], ["1", "BH"]]


def test_it_does_not_start_without_its_files(tmp_path: Path) -> None:
    nothing = str(tmp_path / "nothing")
    assert helper.main(["--policy", nothing, "--table", nothing, "--blocked", nothing]) == 1


def test_a_name_is_asked_about_again_when_an_address_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site behind many addresses gives others at each answer: those it had a moment ago are its own, too."""
    asked: list[str] = []
    pool = [IPv4Address("203.0.113.1"), IPv4Address("203.0.113.2")]

    def rotates(name: str) -> frozenset[IPv4Address]:
        asked.append(name)
        return frozenset({pool[len(asked) % 2]})

    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    resolver = Resolver(rotates)
    assert resolver.leads("a.kz", pool[1])
    assert resolver.leads("a.kz", pool[1])
    assert len(asked) == 1
    assert resolver.leads("a.kz", pool[0])
    assert resolver.leads("a.kz", pool[1])
    assert not resolver.leads("a.kz", IPv4Address("203.0.113.9"))
    clock[0] += 61
    assert not resolver.leads("a.kz", IPv4Address("203.0.113.9"))
    assert len(asked) == 4


def test_a_resolver_that_does_not_know_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    def says(error: int) -> None:
        def getaddrinfo(*_: object, **__: object) -> None:
            raise socket.gaierror(error, "as the resolver says")

        monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)

    for error in (socket.EAI_NONAME, socket.EAI_NODATA):
        says(error)
        assert ask("a.kz") == frozenset()
    for error in (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM):
        says(error)
        with pytest.raises(NoAnswerError):
            ask("a.kz")
        assert not Resolver().leads("a.kz", IPv4Address("203.0.113.1"))
    assert not Resolver(lambda _: frozenset()).leads("a.kz", IPv4Address("203.0.113.1"))
    assert MOST > 1000


@pytest.mark.clause("GW-20")
def test_a_resolver_that_does_not_answer_closes_nothing_that_was_open_and_opens_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threats: a resolver that starts anew closes every bank; who keeps it from answering leads a name elsewhere. So an
    address that the name had counts for an hour, and no other does. Once there is an answer, it alone counts."""
    own, other, clock = IPv4Address("203.0.113.1"), IPv4Address("203.0.113.9"), [1000.0]
    asked: list[str] = []
    answers: list[frozenset[IPv4Address] | None] = [frozenset({own})]

    def resolve(name: str) -> frozenset[IPv4Address]:
        asked.append(name)
        if answers[0] is None:
            raise NoAnswerError
        return answers[0]

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    resolver = Resolver(resolve)
    assert resolver.leads("a.kz", own)
    answers[0] = None
    clock[0] += 61
    assert resolver.leads("a.kz", own)
    assert resolver.leads("a.kz", own)
    assert len(asked) == 2, "who knows the name does not wait for each question"
    assert not resolver.leads("a.kz", other)
    assert not resolver.leads("b.kz", own)
    clock[0] += OUTLASTS - 62
    assert resolver.leads("a.kz", own)
    clock[0] += 2
    assert not resolver.leads("a.kz", own), "an hour after the last answer it is forgotten"
    answers[0] = frozenset({own})
    assert resolver.leads("a.kz", own)
    answers[0] = frozenset({other})
    clock[0] += 61
    assert not resolver.leads("a.kz", own), "an answer counts, whatever it was before"
    assert resolver.leads("a.kz", other)
