"""`kepil certificate draft` and `sign`: the real key signs what a linter read, and nothing else (BR 4.3.1.2)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from asn1crypto import crl as asn1_crl
from asn1crypto import pem, x509

from kepil.ceremony import pkilint
from kepil.ceremony.pkilint import PkilintError, lint_draft
from kepil.cli import main
from kepil.pki.signer import Signer
from kepil.pki.verifier import Verifier

PROJECT = Path(__file__).parents[4]
COMMON = PROJECT / "inventories/common/group_vars/all"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A root's member and the profiles."""
    hierarchies = yaml.safe_load((COMMON / "hierarchies.yml").read_text("utf-8"))["pki_hierarchies_known"]
    profiles = yaml.safe_load((COMMON / "profiles.yml").read_text("utf-8"))["pki_profiles"]
    (tmp_path / "member.json").write_text(json.dumps(hierarchies["rsa"]["root"]))
    (tmp_path / "profiles.json").write_text(json.dumps(profiles))
    return tmp_path


def draft(folder: Path, signer: Signer) -> Path:
    words = ["--member", folder / "member.json", "--profiles", folder / "profiles.json", "--out", folder / "draft.crt"]
    assert main(["certificate", "draft", "--key", signer.uri, *map(str, words)]) == 0
    return folder / "draft.crt"


def signed(folder: Path, signer: Signer, linted: str) -> int:
    words = ["--draft", folder / "draft.crt", "--linted", linted, "--out", folder / "root.crt"]
    return main(["certificate", "sign", "--key", signer.uri, *map(str, words)])


def read(path: Path) -> x509.Certificate:
    return x509.Certificate.load(pem.unarmor(path.read_bytes())[2])


@pytest.mark.clause("CP-7.1")
def test_what_is_signed_is_what_was_linted(folder: Path, root_signer: Signer) -> None:
    path = draft(folder, root_signer)
    linted = lint_draft(path)
    assert signed(folder, root_signer, linted["tbs_sha256"]) == 0
    made, drafted = read(folder / "root.crt"), read(path)
    tbs = made["tbs_certificate"].dump()
    assert tbs == drafted["tbs_certificate"].dump()
    key = made.public_key.dump()
    assert Verifier(key, "sha256").verify(tbs, made["signature_value"].native)
    assert not Verifier(key, "sha256").verify(tbs, drafted["signature_value"].native), "the real key signed the draft"


@pytest.mark.clause("CP-7.1")
def test_a_draft_that_was_exchanged_is_not_signed(
    folder: Path, root_signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Threat: between lint and signature another draft takes the place."""
    linted = lint_draft(draft(folder, root_signer))
    (folder / "draft.crt").unlink()
    draft(folder, root_signer)
    assert signed(folder, root_signer, linted["tbs_sha256"]) == 1
    assert "nothing was signed" in capsys.readouterr().err
    assert not (folder / "root.crt").exists()


def test_a_finding_that_nobody_waived_stops_it(
    folder: Path, root_signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "waivers.yml").write_text("[]")
    monkeypatch.setattr(pkilint, "WAIVERS", folder / "waivers.yml")
    with pytest.raises(PkilintError, match=r"nothing may be signed: pkix\.subject_key_identifier_rfc7093"):
        lint_draft(draft(folder, root_signer))


def crl(folder: Path, signer: Signer, out: str, *more: str) -> asn1_crl.CertificateList:
    words = ["--issuer", f"{folder}/root.crt", "--days", "365", "--out", f"{folder}/{out}", *more]
    assert main(["certificate", "crl", "--key", signer.uri, *words]) == 0
    return asn1_crl.CertificateList.load((folder / out).read_bytes(), strict=True)


@pytest.mark.clause("CP-4.9")
def test_a_crl_follows_the_last_and_forgets_nothing(folder: Path, root_signer: Signer) -> None:
    """Threat: a certificate that was revoked is off the list again after the next one."""
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    crl(folder, root_signer, "first.crl", "--number", "1")
    orders = [{"serial": "0abc", "reason": "keyCompromise"}]
    (folder / "orders.json").write_text(json.dumps(orders))
    crl(folder, root_signer, "second.crl", "--last", f"{folder}/first.crl", "--revoke", f"{folder}/orders.json")
    (folder / "orders.json").write_text(
        json.dumps([{"serial": "0abc", "reason": "superseded"}, {"serial": "1d", "reason": "superseded"}])
    )
    third = crl(folder, root_signer, "third.crl", "--last", f"{folder}/second.crl", "--revoke", f"{folder}/orders.json")
    listed = third["tbs_cert_list"]["revoked_certificates"]
    assert third.crl_number_value.native == 3
    assert {entry["user_certificate"].native: entry.crl_reason_value.native for entry in listed} == {
        0xABC: "key_compromise",
        0x1D: "superseded",
    }


def test_what_is_no_crl_is_not_followed(folder: Path, root_signer: Signer, capsys: pytest.CaptureFixture[str]) -> None:
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    words = [
        "--issuer",
        f"{folder}/root.crt",
        "--days",
        "365",
        "--last",
        f"{folder}/root.crt",
        "--out",
        f"{folder}/x.crl",
    ]
    assert main(["certificate", "crl", "--key", root_signer.uri, *words]) == 1
    assert "is no CRL" in capsys.readouterr().err
