"""What the OCSP service keeps, and what a frozen HSM can hold up."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from kepil.pki.ocsp import CertificateId, SignedResponse
from kepil.pki.signer import SignerError
from kepil.pki.signing import SigningThreads
from kepil.pki.status import CertificateStatus
from kepil.pki.web.ocsp import ResponseCache

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
GOOD = CertificateStatus()
RESPONSE = SignedResponse(b"signed", NOW, NOW + timedelta(hours=9), NOW)
QUESTION = CertificateId(b"a CertID", b"issuer", 4)


@pytest.mark.parametrize(
    ("valid_hours", "hours", "status", "kept"),
    [
        (9, 0, GOOD, True),
        (9, 4.4, GOOD, True),
        (9, 4.5, GOOD, False),
        (9, 10, GOOD, False),
        (9, -1, GOOD, False),
        (9, 1, CertificateStatus(NOW, 1), False),
        (240, 95, GOOD, True),
        (240, 96, GOOD, False),
    ],
)
def test_a_response_is_reused_while_true_and_less_than_half_over(
    valid_hours: float, hours: float, status: CertificateStatus, kept: bool
) -> None:
    """Baseline Requirements 4.9.10: half of the validity, and four days at most."""
    response = SignedResponse(b"signed", NOW - timedelta(days=30), NOW + timedelta(hours=valid_hours), NOW)
    cache = ResponseCache()
    cache.put(QUESTION, GOOD, response)
    assert cache.get(QUESTION, status, NOW + timedelta(hours=hours)) == (response if kept else None)


def test_what_was_not_used_longest_goes_first() -> None:
    cache = ResponseCache(size=2)
    questions = [QUESTION._replace(encoded=bytes((serial,))) for serial in range(3)]
    for question in questions[:2]:
        cache.put(question, GOOD, RESPONSE)
    assert cache.get(questions[0], GOOD, NOW)
    cache.put(questions[2], GOOD, RESPONSE)
    assert [bool(cache.get(question, GOOD, NOW)) for question in questions] == [True, False, True]


def test_a_frozen_hsm_holds_up_its_threads_only_until_it_thaws() -> None:
    thaw = threading.Event()
    threads = SigningThreads(threads=2, patience_seconds=0.1)

    async def scenario() -> None:
        before = threading.active_count()
        stuck = [threads.run(thaw.wait) for _ in range(20)]
        outcomes = await asyncio.gather(*stuck, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {SignerError}
        assert threading.active_count() <= before + 2
        thaw.set()
        assert await threads.run(lambda: "signed") == "signed"

    asyncio.run(scenario())
    threads.close()
