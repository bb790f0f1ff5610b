"""Which category a host has: lists, local overrides, and a table that is replaced whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from kepil.gateway.category import EXEMPT, Categories
from kepil.gateway.host_name import normal, suffixes
from kepil.gateway.lists import Imported, read_lists, read_overrides
from kepil.gateway.located import GatewayError
from kepil.gateway.lookup import Table, build
from tests.unit.gateway.conftest import STATED

UNLISTED = frozenset({"uncategorised"})


def collection(folder: Path, categories: Categories, **domains: str) -> Path:
    """Lists in UT1's layout: all that categories name, with one name each, and those given."""
    for name in {*categories.by_list, *domains}:
        (folder / name).mkdir(parents=True)
        (folder / name / "domains").write_text(domains.get(name, f"{name.replace('_', '-')}.example.com\n"))
    return folder


def test_names_are_normalised() -> None:
    assert normal(" WWW.Example.KZ. ") == "www.example.kz"
    assert normal("қазақстан.қаз") == "xn--80aaa0a6awh12ed.xn--80ao21a"
    for wrong in ("198.18.0.1", "", "a..b", "-a.kz", "a b.kz", "http://a.kz/", "x" * 64 + ".kz", "a." * 140 + "kz"):
        assert normal(wrong) is None
    assert list(suffixes("a.b.kz")) == ["a.b.kz", "b.kz"]


def test_the_narrowest_listed_name_decides(tmp_path: Path, categories: Categories) -> None:
    names = [("example.kz", "news"), ("games.example.kz", "games"), ("games.example.kz", "gambling")]
    build(tmp_path / "t", names, {}, categories)
    table = Table(tmp_path / "t", categories)
    assert table.find("www.example.kz") == ("example.kz", frozenset({"news"}))
    assert table.find("a.games.example.kz") == ("games.example.kz", frozenset({"games", "gambling"}))
    assert table.find("notexample.kz") == (None, UNLISTED)
    assert table.find("kz") == (None, UNLISTED)


@pytest.mark.clause("GW-20")
def test_an_override_counts_more_than_any_list(tmp_path: Path, categories: Categories) -> None:
    """Threat: a public list calls a page of a bank a game, and the bank's traffic is decrypted."""
    names = [("bank.kz", "shopping"), ("pay.bank.kz", "games")]
    build(tmp_path / "t", names, {"bank.kz": frozenset({"finance"})}, categories)
    assert Table(tmp_path / "t", categories).find("www.pay.bank.kz") == ("bank.kz", frozenset({"finance"}))


def test_lists_are_imported_whole(tmp_path: Path, categories: Categories) -> None:
    place = collection(tmp_path, categories, bank="bank.kz\n# note\n\n198.18.0.1\n", astrology="stars.example\n")
    report = Imported()
    found = dict(read_lists(place, categories, report))
    assert found["bank.kz"] == "finance"
    assert "stars.example" not in found
    assert (report.left, report.skipped, report.names["bank"]) == (["astrology"], 1, 1)


def test_a_collection_with_a_list_missing_is_refused(tmp_path: Path, categories: Categories) -> None:
    """Threat: a download that broke off opens malware and decrypts banks."""
    place = collection(tmp_path, categories)
    (place / "phishing" / "domains").unlink()
    with pytest.raises(GatewayError, match="there is no phishing/domains: bring the whole collection"):
        list(read_lists(place, categories, Imported()))


@pytest.mark.parametrize("content", ["", "<html>\n" * 200, "\x00" * 500])
def test_what_is_no_list_is_refused(tmp_path: Path, categories: Categories, content: str) -> None:
    place = collection(tmp_path, categories, bank=content)
    with pytest.raises(GatewayError, match=r"bank/domains: .* this is no list of domains"):
        list(read_lists(place, categories, Imported()))


def test_a_new_table_is_taken_whole_and_a_broken_one_is_not(tmp_path: Path, categories: Categories) -> None:
    path = tmp_path / "t"
    build(path, [("a.kz", "news")], {}, categories)
    table = Table(path, categories)
    build(path, [("a.kz", "games")], {}, categories)
    assert table.find("a.kz")[1] == {"news"}
    table = Table(path, categories)
    assert table.find("a.kz")[1] == {"games"}
    (tmp_path / "broken").write_bytes(b"no table" * 1000)
    (tmp_path / "broken").replace(path)
    with pytest.raises(GatewayError, match="no table of categories"):
        Table(path, categories)
    assert table.find("a.kz")[1] == {"games"}


def test_a_build_that_fails_leaves_the_table_in_use(tmp_path: Path, categories: Categories) -> None:
    build(tmp_path / "t", [("a.kz", "news")], {}, categories)
    with pytest.raises(KeyError):
        build(tmp_path / "t", [("a.kz", "no-such-category")], {}, categories)
    assert Table(tmp_path / "t", categories).find("a.kz")[1] == {"news"}
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_table_of_other_categories_is_refused(tmp_path: Path, categories: Categories) -> None:
    """Threat: bits of an old table mean other categories today."""
    build(tmp_path / "t", [("a.kz", "news")], {}, categories)
    fewer = Categories({name: each for name, each in categories.by_name.items() if name != "games"})
    with pytest.raises(GatewayError, match="made for other categories"):
        Table(tmp_path / "t", fewer)


def test_categories_hold_all_seven_exemptions(categories: Categories) -> None:
    assert {each.exempt for each in categories.by_name.values()} - {None} == set(EXEMPT)
    without = {name: each for name, each in categories.by_name.items() if each.exempt != 3}
    with pytest.raises(GatewayError, match=r"GW-20's number 3 \(health and wellness\)"):
        Categories(without)


@pytest.mark.parametrize(
    ("category", "change", "reason"),
    [
        ("finance", {"malicious": True}, "is one of exempt, malicious and cover, not several"),
        ("finance", {"exempt": 8}, "finance.exempt: "),
        ("finance", {"title": {"en": "x"}}, "needs kk, ru and en"),
        ("news", {"lists": ["bank"]}, "list 'bank' is in finance and in news"),
    ],
)
def test_contradicting_categories_are_refused(category: str, change: dict[str, object], reason: str) -> None:
    stated = STATED["gateway_categories"]
    with pytest.raises(GatewayError, match=reason):
        Categories.load(stated | {category: stated[category] | change})


def test_overrides_name_hosts_and_categories(categories: Categories) -> None:
    assert read_overrides(STATED["gateway_overrides"], categories)["gov.kz"] == {"government"}
    for stated, reason in (({"kz": ["news"]}, "top-level domain"), ({"a.kz": ["nwes"]}, "nwes is no category")):
        with pytest.raises(GatewayError, match=reason):
            read_overrides(stated, categories)
