"""The whole estate on one sheet: a column a zone, and below, a line for each service that is reached across zones."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import svg

from kepil.estate.model import Estate, Zone
from kepil.estate.pictures import drawing as draw
from kepil.estate.pictures.wording import described, kind, listed, named_together, sort
from kepil.estate.reachability import EVERYONE, Passage, ends, networks, passages, zones

MARGIN = 28
BOX, GAP = 158, 14
TOP = 104
ROW = 54
LOOP = 16
"""What a row takes more where a service stays within a zone, too."""
HOST = 36
LEGEND = (
    "A dot opens the connection, an arrow's head answers it, a zone that a line only crosses has no part in it."
    " A loop stays in its zone. Solid lines are TCP, broken ones UDP."
)


@dataclass(frozen=True)
class Service:
    """Flows to one port that the same groups use alike."""

    port: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    clauses: tuple[str, ...]
    zones: frozenset[tuple[str, str]]
    """Every pair of zones between which it passes."""

    @property
    def label(self) -> str:
        """What stands beside its port."""
        return f"{self.words} · {listed(self.clauses)}"

    @property
    def room(self) -> int:
        """What its port and its label take at most."""
        return draw.CODE_STRONG.width(self.port) + 24 + draw.LABEL.width(self.label)

    @property
    def words(self) -> str:
        """Who reaches whom."""
        return f"{named_together(self.sources)} to {named_together(self.destinations)}"


def services(known: list[Passage]) -> list[Service]:
    """Flows joined where that loses nothing: by who answers, then by who asks."""
    by_answer: dict[tuple[str, str], list[Passage]] = {}
    for passage in known:
        if passage.pairs:
            by_answer.setdefault((passage.service, passage.flow.destination), []).append(passage)
    by_question: dict[tuple[str, tuple[str, ...]], list[Passage]] = {}
    for (port, _), found in by_answer.items():
        sources = tuple(sorted(passage.flow.source for passage in found))
        by_question.setdefault((port, sources), []).extend(found)
    return [
        Service(
            port,
            sources,
            tuple(sorted({passage.flow.destination for passage in found})),
            tuple(sorted({passage.flow.clause for passage in found})),
            frozenset((a.zone, b.zone) for passage in found for a, b in passage.pairs),
        )
        for (port, sources), found in by_question.items()
    ]


def overview(estate: Estate) -> str:
    """The sheet, as SVG."""
    columns = zones(estate)
    lefts = {zone.name: MARGIN + at * (BOX + GAP) for at, zone in enumerate(columns)}
    contents = {zone.name: _contents(estate, zone, lefts[zone.name]) for zone in columns}
    bottom = max(column.y for column in contents.values()) + draw.PAD
    lanes = {name: left + BOX // 2 for name, left in lefts.items()}
    rows = sorted(services(passages(estate)), key=lambda row: _crossed(row, lanes))
    texts = (draw.LABEL.width(LEGEND), *(row.room for row in rows))
    width = 2 * MARGIN + max(len(columns) * (BOX + GAP) - GAP, *texts)
    tops = list(accumulate((ROW + LOOP * bool(_crossed(row, lanes)[1]) for row in rows), initial=bottom + 48))
    height = tops[-1] + MARGIN // 2
    elements = _heading(estate)
    elements += [
        draw.line(lanes[zone.name], bottom, lanes[zone.name], height - MARGIN, "lane")
        for zone in columns
        if zone.subnets
    ]
    for zone in columns:
        elements.append(draw.box(lefts[zone.name], TOP, BOX, bottom - TOP, kind(zone)))
        elements += contents[zone.name].elements
    for row, y in zip(rows, tops, strict=False):
        elements += _row(row, lanes, y, width)
    title = f"Zones and flows of the {estate.environment} estate"
    return draw.sheet(width, height, title, _words(estate, columns, rows), elements)


def _heading(estate: Estate) -> list[svg.Element]:
    return [
        draw.text(MARGIN, 46, f"Kepil · {estate.environment} · zones and flows", draw.HEADING),
        draw.text(MARGIN, 68, described(estate), draw.LABEL, "muted"),
        draw.text(MARGIN, 87, LEGEND, draw.LABEL, "muted"),
    ]


def _contents(estate: Estate, zone: Zone, left: int) -> draw.Column:
    column = draw.Column(left + draw.PAD, TOP + draw.PAD, BOX - 2 * draw.PAD)
    column.write(zone.name, draw.NAME)
    for network in networks(zone):
        column.write(network, draw.CODE)
    if zone.vlan:
        column.write(f"VLAN {zone.vlan}", draw.CODE)
    column.write(sort(zone), draw.SMALL, "muted")
    column.skip(4)
    column.write(zone.purpose, draw.SMALL)
    column.skip(draw.PAD)
    for end in ends(estate, EVERYONE):
        if end.zone == zone.name and not end.outside:
            column.elements.append(draw.box(column.x, column.y, column.width, HOST, "card", radius=5))
            column.elements.append(draw.text(column.x + 8, column.y + 15, end.name, draw.STRONG))
            column.elements.append(draw.text(column.x + 8, column.y + 29, end.where, draw.CODE, "muted"))
            column.skip(HOST + 6)
    return column


def _row(service: Service, lanes: dict[str, int], y: int, width: int) -> list[svg.Element]:
    """One line from all who ask to all who answer, with the port above it."""
    protocol = service.port.split()[0]
    across, within = _crossed(service, lanes)
    elements: list[svg.Element] = []
    if across:
        first, last = min(map(min, across)), max(map(max, across))
        elements += [draw.line(first, y, last, y, "under"), draw.line(first, y, last, y, "line", protocol)]
    elements += [draw.dot(source, y) for source in sorted({source for source, _ in across})]
    arrivals = sorted({(target, source < target) for source, target in across})
    elements += [draw.head(target, y, 1 if rightwards else -1) for target, rightwards in arrivals]
    for lane in within:
        loop = [svg.M(lane, y + 10), svg.h(26), svg.v(14), svg.h(-26)]
        elements += [svg.Path(d=loop, class_=["line", protocol]), draw.dot(lane, y + 10), draw.head(lane, y + 24, -1)]
    leftmost = min(within + [x for pair in across for x in pair])
    port, after = draw.pill(max(MARGIN, min(leftmost - 5, width - MARGIN - service.room)), y - 13, service.port)
    return [*elements, *port, draw.text(after + 8, y - 13, service.label, draw.LABEL, "over")]


def _crossed(service: Service, lanes: dict[str, int]) -> tuple[list[tuple[int, int]], list[int]]:
    """The lanes that a service passes between, and those that it stays in."""
    across = sorted((lanes[source], lanes[target]) for source, target in service.zones if source != target)
    return across, sorted(lanes[source] for source, target in service.zones if source == target)


def _words(estate: Estate, columns: list[Zone], rows: list[Service]) -> str:
    places = "; ".join(f"{zone.name} ({listed(networks(zone))}): {zone.purpose.rstrip('.')}" for zone in columns)
    lines = "; ".join(f"{row.port} from {row.words}" for row in rows)
    return f"{described(estate)} Zones, from outside to the keys: {places}. Flows: {lines}."
