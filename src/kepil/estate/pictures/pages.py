"""Pages about the estate: the reachability matrix with the reason for each flow, and a page that shows the diagrams."""

from __future__ import annotations

from importlib.resources import files
from itertools import groupby

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from kepil.estate.model import Estate
from kepil.estate.pictures.wording import described, named
from kepil.estate.reachability import ends, matrix, passages, zones

_TEMPLATES = Environment(
    loader=PackageLoader(__package__),
    autoescape=select_autoescape(("html.j2",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)


def reachability(estate: Estate) -> str:
    """The matrix of hosts and outsiders' networks, with the reason for each flow below: one HTML file, no script."""
    known = passages(estate)
    by_zone = [(zone, list(standing)) for zone, standing in groupby(ends(estate), key=lambda end: end.zone)]
    style = files(__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")
    template = _TEMPLATES.get_template("reachability.html.j2")
    return template.render(
        estate=estate,
        passages=known,
        cells=matrix(known),
        zones=by_zone,
        style=Markup(style),  # noqa: S704 the package's own file
        named=named,
        described=described,
    ).lstrip()


def contents(estate: Estate) -> str:
    """Markdown that shows every diagram of the environment and leads to the matrix."""
    return _TEMPLATES.get_template("README.md.j2").render(estate=estate, zones=zones(estate), described=described)
