"""No certificate is deployed that no verified ceremony made."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kepil.ceremony.people import NAMESPACE
from kepil.ceremony.vouch import VouchError, check_vouched, vouched
from kepil.cli import main
from kepil.errors import KepilError
from kepil.signed.signatures import AllowedSigners

from .conftest import PROJECT, Hall

SAMPLE = PROJECT / "docs/ceremonies/sample"
CERTIFICATE = SAMPLE / "bundle/files/krnca-rsa.crt"
SIGNERS = AllowedSigners(SAMPLE / "allowed_signers", NAMESPACE)


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """A folder of bundles, with one in it."""
    shutil.copytree(SAMPLE / "bundle", tmp_path / "bundles/root")
    return tmp_path / "bundles"


@pytest.mark.clause("CP-2.4")
def test_a_ceremonys_certificate_is_vouched_for(bundles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_vouched([CERTIFICATE], bundles, SIGNERS) == {CERTIFICATE: "root"}
    words = ["--bundles", str(bundles), "--signers", str(SIGNERS.path)]
    assert main(["ceremony", "vouch", str(CERTIFICATE), *words]) == 0
    assert f"{CERTIFICATE}: vouched for by root" in capsys.readouterr().out


@pytest.mark.clause("CP-2.4")
def test_another_certificate_is_not(
    bundles: Path, hall: Hall, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same name from the same software, made without a ceremony."""
    (tmp_path / "made").mkdir()
    module = hall.module()
    module._key("krnca-rsa")
    module._certificate("krnca-rsa", None, tmp_path / "made")
    other = tmp_path / "made/krnca-rsa.crt"
    with pytest.raises(VouchError, match=r"no ceremony vouches for .*krnca-rsa.crt \(SHA-256 [0-9a-f]{64}\)"):
        check_vouched([CERTIFICATE, other], bundles, SIGNERS)
    words = ["--bundles", str(bundles), "--signers", str(SIGNERS.path)]
    assert main(["ceremony", "vouch", str(other), *words]) == 1
    assert "Hold the ceremony" in capsys.readouterr().err


def test_without_a_bundle_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(VouchError, match="has the bundles of none"):
        check_vouched([CERTIFICATE], tmp_path, SIGNERS)


def test_a_bundle_that_was_tampered_with_stops_everything(bundles: Path) -> None:
    shutil.copytree(bundles / "root", bundles / "second")
    journal = bundles / "second/journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"operator-1", b"operator-2"))
    with pytest.raises(KepilError, match=r"second/journal\.jsonl"):
        vouched(bundles, SIGNERS)


@pytest.mark.clause("CP-2.4")
def test_a_ceremony_of_another_environment_vouches_for_nothing(bundles: Path) -> None:
    """Threat: a rehearsal's bundle is carried to where certificates count."""
    assert vouched(bundles, SIGNERS, environment="development")
    with pytest.raises(VouchError, match="a ceremony of development, vouching for nothing in production"):
        vouched(bundles, SIGNERS, environment="production")
