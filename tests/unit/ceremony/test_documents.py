"""Script and minutes say what they must, in three languages, and the same input gives the same bytes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.ceremony import words
from kepil.ceremony.course import follow
from kepil.ceremony.definition import LANGUAGES, Language, Step
from kepil.ceremony.documents import render
from kepil.ceremony.engine import ActFailedError, Ceremony, RefusedError
from kepil.ceremony.roles import ROLES
from kepil.ceremony.shown import rows
from kepil.ceremony.words import role_text, say
from kepil.journal.chain import Entry, Journal

from .conftest import Hall
from .test_engine import Wrong

WORDS = Path(words.__file__).with_name("words.yml")


@pytest.fixture
def entries(hall: Hall) -> list[Entry]:
    """A ceremony with everything that can go otherwise."""
    ceremony = hall.open()
    hall.until(ceremony, 2)
    with pytest.raises(ActFailedError):
        ceremony.perform(Wrong(hall, {"made": {}}))
    ceremony.perform(hall.module())
    ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1", note="<b>The lamp</b> went out"))
    with pytest.raises(RefusedError):
        ceremony.accept(hall.signed(ceremony, "confirm", "custodian-1"))
    ceremony = Ceremony.resume(hall.folder, "The power failed")
    hall.hold(ceremony)
    return ceremony.journal.entries()


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("language", LANGUAGES)
def test_minutes_have_what_the_standard_asks_for(hall: Hall, entries: list[Entry], language: Language) -> None:
    """EN 319 411-1 GEN-6.5.1-13A: roles, functions, responsibilities, evidence, date; each key, each module."""
    page = re.sub(r"\s+", " ", render.minutes(entries, language))
    known = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
    course = follow(entries)
    wanted = [course.ceremony, entries[0].time, entries[-1].time, known["completed"][language]]
    wanted += [known["evidence_text"][language].replace("'", "&#39;")]
    for role in hall.plan.roles:
        wanted += [known["roles"][role][what][language] for what in ("name", "functions", "responsibilities")]
    for person in hall.people.people:
        wanted += [person.name, person.organisation, render.key_fingerprint(person.key)]
    key = course.made["key:krnca-rsa"]
    wanted += [str(key[what]) for what in ("identifier", "algorithm", "bits", "settings", "random_source", "module")]
    (module,) = course.modules.values()
    wanted += [module.make, module.model, module.serial, module.firmware]
    for sha256 in (key["sha256"], course.made["certificate:krnca-rsa"]["fingerprint"], course.head, course.plan.sha256):
        wanted += [" ".join(rows(sha256))]
    missing = [text for text in wanted if text not in page]
    assert not missing


def test_minutes_do_not_pass_over_what_went_otherwise(entries: list[Entry]) -> None:
    page = render.minutes(entries, "en")
    for kind in ("Deviations", "Failed", "Refused", "Resumed"):
        assert f">{kind}</td>" in page
    assert "The power failed" in page
    assert "custodian-1 has confirmed step key-krnca-rsa already" in page
    assert "&lt;b&gt;The lamp&lt;/b&gt; went out" in page
    assert "<b>The lamp" not in page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_script_has_every_step_and_room_for_initials(hall: Hall, language: Language) -> None:
    page = re.sub(r"\s+", " ", render.script(hall.plan, language))
    for number, step in enumerate(hall.plan.steps, start=1):
        assert f'<td class="number">{number}</td> <td><b>{getattr(step.title, language)}</b>' in page
        assert getattr(step.expect, language) in page
    assert " ".join(rows(hall.plan.sha256)) in page


def cells(page: str, heading: str) -> list[list[str]]:
    """The rows of the table below a heading, cell by cell, its head first."""
    table = page.split(f"<h2>{heading}</h2>")[1].split("<table>")[1].split("</table>", maxsplit=1)[0]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[1:]]


def confirmers(step: Step, language: Language) -> str:
    """As a script names them: `Custodian × 2`."""
    return "".join(
        f"{role_text(role, 'name', language)}{f' × {number}' if number > 1 else ''}<br>"
        for role, number in step.confirms.items()
    )


@pytest.mark.clause("CP-6.1")
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_script_says_who_acts_and_confirms_and_has_room_for_their_hands(hall: Hall, language: Language) -> None:
    """Each step with a column for initials, a line for deviations, and at the end a line for each who signs."""
    page, told = re.sub(r"\s+", " ", render.script(hall.plan, language)), say(language)
    head, *steps = cells(page, told["steps"])
    assert head == ["№", told["step"], told["confirms"], told["initials"]]
    assert len(steps) == len(hall.plan.steps)
    for step, (_, what, who, initials) in zip(hall.plan.steps, steps, strict=True):
        assert f"{told['acts']}: {role_text(step.actor, 'name', language)}" in what
        assert what.endswith(f'<span class="small">{told["deviation"]}:</span>')
        assert who == confirmers(step, language)
        assert initials == ""
    head, *lines = cells(page, told["signatures"])
    assert head == [told["role"], told["name"], told["signature"], told["date"]]
    wanted = [role_text(role, "name", language) for role in ROLES for _ in range(hall.plan.roles.get(role, 0))]
    assert lines == [[role, "", "", ""] for role in wanted]


@pytest.mark.parametrize("language", LANGUAGES)
def test_minutes_have_a_line_for_each_who_signs(hall: Hall, entries: list[Entry], language: Language) -> None:
    page, told = re.sub(r"\s+", " ", render.minutes(entries, language)), say(language)
    head, *lines = cells(page, told["signatures"])
    assert head == [told["role"], told["name"], told["signature"], told["date"]]
    assert lines == [
        ["".join(f"{role_text(role, 'name', language)}<br>" for role in one.roles), one.name, "", ""]
        for one in hall.people.people
    ]
    _, *steps = cells(page, told["steps"])
    for step, (_, what, who) in zip(hall.plan.steps, steps, strict=True):
        assert f"{told['acts']}: {role_text(step.actor, 'name', language)}" in what
        assert who.count(", 20") == sum(step.confirms.values()), "each who confirmed, and when"
        for role in step.confirms:
            assert f"{role}-1 ({role_text(role, 'name', language)}), " in who


def test_every_word_is_there_in_three_languages() -> None:
    def check(where: str, node: Any) -> None:
        if isinstance(node, dict) and not set(LANGUAGES) & set(node):
            for name, inside in node.items():
                check(f"{where}.{name}", inside)
        else:
            assert set(node) == set(LANGUAGES), where
            assert all(isinstance(text, str) and text for text in node.values()), where

    check("words", yaml.safe_load(WORDS.read_text(encoding="utf-8")))


RENDER = """
import sys
from pathlib import Path
from kepil.ceremony.documents.render import minutes, pdf
from kepil.journal.chain import Journal
html = minutes(Journal(Path(sys.argv[1])).entries(), "kk")
Path(sys.argv[2]).write_text(html, encoding="utf-8")
Path(sys.argv[3]).write_bytes(pdf(html))
"""


def test_two_processes_render_the_same_bytes(hall: Hall, entries: list[Entry], tmp_path: Path) -> None:
    assert entries
    for name in ("one", "two"):
        made = [str(tmp_path / f"{name}.{kind}") for kind in ("html", "pdf")]
        subprocess.run([sys.executable, "-c", RENDER, str(hall.folder / "journal.jsonl"), *made], check=True)
    for suffix in ("html", "pdf"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_kazakh_letters_are_in_the_pdf_as_text(hall: Hall, entries: list[Entry], tmp_path: Path) -> None:
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext (poppler-utils) is not there")
    file = tmp_path / "minutes.pdf"
    file.write_bytes(render.pdf(render.minutes(entries, "kk")))
    told = subprocess.run(["pdftotext", file, "-"], capture_output=True, text=True, check=True).stdout
    assert "Trial: ә ғ қ ң ө ұ ү һ і" in re.sub(r"\s+", " ", told)
    assert set("әғқңөұүһі") <= set(told.lower())
    fonts = subprocess.run(["pdffonts", file], capture_output=True, text=True, check=True).stdout
    assert fonts.count("DejaVu") == len(fonts.splitlines()) - 2, f"a letter came from another font:\n{fonts}"


def test_a_journal_that_breaks_the_rules_has_no_minutes(hall: Hall) -> None:
    ceremony = hall.open()
    Journal(ceremony.journal.path).append("performed", {"step": "before", "evidence": {}})
    with pytest.raises(Exception, match="step before was not begun"):
        render.minutes(Journal(ceremony.journal.path).entries(), "en")
