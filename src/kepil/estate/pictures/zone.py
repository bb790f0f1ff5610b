"""One zone on a sheet: its hosts in the middle, who connects to them on the left, to whom they connect on the right."""

from __future__ import annotations

from dataclasses import dataclass, field

import svg

from kepil.estate.model import Estate, Zone
from kepil.estate.pictures import drawing as draw
from kepil.estate.pictures.wording import ZONE_GROUP, counted, kind, listed, named, sort
from kepil.estate.reachability import EVERYONE, End, Passage, ends, networks, passages

MARGIN = 28
CARD, ARROW, BOX = 200, 270, 300
TOP = 62
HOST = 24
SHOWN = 4
"""Names that a peer's card holds before it counts the rest."""
ABOVE = 30
"""From a flow's top to its arrow."""

LEFT = MARGIN + CARD + ARROW
RIGHT = LEFT + BOX
WIDTH = RIGHT + ARROW + CARD + MARGIN


@dataclass(frozen=True)
class Flow:
    """A passage as one side of the sheet shows it: with whoever is at the other end."""

    passage: Passage
    group: str
    peers: list[End]

    @property
    def why(self) -> draw.Column:
        """Its reason, drawn from the arrow's start."""
        column = draw.Column(0, ABOVE + 3, ARROW - 40)
        column.write(self.passage.flow.why, draw.SMALL)
        return column

    @property
    def peer(self) -> draw.Column:
        """Who is at the other end."""
        places = list(dict.fromkeys(end.zone for end in self.peers))
        names = [end.where if end.outside else end.name for end in self.peers]
        rest = len(names) - SHOWN
        column = draw.Column(12, 5, CARD - 20)
        column.write(named(self.group), draw.STRONG)
        column.write(f"zone {places[0]}" if len(places) == 1 else counted(len(places), "zone"), draw.SMALL, "muted")
        column.write(", ".join(names) if rest <= 0 else f"{', '.join(names[:SHOWN])} and {rest} more", draw.SMALL)
        return column

    @property
    def height(self) -> int:
        """Of its card, its reason and the gap below."""
        return max(self.why.y, self.peer.y) + 2 * draw.PAD


@dataclass
class Band:
    """Hosts of one group in the zone, with the flows that they take part in."""

    label: str
    members: list[End]
    incoming: list[Flow] = field(default_factory=list)
    outgoing: list[Flow] = field(default_factory=list)

    @property
    def height(self) -> int:
        """What the band takes: its hosts, or its flows."""
        sides = [sum(flow.height for flow in side) for side in (self.incoming, self.outgoing)]
        return max(*sides, 34 + HOST * len(self.members)) + draw.PAD


def bands(estate: Estate, zone: Zone) -> list[Band]:
    """The zone's groups that flows name, then its hosts as any host; every member is in one band at least."""
    here = [end for end in ends(estate) if end.zone == zone.name]
    found: dict[str, Band] = {}

    def band(group: str) -> Band:
        if group == EVERYONE or group.startswith(ZONE_GROUP):
            return found.setdefault(EVERYONE, Band("every host", [end for end in here if not end.outside]))
        return found.setdefault(group, Band(named(group), [end for end in ends(estate, group) if end in here]))

    for passage in passages(estate):
        if sources := list(dict.fromkeys(source for source, target in passage.pairs if target in here)):
            band(passage.flow.destination).incoming.append(Flow(passage, passage.flow.source, sources))
        if targets := list(dict.fromkeys(target for source, target in passage.pairs if source in here)):
            band(passage.flow.source).outgoing.append(Flow(passage, passage.flow.destination, targets))
    if silent := [end for end in here if not any(end in known.members for known in found.values())]:
        found[""] = Band("no flow", silent)
    return sorted(found.values(), key=lambda known: (known is found.get(EVERYONE), known is found.get(""), known.label))


def zone_sheet(estate: Estate, zone: Zone) -> str:
    """The sheet, as SVG."""
    shown = bands(estate, zone)
    head = _head(estate, zone)
    y = head.y + draw.PAD
    inner: list[svg.Element] = []
    for band in shown:
        inner += _band(band, y)
        y += band.height + draw.PAD
    elements: list[svg.Element] = [
        draw.text(MARGIN, 44, f"Kepil · {estate.environment} · zone {zone.name}", draw.HEADING),
        draw.box(LEFT, TOP, BOX, y - TOP, kind(zone)),
        *_captions(shown, head.y - draw.PAD),
        *head.elements,
        *inner,
    ]
    title = f"Zone {zone.name} of the {estate.environment} estate"
    return draw.sheet(WIDTH, y + MARGIN, title, _words(zone, shown), elements)


def _head(estate: Estate, zone: Zone) -> draw.Column:
    column = draw.Column(LEFT + draw.PAD + 4, TOP + draw.PAD, BOX - 2 * draw.PAD - 8)
    column.write(zone.name, draw.NAME)
    column.write(f"{', '.join(networks(zone))}{f' · VLAN {zone.vlan}' if zone.vlan else ''}", draw.CODE)
    column.write(sort(zone), draw.SMALL, "muted")
    column.skip(4)
    column.write(zone.purpose, draw.LABEL)
    return column


def _captions(shown: list[Band], y: int) -> list[svg.Element]:
    left = "who connects" if any(band.incoming for band in shown) else "Nothing leads in."
    right = "to whom" if any(band.outgoing for band in shown) else "Nothing leads out."
    return [
        draw.text(MARGIN, y, left, draw.LABEL, "muted"),
        draw.text(WIDTH - MARGIN, y, right, draw.LABEL, "muted", "end"),
    ]


def _band(band: Band, top: int) -> list[svg.Element]:
    elements: list[svg.Element] = [
        draw.box(LEFT + draw.PAD, top, BOX - 2 * draw.PAD, band.height, "card"),
        draw.text(LEFT + draw.PAD + 12, top + 22, band.label, draw.STRONG),
    ]
    for at, member in enumerate(band.members):
        y = top + 44 + at * HOST
        name = "anyone there" if member.outside else member.name
        name += f", on {member.container_host}" if member.container_host else ""
        elements.append(draw.text(LEFT + draw.PAD + 12, y, name, draw.LABEL))
        elements.append(draw.text(RIGHT - draw.PAD - 12, y, member.where, draw.CODE, "muted", "end"))
    for flows, start, end in (
        (band.incoming, MARGIN + CARD, LEFT + draw.PAD),
        (band.outgoing, RIGHT - draw.PAD, WIDTH - MARGIN - CARD),
    ):
        spare = band.height - draw.PAD - sum(flow.height for flow in flows)
        y = top + draw.PAD // 2
        for flow in flows:
            y += spare // (2 * len(flows))
            elements.append(svg.G(elements=_flow(flow, start, end), transform=[svg.Translate(0, y)]))
            y += flow.height + spare // (2 * len(flows))
    return elements


def _flow(flow: Flow, start: int, end: int) -> list[svg.Element]:
    """A peer's card and the arrow between it and the band; the arrow always leads to the right."""
    card, label = (MARGIN, start + 14) if start < LEFT else (end, start + 26)
    port, after = draw.pill(label, ABOVE - 9, flow.passage.service)
    return [
        draw.box(card, 3, CARD, flow.height - draw.PAD, "card"),
        svg.G(elements=flow.peer.elements, transform=[svg.Translate(card, 0)]),
        draw.dot(start, ABOVE),
        draw.line(start, ABOVE, end - draw.HEAD + 1, ABOVE, "line", flow.passage.flow.protocol),
        draw.head(end, ABOVE, 1),
        *port,
        draw.text(after + 8, ABOVE - 9, flow.passage.flow.clause, draw.SMALL, "muted"),
        svg.G(elements=flow.why.elements, transform=[svg.Translate(label, 0)]),
    ]


def _words(zone: Zone, shown: list[Band]) -> str:
    hosts = listed([f"{end.name} {end.where}" for end in dict.fromkeys(end for band in shown for end in band.members)])
    known = dict.fromkeys(flow.passage for band in shown for flow in (*band.incoming, *band.outgoing))
    flows = [
        f"{passage.service} from {named(passage.flow.source)} to {named(passage.flow.destination)}:"
        f" {passage.flow.why} ({passage.flow.clause})"
        for passage in known
    ]
    return f"{zone.purpose} {listed(networks(zone))}. Members: {hosts}. Flows: {'; '.join(flows) or 'none'}."
