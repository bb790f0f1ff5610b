"""After broken glass nothing ordinary runs until two others have signed what they found."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kepil.change.record import Record
from kepil.change.review import FILE, Review, ReviewError
from kepil.journal.chain import Entry
from kepil.signed import document
from kepil.signed.signatures import SignatureError

from .conftest import ENVIRONMENT, Site

pytestmark = pytest.mark.clause("CP-5.4")


@pytest.fixture
def broken(site: Site) -> Entry:
    """The start of a run that one person allowed herself; an ordinary change waits."""
    path = site.propose("change-manager", kind="break-glass", id="urgent")
    site.propose("change-manager", "deputy-manager")
    record = document.parse(path.read_bytes(), Record, path)
    return site.log().start(record, path.read_bytes(), ["change-manager"], check=False)


def review(site: Site, *starts: Entry, identity: str = "looked-into", environment: str = ENVIRONMENT) -> Path:
    path = site.records / identity / FILE
    stated = {"id": identity, "environment": environment, "starts": [start.sha256 for start in starts], "finding": "x"}
    document.write(path, document.build(Review, stated, path))
    return path


def test_without_a_review_nothing_ordinary_runs(site: Site, broken: Entry) -> None:
    with pytest.raises(ReviewError, match=r"run urgent \(entry 1\) has not been reviewed: kepil change review trial"):
        site.examine()


def test_more_glass_may_be_broken(site: Site, broken: Entry) -> None:
    site.examine("urgent")


@pytest.mark.parametrize(
    ("people", "count"),
    [((), 0), (("deputy-manager",), 1), (("change-manager",), 0), (("change-manager", "deputy-manager"), 1)],
)
def test_two_others_must_sign(site: Site, broken: Entry, people: tuple[str, ...], count: int) -> None:
    path = review(site, broken)
    for person in people:
        site.sign(path, person)
    with pytest.raises(
        ReviewError, match=f"review looked-into with {count} of 2 signatures of people other than change-manager"
    ):
        site.examine()
    assert site.log().unreviewed() == [broken]


def test_two_others_signatures_end_it_for_good(site: Site, broken: Entry) -> None:
    path = review(site, broken)
    for person in ("deputy-manager", "reviewer"):
        site.sign(path, person)
    site.examine()
    (run,) = site.log().runs()
    assert run.review is not None
    assert run.review.data["signers"] == ["deputy-manager", "reviewer"]
    for file in path.parent.iterdir():
        file.unlink()
    site.examine()  # the log remembers


def test_one_of_several_reviews_is_enough(site: Site, broken: Entry) -> None:
    review(site, broken, identity="z-abandoned")
    path = review(site, broken)
    for person in ("deputy-manager", "reviewer"):
        site.sign(path, person)
    site.examine()


def test_a_review_is_of_the_runs_that_it_names(site: Site, broken: Entry) -> None:
    path = review(site, broken)
    for person in ("deputy-manager", "reviewer"):
        site.sign(path, person)
    record = site.records / "urgent/record.yml"
    site.log().start(document.parse(record.read_bytes(), Record, record), b"", ["change-manager"], check=False)
    with pytest.raises(ReviewError, match=r"run urgent \(entry 2\) has not been reviewed"):
        site.examine()


def test_a_review_of_another_environment_counts_for_nothing(site: Site, broken: Entry) -> None:
    path = review(site, broken, environment="other")
    for person in ("deputy-manager", "reviewer"):
        site.sign(path, person)
    with pytest.raises(ReviewError, match="has not been reviewed"):
        site.examine()


def test_a_tampered_review_is_refused(site: Site, broken: Entry) -> None:
    path = review(site, broken)
    for person in ("deputy-manager", "reviewer"):
        site.sign(path, person)
    path.write_text(path.read_text().replace("finding: x", "finding: y"))
    with pytest.raises(SignatureError, match=r"deputy-manager\.sig: no valid signature"):
        site.examine()


def test_a_signature_on_the_record_is_none_on_the_review(site: Site, broken: Entry) -> None:
    path = review(site, broken)
    site.sign(path, "deputy-manager")
    record = site.propose("reviewer", id="third")
    record.with_name("reviewer.sig").rename(path.with_name("reviewer.sig"))
    with pytest.raises(SignatureError, match=r"reviewer\.sig: no valid signature"):
        site.examine()


def test_a_reviewers_key_may_end_after_the_review(site: Site, broken: Entry) -> None:
    path = review(site, broken)
    for person in ("deputy-manager", "reviewer"):
        site.sign(path, person)
    site.examine()
    signers = site.path / "inventories/trial/allowed_signers"
    today = datetime.now(UTC).strftime("%Y%m%d")
    signers.write_text(signers.read_text().replace("reviewer ", f'reviewer valid-before="{today}",'))
    site.propose("change-manager", "deputy-manager", commit=site.commit(), id="later")
    site.examine("later")
