"""What every diagram is drawn with: letters of known size, boxes, arrows, and the sheet that they stand on.

Fonts differ between machines, so nothing is measured: a face states the widest that its letters are in the fonts
that it may fall back to, and text is wrapped and boxed by that. The same model gives the same bytes everywhere.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Literal

import svg

SANS = "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
MONO = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
PAD = 10
"""Between a box's border and what it holds, in user units (CSS pixels at natural size), as all lengths here."""
HEAD = 11
"""Length of an arrow's head."""

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Face:
    """A kind of lettering."""

    size: int
    em: float
    """Mean width of a letter, in sizes, in the widest of the fonts."""
    family: str = SANS
    weight: Literal["normal", "bold"] = "normal"

    @property
    def line(self) -> int:
        """From one baseline to the next."""
        return round(self.size * 1.35)

    def width(self, text: str) -> int:
        """At most what the text takes."""
        return round(len(text) * self.size * self.em)

    def wrap(self, text: str, width: int) -> list[str]:
        """The text in lines that fit."""
        return textwrap.wrap(text, max(1, int(width / (self.size * self.em))), break_on_hyphens=False)


HEADING = Face(22, 0.66, weight="bold")
NAME = Face(15, 0.69, weight="bold")
LABEL = Face(13, 0.58)
STRONG = Face(13, 0.68, weight="bold")
SMALL = Face(11, 0.56)
CODE = Face(11, 0.61, family=MONO)
CODE_STRONG = Face(12, 0.61, family=MONO, weight="bold")


def text(x: int, y: int, words: str, face: Face, kind: str = "", anchor: Anchor = "start") -> svg.Text:
    """One line of text; `y` is its baseline."""
    return svg.Text(
        x=x,
        y=y,
        text=escape(words),
        class_=[kind] if kind else None,
        font_family=face.family,
        font_size=face.size,
        font_weight=face.weight,
        text_anchor=anchor,
    )


def box(x: int, y: int, width: int, height: int, kind: str, radius: int = 8) -> svg.Rect:
    """A box of a kind that the style sheet knows."""
    return svg.Rect(x=x, y=y, width=width, height=height, rx=radius, class_=[kind])


def line(x1: int, y1: int, x2: int, y2: int, *kinds: str) -> svg.Line:
    """A straight line."""
    return svg.Line(x1=x1, y1=y1, x2=x2, y2=y2, class_=list(kinds))


def head(x: int, y: int, towards: Literal[1, -1]) -> svg.Polygon:
    """An arrow's head whose tip is at the point, towards the right (1) or the left (-1)."""
    back = x - towards * HEAD
    return svg.Polygon(points=[svg.Point(x, y), svg.Point(back, y - 6), svg.Point(back, y + 6)], class_=["head"])


def dot(x: int, y: int) -> svg.Circle:
    """Where a connection is opened."""
    return svg.Circle(cx=x, cy=y, r=5, class_=["head"])


def pill(x: int, y: int, words: str) -> tuple[list[svg.Element], int]:
    """A port on a dark ground, its baseline at `y`; with the x where it ends."""
    width = CODE_STRONG.width(words) + 14
    written = text(x + width // 2, y, words, CODE_STRONG, "on-pill", "middle")
    return [box(x, y - 14, width, 20, "pill", radius=5), written], x + width


class Column:
    """Text that grows downwards from a point, line by line."""

    def __init__(self, x: int, y: int, width: int) -> None:
        self.x, self.y, self.width = x, y, width
        self.elements: list[svg.Element] = []

    def write(self, words: str, face: Face, kind: str = "") -> None:
        """Write, wrapped to the column's width."""
        for part in face.wrap(words, self.width):
            self.y += face.line
            self.elements.append(text(self.x, self.y, part, face, kind))

    def skip(self, height: int) -> None:
        """Leave a gap."""
        self.y += height


def sheet(width: int, height: int, title: str, description: str, elements: Sequence[svg.Element]) -> str:
    """The whole file: what it shows in words, for who does not see it, and the drawing on its own ground.

    The ground is painted, so that it can be read on a page of any colour; it is dark where the reader prefers dark.
    """
    style = files(__package__).joinpath("templates", "diagram.css").read_text(encoding="utf-8")
    drawing = svg.SVG(
        viewBox=svg.ViewBoxSpec(0, 0, width, height),
        width=width,
        height=height,
        lang="en",
        extra={"role": "img", "aria-labelledby": "title description"},
        elements=[
            svg.Title(id="title", text=escape(title)),
            svg.Desc(id="description", text=escape(description)),
            svg.Style(text=f"\n{style}"),
            svg.Rect(width=width, height=height, class_=["paper"]),
            *elements,
        ],
    )
    return str(drawing).replace("><", ">\n<") + "\n"
