"""`kepil certificate draft` and `sign`: the real key signs what a linter read, and nothing else (BR 4.3.1.2)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
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
STEPS = PROJECT / "playbooks/ceremonies/steps"
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


def signed(folder: Path, signer: Signer, linted: str, made: Path | None = None, out: str = "root.crt") -> int:
    words = ["--draft", made or folder / "draft.crt", "--linted", linted, "--out", folder / out]
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
    path = draft_crl(folder, signer, *more)
    assert signed(folder, signer, lint_draft(path)["tbs_sha256"], path, out) == 0
    path.unlink()
    return asn1_crl.CertificateList.load((folder / out).read_bytes(), strict=True)


def draft_crl(folder: Path, signer: Signer, *more: str) -> Path:
    words = ["--issuer", f"{folder}/root.crt", "--days", "365", "--out", f"{folder}/draft.crl", *more]
    assert main(["certificate", "draft-crl", "--key", signer.uri, *words]) == 0
    return folder / "draft.crl"


@pytest.mark.clause("CP-7.2")
def test_of_a_crl_too_only_what_was_linted_is_signed(
    folder: Path, root_signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Threat: the root signs a list that nobody read, or one that took the place of it."""
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    path = draft_crl(folder, root_signer, "--number", "1")
    linted, drafted = lint_draft(path)["tbs_sha256"], asn1_crl.CertificateList.load(path.read_bytes())
    tbs = drafted["tbs_cert_list"].dump()
    verifier = Verifier(root_signer.public_key_info, "sha256")
    assert not verifier.verify(tbs, drafted["signature"].native), "the real key signed the draft"
    path.unlink()
    draft_crl(folder, root_signer, "--number", "2")
    assert signed(folder, root_signer, linted, path, "root.crl") == 1
    assert "nothing was signed" in capsys.readouterr().err
    assert not (folder / "root.crl").exists()
    path.write_bytes(drafted.dump())
    assert signed(folder, root_signer, linted, path, "root.crl") == 0
    made = asn1_crl.CertificateList.load((folder / "root.crl").read_bytes(), strict=True)
    assert made["tbs_cert_list"].dump() == tbs
    assert verifier.verify(tbs, made["signature"].native)


def test_a_signature_that_does_not_verify_is_not_kept(
    folder: Path, root_signer: Signer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Threat: a faulty module's CRL takes the place of one that verifies."""
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    path = draft_crl(folder, root_signer, "--number", "1")
    real = Signer.sign
    monkeypatch.setattr(Signer, "sign", lambda self, content: real(self, content + b"!"))
    assert signed(folder, root_signer, lint_draft(path)["tbs_sha256"], path, "root.crl") == 1
    assert "its signature does not verify, and was not kept" in capsys.readouterr().err
    assert not (folder / "root.crl").exists()


def test_a_crl_of_another_key_than_its_issuers_is_not_drafted(
    folder: Path, root_signer: Signer, issuing_signer: Signer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    words = ["--issuer", f"{folder}/root.crt", "--days", "365", "--number", "1", "--out", f"{folder}/draft.crl"]
    assert main(["certificate", "draft-crl", "--key", issuing_signer.uri, *words]) == 1
    assert "is not the key of" in capsys.readouterr().err


def test_a_list_in_which_something_was_found_is_not_signed(folder: Path, root_signer: Signer) -> None:
    """Threat: a list whose entries have reasons that RFC 5280 does not know is signed unread."""
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    path = draft_crl(folder, root_signer, "--number", "1")
    listed = asn1_crl.CertificateList.load(path.read_bytes())
    listed["tbs_cert_list"]["version"] = "v1"
    path.write_bytes(listed.dump(force=True))
    with pytest.raises(PkilintError, match="nothing may be signed"):
        lint_draft(path)


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


@pytest.fixture
def host(folder: Path, root_signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[int]]]:
    """Runs the scripts of ceremonies in a folder as on a root's host; gives its CRL's number, and what it lists."""
    assert signed(folder, root_signer, lint_draft(draft(folder, root_signer))["tbs_sha256"]) == 0
    (folder / "openssl.cnf").touch()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    told = {"NAME": "root", "KEY": root_signer.uri, "DIGEST": "sha256", "CRL_DAYS": "365"}

    def play(script: str, **more: str) -> None:
        text = (STEPS / script).read_text(encoding="utf-8").replace("/etc/kepil/ceremony", str(folder))
        text = f"config={folder}/openssl.cnf activation={os.devnull}\n{text}"
        subprocess.run(["sh", "-eus"], input=text, text=True, check=True, env=os.environ | told | more)

    def run(script: str, ceremony: str, *serials: str) -> tuple[int, list[int]]:
        revoked = json.dumps([{"serial": serial, "reason": "keyCompromise"} for serial in serials])
        play(script, CEREMONY=ceremony, REVOKED=revoked)
        if script != "withdraw_crl.sh":
            linted = lint_draft(folder / "root.draft.crl")["tbs_sha256"]
            play("sign.sh", DRAFTED=script.removesuffix(".sh"), KIND="crl", LINTED=linted)
        made = asn1_crl.CertificateList.load((folder / "root.crl").read_bytes(), strict=True)
        listed = made["tbs_cert_list"]["revoked_certificates"]
        number: int = made.crl_number_value.native
        return number, [entry["user_certificate"].native for entry in listed if listed.native]

    return run


@pytest.mark.clause("CP-4.9")
def test_a_withdrawn_crl_leaves_the_one_before_and_its_number_is_taken(
    folder: Path, host: Callable[..., tuple[int, list[int]]]
) -> None:
    """Threat: after an abort the root has no CRL, or what was withdrawn comes back, or two lists have one number."""
    assert host("first_crl.sh", "root-1") == (1, [])
    assert host("crl.sh", "crl-1", "0a") == (2, [0x0A])
    assert host("crl.sh", "aborted-1", "0bad") == (3, [0x0A, 0xBAD])
    for _ in range(2):  # the abort may be interrupted too
        assert host("withdraw_crl.sh", "aborted-1") == (2, [0x0A])
    assert host("crl.sh", "crl-2", "0b") == (4, [0x0A, 0x0B])
    (folder / "root.crl").unlink()
    assert host("withdraw_crl.sh", "crl-2") == (2, [0x0A])


@pytest.mark.clause("CP-4.9")
def test_a_crl_that_is_signed_again_lists_the_same_under_another_number(
    host: Callable[..., tuple[int, list[int]]],
) -> None:
    """Threat: interrupted after the signature, the act starts from what it signed itself."""
    host("first_crl.sh", "root-1")
    assert host("crl.sh", "crl-1", "0a") == (2, [0x0A])
    assert host("crl.sh", "crl-1", "0b") == (3, [0x0B])
    assert host("withdraw_crl.sh", "crl-1") == (1, [])


def test_a_first_crl_that_is_withdrawn_goes(folder: Path, host: Callable[..., tuple[int, list[int]]]) -> None:
    host("first_crl.sh", "root-1")
    with pytest.raises(FileNotFoundError):
        host("withdraw_crl.sh", "root-1")
    host("first_crl.sh", "root-2")
    host("first_crl.sh", "root-3")
    assert host("withdraw_crl.sh", "root-3") == (1, []), "it was there before"


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
    assert main(["certificate", "draft-crl", "--key", root_signer.uri, *words]) == 1
    assert "is no CRL" in capsys.readouterr().err
