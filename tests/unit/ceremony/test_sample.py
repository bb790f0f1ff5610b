"""The sample in docs/ceremonies is a bundle as the project makes them today."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.verify import verify_bundle
from kepil.signed.signatures import AllowedSigners

from .conftest import PROJECT

SAMPLE = PROJECT / "docs/ceremonies/sample"


@pytest.mark.clause("CP-6.1")
def test_the_sample_proves_what_it_says() -> None:
    """Where this fails after templates or rules changed, make it anew: docs/ceremonies/sample/make."""
    proved = verify_bundle(SAMPLE / "bundle", AllowedSigners(SAMPLE / "allowed_signers", NAMESPACE))
    assert proved.outcome == "completed"
    assert list(proved.vouches.values()) == ["krnca-rsa", "krnca-gost"]
    assert not proved.notes, "the documents are of older templates"


PAGES = sorted((SAMPLE / "bundle/documents").glob("*.pdf"))
MILLIMETRE = 72 / 25.4
WIDTH, HEIGHT = 210 * MILLIMETRE, 297 * MILLIMETRE
LEFT, RIGHT, TOP, BOTTOM = (
    18 * MILLIMETRE,
    WIDTH - 15 * MILLIMETRE,
    18 * MILLIMETRE,
    HEIGHT - 20 * MILLIMETRE,
)
"""What style.css leaves free at the edges; head of the journal and page numbers stand below."""
WORD = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*)</word>')


@pytest.mark.parametrize("path", PAGES, ids=[path.stem for path in PAGES])
def test_nothing_of_the_sample_is_cut_off(path: Path) -> None:
    """Each word is a box inside the margins of a page, or in the line below them."""
    if not shutil.which("pdftotext"):
        pytest.skip("pdftotext (poppler-utils) is not there")
    told = subprocess.run(["pdftotext", "-bbox", path, "-"], capture_output=True, text=True, check=True).stdout
    sheets = told.split("<page ")[1:]
    assert sheets
    for number, sheet in enumerate(sheets, start=1):
        words = [(*map(float, found[:4]), found[4]) for found in WORD.findall(sheet)]
        assert f"{number}" in [word for _, top, _, _, word in words if top > BOTTOM], "its number"
        outside = [
            word
            for left, top, right, bottom, word in words
            if not (LEFT - 1 < left < right < RIGHT + 1 and top > TOP - 1 and (bottom < BOTTOM + 1 or top > BOTTOM))
            or bottom > HEIGHT
        ]
        assert not outside, f"page {number}"


def test_there_are_pages_in_all_languages() -> None:
    assert len(PAGES) == 2 * 3
