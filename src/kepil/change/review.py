"""The review of break-glass runs: two people who did not break the glass sign what they found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kepil.change.log import ChangeLog
from kepil.change.record import folder
from kepil.errors import KepilError
from kepil.signed.document import Document, Line, Name, Sha256, parse
from kepil.signed.signatures import AllowedSigners, signers

FILE = "review.yml"
REVIEWERS = 2


class ReviewError(KepilError):
    """A break-glass run has not been reviewed; the message names it and what is left to do."""


class Review(Document):
    """What was found about break-glass runs, named by the SHA-256 of their start in the log."""

    id: Name
    environment: Name
    starts: Annotated[tuple[Sha256, ...], Field(min_length=1)]
    finding: Line


def settle(project: Path, log: ChangeLog, allowed: AllowedSigners, at: datetime) -> None:
    """Enter complete reviews in the log; raise ReviewError while a break-glass run is without one.

    A review is judged once: what is in the log stays reviewed when a reviewer's key ends.
    """
    for start in log.unreviewed():
        lacking = f"has not been reviewed: kepil change review {log.environment} --finding '…'"
        for path, review, content in _reviews(project, log.environment):
            if start.sha256 not in review.starts:
                continue
            people = set(signers(path, content, allowed, at)) - set(start.data["signers"])
            if len(people) >= REVIEWERS:
                log.review(start, review.id, content, sorted(people))
                break
            lacking = (
                f"has review {review.id} with {len(people)} of {REVIEWERS} signatures of people other than "
                f"{', '.join(start.data['signers'])}: kepil change sign {log.environment} {review.id}"
            )
        else:
            raise ReviewError(
                f"break-glass run {start.data['record']} (entry {start.number}) {lacking}. "
                f"Until it is reviewed, no ordinary change runs in {log.environment}"
            )


def read_review(path: Path) -> tuple[Review, bytes]:
    """A review and its bytes; raises DocumentError with the file and the key."""
    content = path.read_bytes()
    return parse(content, Review, path), content


def _reviews(project: Path, environment: str) -> Iterator[tuple[Path, Review, bytes]]:
    for path in sorted(folder(project, environment).glob(f"*/{FILE}")):
        review, content = read_review(path)
        if review.environment == environment:
            yield path, review, content
