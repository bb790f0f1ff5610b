"""Pictures say what the model says, to whoever reads them and however; the committed ones are today's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kepil.estate.inventory import environment_sources, read_estate, read_listing
from kepil.estate.model import Estate
from kepil.estate.pictures.folder import draw, pictures
from kepil.estate.pictures.overview import services
from kepil.estate.reachability import matrix, passages, zones

PROJECT = Path(__file__).parents[3]
DRAWN = sorted(path.name for path in (PROJECT / "docs" / "estate").iterdir())
SVG = "{http://www.w3.org/2000/svg}"
SHEETS = ("overview.svg", *(f"zone-{name}.svg" for name in ("world", "users", "front", "back", "vault")))
ASK = {"protocol": "tcp", "port": 80, "why": "Anyone asks", "clause": "CP-2.2"}


def estate(purpose: str = "answers", flows: tuple[dict[str, Any], ...] = ()) -> Estate:
    variables = {
        "estate_environment": "test",
        "estate_domain": "kepil.test",
        "estate_zones": {
            "world": {"purpose": "anyone", "subnets": ["0.0.0.0/0"], "outsiders": "anyone"},
            "users": {"purpose": "users", "subnets": ["198.18.9.0/24"], "outsiders": "user"},
            "front": {"purpose": purpose, "subnets": ["198.18.2.0/24"]},
            "back": {"purpose": "keeps", "subnets": ["198.18.1.0/24"], "administered_from": ["web"]},
            "vault": {"purpose": "root", "subnets": []},
        },
        "estate_flows": [
            {"from": "anyone", "to": "web", **ASK},
            {"from": "user", "to": "web", **ASK},
            {"from": "web", "to": "store", "protocol": "tcp", "port": 5432, "why": "Reads status", "clause": "CP-4.10"},
            {"from": "all", "to": "store", "protocol": "udp", "port": 123, "why": "Keeps time", "clause": "CP-5.4"},
            {"from": "nobody", "to": "web", "protocol": "tcp", "port": 9, "why": "Is not there", "clause": "CP-1"},
            *flows,
        ],
        "estate_services": {},
    }
    groups = {
        "zone_world": [],
        "zone_users": ["user01"],
        "zone_front": ["web01", "web02"],
        "zone_back": ["store01"],
        "zone_vault": ["root01"],
        "web": ["web01", "web02"],
        "store": ["store01"],
        "user": ["user01"],
        "anyone": [],
        "nobody": [],
    }
    hosts = {name: {"estate_hostnum": at} for at, name in enumerate(("web01", "web02", "store01", "user01"), start=11)}
    return Estate.from_variables(variables, groups, hosts | {"root01": {}})


def words(drawing: str) -> str:
    """All that a drawing says to the eye."""
    return " ".join(element.text or "" for element in ElementTree.fromstring(drawing).iter(f"{SVG}text"))  # noqa: S314 - our own drawing


def placed(element: ElementTree.Element, x: int = 0, y: int = 0) -> Iterator[tuple[int, int, ElementTree.Element]]:
    """Texts and boxes below an element, each with where it stands on the sheet."""
    moved = re.fullmatch(r"translate\((\d+) (\d+)\)", element.get("transform", "translate(0 0)"))
    assert moved
    x, y = x + int(moved[1]), y + int(moved[2])
    if element.tag in (f"{SVG}text", f"{SVG}rect"):
        yield x + int(element.get("x", 0)), y + int(element.get("y", 0)), element
    for child in element:
        yield from placed(child, x, y)


class Page(HTMLParser):
    """Identifiers, links and elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src") and value]


@pytest.mark.parametrize("environment", DRAWN)
def test_committed_pictures_are_what_the_inventory_draws(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    folder = Path("docs") / "estate" / environment
    fresh = pictures(read_estate(read_listing(environment_sources(Path("inventories"), environment))))
    committed = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    stale = sorted(name for name in fresh | committed if fresh.get(name) != committed.get(name))
    assert not stale, f"{folder}: {stale}: run `kepil estate draw --environment {environment} {folder}`"


def test_every_drawn_environment_is_shown() -> None:
    text = (PROJECT / "docs" / "estate.md").read_text(encoding="utf-8")
    assert "development" in DRAWN
    assert [name for name in DRAWN if f"(estate/{name}/README.md)" not in text] == []


@pytest.mark.clause("CP-6.7")
def test_the_matrix_is_the_firewall() -> None:
    """A cell holds a port exactly where both hosts' rules let the packet pass."""
    made = estate()
    told = {
        (source.name, target.name): sorted(passage.service for passage in open_)
        for (source, target), open_ in matrix(passages(made)).items()
        if not source.outside and not target.outside
    }
    enforced: dict[tuple[str, str], list[str]] = {}
    for source in made.hosts.values():
        for target in made.hosts.values():
            if source.address is None or target.address is None or source is target:
                continue
            out = {
                f"{rule.protocol} {rule.port}"
                for rule in made.rules(source)
                if rule.direction == "out" and any(target.address in peer for peer in rule.peers)
            }
            into = {
                f"{rule.protocol} {rule.port}"
                for rule in made.rules(target)
                if rule.direction == "in" and any(source.address in peer for peer in rule.peers)
            }
            if both := sorted(out & into):
                enforced[source.name, target.name] = both
    assert told == enforced
    assert told["web01", "store01"] == ["tcp 22", "tcp 5432", "udp 123"]


def test_outsiders_reach_what_the_firewall_lets_in() -> None:
    made = estate()
    outside = {
        (source.name, target.name) for (source, target) in matrix(passages(made)) if source.outside or target.outside
    }
    assert outside == {(zone, web) for zone in ("world", "users") for web in ("web01", "web02")}
    (rule,) = (rule for rule in made.rules(made.hosts["web01"]) if rule.peers[0] == IPv4Network("198.18.9.0/24"))
    assert (rule.direction, rule.port) == ("in", 80)


def test_zones_stand_from_the_world_to_the_keys() -> None:
    assert [zone.name for zone in zones(estate())] == ["world", "users", "front", "back", "vault"]


def test_services_are_joined_only_where_that_loses_nothing() -> None:
    rows = {service.words: service for service in services(passages(estate()))}
    assert set(rows) == {"anyone and user to web", "web to store", "every host to store", "web to hosts of back"}
    assert rows["every host to store"].zones == {("users", "back"), ("front", "back")}
    second = {"from": "web", "to": "nobody", "protocol": "tcp", "port": 5432, "why": "x", "clause": "CP-1"}
    assert {service.words for service in services(passages(estate(flows=(second,))))} == set(rows)


def test_the_overview_holds_every_zone_host_address_and_port() -> None:
    made = estate()
    said = words(pictures(made)["overview.svg"])
    for host in made.hosts.values():
        assert f"{host.name} {host.address or 'no network'}" in said
    for zone in made.zones.values():
        assert zone.name in said
    assert "every other address" in said
    for port in ("tcp 80", "tcp 5432", "udp 123", "tcp 22"):
        assert port in said
    assert "tcp 9" not in said.split(), "nobody is in that flow"


def test_a_zone_sheet_tells_why_and_by_which_clause() -> None:
    said = words(pictures(estate())["zone-front.svg"])
    for flow in ("tcp 80 CP-2.2 Anyone asks", "tcp 5432 CP-4.10 Reads status", "udp 123 CP-5.4 Keeps time"):
        assert flow in said
    assert "198.18.9.0/24, user01" in said


def test_a_zone_without_a_network_says_that_nothing_leads_there() -> None:
    said = words(pictures(estate())["zone-vault.svg"])
    for part in ("Nothing leads in.", "Nothing leads out.", "root01", "no network"):
        assert part in said


@pytest.mark.parametrize("name", SHEETS)
def test_every_drawing_speaks_to_who_does_not_see_it(name: str) -> None:
    root = ElementTree.fromstring(pictures(estate())[name])  # noqa: S314 made here
    told = {element.get("id"): element.text for element in root if element.tag in (f"{SVG}title", f"{SVG}desc")}
    assert root.get("role") == "img"
    assert all(told[part] for part in str(root.get("aria-labelledby")).split())


@pytest.mark.parametrize("name", SHEETS)
def test_everything_is_on_the_sheet_and_no_card_covers_another(name: str) -> None:
    """A long reason, a long purpose or many members lengthen the sheet."""
    long = {"from": "web", "to": "store", "protocol": "tcp", "port": 7, "why": "because " * 40, "clause": "CP-1"}
    root = ElementTree.fromstring(pictures(estate("purposeful " * 30, (long,)))[name])  # noqa: S314 made here
    width, height = int(root.get("width", 0)), int(root.get("height", 0))
    cards: list[tuple[int, int, int, int]] = []
    for left, top, element in placed(root):
        right, bottom = (at + int(element.get(key, 0)) for at, key in ((left, "width"), (top, "height")))
        assert 0 <= left <= right <= width, ElementTree.tostring(element)
        assert 0 <= top <= bottom <= height, ElementTree.tostring(element)
        if element.get("class") == "card":
            cards.append((left, top, right, bottom))
    for index, (left, top, right, bottom) in enumerate(cards):
        for other in cards[index + 1 :]:
            assert other[0] >= right or left >= other[2] or other[1] >= bottom or top >= other[3]


def test_the_page_leads_from_each_port_to_its_reason() -> None:
    made = estate()
    text = pictures(made)["reachability.html"]
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert {f"flow-{number}" for number, _ in enumerate(made.flows, start=1)} <= set(page.ids)
    assert len([link for link in page.links if link.startswith("#flow-")]) == sum(len(p.pairs) for p in passages(made))
    for flow in made.flows:
        assert flow.why in text
    assert 'Is not there <span class="muted">(nobody in this environment)' in text
    assert "script" not in page.tags
    assert all(link.startswith("#") for link in page.links), "it stands by itself"


def test_words_of_the_inventory_are_no_markup() -> None:
    hostile = "<script>alert('&')</script>"
    flow = {"from": "web", "to": "store", "protocol": "tcp", "port": 7, "why": hostile, "clause": "CP-1"}
    made = pictures(estate(purpose=hostile, flows=(flow,)))
    for name in ("overview.svg", "zone-front.svg", "reachability.html"):
        assert "<script" not in made[name], name
    assert hostile in words(made["zone-front.svg"]).replace(" ", "")


def test_drawing_again_removes_the_sheet_of_a_zone_that_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "zone-gone.svg").write_text("old")
    (folder / "notes.txt").write_text("somebody's")
    draw(estate(), folder)
    assert {path.name for path in folder.iterdir()} == {*pictures(estate()), "notes.txt"}
