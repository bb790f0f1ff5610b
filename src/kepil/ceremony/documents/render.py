"""The script before and the minutes after, in three languages: HTML from templates, PDF from the HTML."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from kepil.ceremony.definition import LANGUAGES, Language, Text
from kepil.ceremony.documents.told import tell
from kepil.ceremony.evidence import fingerprint
from kepil.ceremony.plan import Plan
from kepil.ceremony.roles import ROLES
from kepil.ceremony.shown import rows
from kepil.ceremony.words import role_text, say
from kepil.journal.chain import Entry
from kepil.signed.document import write_once

_TEMPLATES = Environment(
    loader=PackageLoader(__package__),
    autoescape=select_autoescape(("html.j2",)),
    undefined=StrictUndefined,
    trim_blocks=True,
    keep_trailing_newline=True,
)


def form() -> str:
    """SHA-256 over templates, style and words: what the documents look like, besides what they say."""
    folder = files(__package__)
    parts = sorted(folder.joinpath("templates").iterdir(), key=lambda part: part.name)
    parts.append(files("kepil.ceremony").joinpath("words.yml"))
    return sha256(b"".join(sha256(part.read_bytes()).digest() for part in parts)).hexdigest()


def script(plan: Plan, language: Language) -> str:
    """The script of a plan, as HTML."""
    return _render("script.html.j2", language, plan)


def minutes(entries: Sequence[Entry], language: Language) -> str:
    """The minutes of a journal, as HTML: nothing but the journal is asked. Raises KepilError."""
    told = tell(entries)
    return _render(
        "minutes.html.j2",
        language,
        told.course.plan,
        told=told,
        people=told.course.people.people,
        key_fingerprint=key_fingerprint,
        print_of=fingerprint,
    )


def pdf(html: str) -> bytes:
    """The same page as PDF. The same page and the same fonts give the same bytes."""
    from weasyprint import HTML  # noqa: PLC0415 -- only where documents are made

    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")  # else fontTools writes the present time into the fonts
    made: bytes = HTML(string=html).write_pdf(pdf_identifier=sha256(html.encode()).digest()[:16])
    return made


def pdfs(pages: Sequence[str]) -> list[bytes]:
    """Each page as PDF, in order. One costs a processor about a second: as many are made at a time as there are."""
    with ProcessPoolExecutor(min(len(pages), os.cpu_count() or 1)) as pool:
        return list(pool.map(pdf, pages))


def write_documents(folder: Path, documents: Mapping[str, Mapping[Language, str]]) -> list[Path]:
    """`NAME.LANGUAGE.html` and `.pdf` for each page of each document by its name, each written once.

    Raises DocumentError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pages = {f"{name}.{language}": html for name, one in documents.items() for language, html in one.items()}
    written: list[Path] = []
    for (stem, html), printed in zip(pages.items(), pdfs(list(pages.values())), strict=True):
        for suffix, content in (("html", html.encode()), ("pdf", printed)):
            path = folder / f"{stem}.{suffix}"
            write_once(path, content)
            written.append(path)
    return written


def scripts(plan: Plan) -> dict[Language, str]:
    """The script in each language."""
    return {language: script(plan, language) for language in LANGUAGES}


def all_minutes(entries: Sequence[Entry]) -> dict[Language, str]:
    """The minutes in each language."""
    return {language: minutes(entries, language) for language in LANGUAGES}


def key_fingerprint(key: str) -> str:
    """An SSH public key's fingerprint, as `ssh-keygen -l` prints it."""
    digest = sha256(base64.b64decode(key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _render(template: str, language: Language, plan: Plan, **values: Any) -> str:

    def text(stated: Text) -> str:
        return str(getattr(stated, language))

    return _TEMPLATES.get_template(template).render(
        language=language,
        plan=plan,
        roles=[(role, plan.roles[role]) for role in ROLES if role in plan.roles],
        say=say(language),
        text=text,
        rows=rows,
        role_name=lambda role: role_text(role, "name", language),
        role_text=lambda role, what: role_text(role, what, language),
        style=Markup(files(__package__).joinpath("templates", "style.css").read_text(encoding="utf-8")),  # noqa: S704 - the package's own file
        **values,
    )
