"""The sample in docs/ceremonies is a bundle as the project makes them today."""

from __future__ import annotations

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
