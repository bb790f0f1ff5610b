"""Evidence follows from what the playbooks keep, and from nothing that is not there."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import pem, x509

from kepil.ceremony.definition import Step
from kepil.ceremony.evidence import check_file, read_evidence
from kepil.ceremony.records import STAYS, RecordError, Records
from kepil.errors import KepilError
from kepil.journal.chain import Journal

from .conftest import PROJECT, text

SAMPLE = PROJECT / "docs/ceremonies/sample/bundle/files/krnca-rsa.crt"
MODULE = {"make": "SoftHSM project", "model": "SoftHSM v2", "serial": "0a1b", "firmware": "2.6"}
KEY = {
    "public_key_sha256": "1" * 64,
    "key_uri": "pkcs11:token=root;object=krnca-rsa;type=private",
    "key": {"type": "rsa", "bits": 4096},
    "host": "root01",
    "module": "0a1b",
}


def step(**changes: Any) -> Step:
    stated = {"id": "a-step", "title": text("A step"), "expect": text("Done"), "actor": "operator", "act": "act"}
    return Step.model_validate(stated | {"confirms": {"custodian": 2}} | changes)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    for name, content in {"keys/krnca-rsa.json": KEY, "lint/krnca-rsa.json": {}, "medium/x": {}}.items():
        (tmp_path / "records" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "records" / name).write_text(json.dumps(content))
    return tmp_path / "records"


@pytest.fixture
def hall(tmp_path: Path) -> Path:
    (tmp_path / "hall").mkdir()
    return tmp_path / "hall"


def test_a_keys_evidence_names_where_it_is_and_what_it_is(records: Path, hall: Path) -> None:
    made = Records(records).evidence(step(makes=["key:krnca-rsa"]), hall)["made"]["key:krnca-rsa"]
    assert (made["algorithm"], made["bits"], made["module"]) == ("RSA", 4096, "0a1b")
    assert made["sha256"] == "1" * 64


def test_a_key_in_a_file_is_not_called_a_modules(records: Path, hall: Path) -> None:
    """Threat: the minutes claim a module for a key that never was in one."""
    stated = KEY | {"key_uri": "/etc/kepil/keys/root/krnca-gost.pem", "key": {"type": "gost2012_512"}}
    (records / "keys/krnca-gost.json").write_text(json.dumps(stated))
    evidence = read_evidence(
        step(makes=["key:krnca-gost"]), Records(records).evidence(step(makes=["key:krnca-gost"]), hall)
    )
    made = evidence.made["key:krnca-gost"]
    assert (made["module"], made["bits"]) == ("none: file on root01", 512)


def certificate(records: Path, hall: Path, tbs: str) -> None:
    (records / "krnca-rsa.crt").write_bytes(SAMPLE.read_bytes())
    (records / "lint/krnca-rsa.json").write_text(json.dumps({"tbs_sha256": tbs, "linter": "pkilint 0.13.3"}))
    evidence = Records(records).evidence(step(makes=["certificate:krnca-rsa"]), hall)
    check_file(hall, "certificate:krnca-rsa", evidence["made"], {})


@pytest.mark.clause("CP-7.1")
def test_a_certificate_that_is_not_the_linted_one_is_no_evidence(records: Path, hall: Path) -> None:
    made = x509.Certificate.load(pem.unarmor(SAMPLE.read_bytes())[2])
    certificate(records, hall, sha256(made["tbs_certificate"].dump()).hexdigest())
    with pytest.raises(KepilError, match="what was signed is not what was linted"):
        certificate(records, hall, "2" * 64)


def test_what_was_made_without_the_engine_is_no_evidence(records: Path, hall: Path) -> None:
    (records / "krnca-rsa.crt").write_bytes(SAMPLE.read_bytes())
    with pytest.raises(RecordError, match=r"lint/krnca-rsa.json: tbs_sha256, linter is not on record"):
        Records(records).evidence(step(makes=["certificate:krnca-rsa"]), hall)


def test_an_act_that_left_no_file_made_nothing(records: Path, hall: Path) -> None:
    with pytest.raises(RecordError, match=r"medium/nca-rsa.csr: the act left no such file"):
        Records(records).evidence(step(makes=["request:nca-rsa"]), hall)


def test_an_act_that_reached_no_host_gives_no_account(records: Path, hall: Path) -> None:
    """Threat: no host was asked, and the modules are said to hold nothing."""
    with pytest.raises(RecordError, match="step x: no host gave an account: its playbook reaches none of root"):
        Records(records).evidence(step(id="x", act="account", account="true", at="root"), hall)


def test_every_partition_gives_its_account(records: Path, hall: Path) -> None:
    (hall / "account").mkdir()
    for name in ("root", "nca"):
        account = {"module": MODULE | {"serial": name}, "keys": {f"{name}-key": "3" * 64}}
        (hall / f"account/{name}.json").write_text(json.dumps(account))
    evidence = read_evidence(step(account=True), Records(records).evidence(step(account=True), hall))
    assert evidence.account == {"root-key": "3" * 64, "nca-key": "3" * 64}
    assert {module.serial for module in evidence.modules} == {"root", "nca"}


@pytest.mark.clause("CP-6.2")
def test_a_restored_key_is_the_first_modules(records: Path, hall: Path) -> None:
    """Threat: the second module holds another key under the name, and the account shows one of the two."""
    (hall / "account").mkdir()
    for host, key in (("ca01", "3" * 64), ("hsm02", "3" * 64)):
        (hall / f"account/{host}.json").write_text(json.dumps({"module": MODULE, "keys": {"nca-rsa": key}}))
    assert Records(records).evidence(step(account=True), hall)["account"] == {"nca-rsa": "3" * 64}
    (hall / "account/hsm02.json").write_text(json.dumps({"module": MODULE, "keys": {"nca-rsa": "4" * 64}}))
    with pytest.raises(RecordError, match="hsm02: its module holds another key nca-rsa"):
        Records(records).evidence(step(account=True), hall)


def test_a_backup_that_was_exchanged_on_its_way_is_none(records: Path, hall: Path) -> None:
    (records / "backups").mkdir()
    (records / "medium/nca.wrapped").write_bytes(b"wrapped")
    stated = {"sha256": sha256(b"wrapped").hexdigest(), "host": "hsm01"}
    (records / "backups/nca.json").write_text(json.dumps(stated))
    evidence = read_evidence(step(makes=["backup:nca"]), Records(records).evidence(step(makes=["backup:nca"]), hall))
    assert evidence.made["backup:nca"]["sha256"] == stated["sha256"]
    assert not list((hall / "files").iterdir()), "a wrapped key is in no bundle"
    (records / "medium/nca.wrapped").write_bytes(b"exchanged")
    with pytest.raises(RecordError, match="backup:nca: what was carried out is not what hsm01 wrapped"):
        Records(records).evidence(step(makes=["backup:nca"]), hall)


@pytest.mark.clause("CP-6.2")
def test_an_aborted_ceremony_destroys_what_it_made_and_nothing_older(records: Path, hall: Path) -> None:
    """Threat: `root` is held again where its key stands already, is aborted, and takes the key with it."""
    journal = Journal(hall / "journal.jsonl", clock=lambda: datetime(2026, 1, 2, tzinfo=UTC))
    journal.append("opened", {})
    for day, older in (("01", True), ("03", False)):
        (records / "keys/krnca-rsa.json").write_text(json.dumps(KEY | {"performed_at": f"2026-01-{day}T00:00:00Z"}))
        assert Records(records).older("key:krnca-rsa", hall) is older
    (records / "krnca-rsa.crl").write_text("of this year")
    assert not Records(records).older("crl:krnca-rsa", hall)
    os.utime(records / "krnca-rsa.crl", (0, 0))
    assert Records(records).older("crl:krnca-rsa", hall)
    assert Records(records).forget("crl:krnca-rsa", hall) == STAYS
    assert (records / "krnca-rsa.crl").exists()
    with pytest.raises(RecordError, match="no host of the ceremony destroyed it"):
        Records(records).forget("key:krnca-rsa", hall)
    assert (records / "keys/krnca-rsa.json").exists()
    (hall / "destroyed/krnca-rsa").mkdir(parents=True)
    (hall / "destroyed/krnca-rsa/root01").touch()
    assert Records(records).forget("key:krnca-rsa", hall) == "destroyed on root01, and looked for in vain"
    assert not (records / "keys/krnca-rsa.json").exists()


@pytest.mark.clause("CP-4.9")
def test_after_an_abort_the_crl_before_is_published_again(records: Path, hall: Path) -> None:
    """Threat: the abort of a ceremony takes the root's only CRL away, and nobody can verify the NCA."""
    Journal(hall / "journal.jsonl", clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)).append("opened", {})
    (records / "krnca-rsa.crl").write_text("signed and not confirmed")
    (hall / "former").mkdir()
    (hall / "former/krnca-rsa.crl").write_text("of last year")
    assert "the CRL before it stands again" in Records(records).forget("crl:krnca-rsa", hall)
    assert (records / "krnca-rsa.crl").read_text() == "of last year"
    (hall / "former/krnca-rsa.crl").unlink()
    assert Records(records).forget("crl:krnca-rsa", hall) == "file removed"  # a root's first one has none before it
    assert not (records / "krnca-rsa.crl").exists()


@pytest.mark.clause("CP-5.7")
def test_a_destroyed_keys_certificate_is_laid_aside(records: Path, hall: Path) -> None:
    """Threat: after a compromise a new key is refused, because the old one's certificate stands under its name."""
    fingerprint = "4" * 64
    for name, content in {
        "nca-rsa.json": {"sha256": fingerprint},
        "nca-rsa.crt": {},
        "lint/nca-rsa.json": {},
        "medium/nca-rsa.csr": {},
        "keys/nca-rsa.json": KEY,
    }.items():
        (records / name).write_text(json.dumps(content))
    (hall / "destroyed/nca-rsa").mkdir(parents=True)
    for host in ("hsm02", "ca01"):
        (hall / "destroyed/nca-rsa" / host).touch()
    evidence = Records(records).evidence(step(destroys=["key:nca-rsa"]), hall)
    assert evidence["destroyed"] == {"key:nca-rsa": "destroyed on ca01, hsm02, and looked for in vain"}
    assert not list(records.rglob("keys/nca-rsa.json"))
    retired = records / "retired" / fingerprint
    assert sorted(str(path.relative_to(retired)) for path in retired.rglob("*") if path.is_file()) == [
        "lint/nca-rsa.json",
        "medium/nca-rsa.csr",
        "nca-rsa.crt",
        "nca-rsa.json",
    ]
    assert not [path for path in records.rglob("nca-rsa*") if path.is_file() and retired not in path.parents]


def shares(records: Path, name: str, day: str) -> None:
    (records / "shares" / name).mkdir(parents=True)
    (records / f"shares/{name}/custodian-1.pem").write_text(name)
    record = {"name": name, "threshold": 2, "holders": {}, "performed_at": f"2026-01-{day}T00:00:00Z"}
    (records / f"shares/{name}.json").write_text(json.dumps(record))


@pytest.mark.clause("CP-6.4")
@pytest.mark.parametrize("killed_before", ["nothing", "rename", "write_text", "unlink", "the journal"])
def test_new_shares_take_the_old_ones_name_wherever_it_is_killed(
    records: Path, hall: Path, monkeypatch: pytest.MonkeyPatch, killed_before: str
) -> None:
    """Threat: the step is taken up again, and destroys the new shares, which now have the old ones' name."""
    Journal(hall / "journal.jsonl", clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)).append("opened", {})
    shares(records, "nca", "01")
    shares(records, "nca-next", "03")
    destroy = step(destroys=["shares:nca"])
    if killed_before == "the journal":
        Records(records).evidence(destroy, hall)
    elif killed_before != "nothing":
        with monkeypatch.context() as patched:
            patched.setattr(Path, killed_before, lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                Records(records).evidence(destroy, hall)
    assert Records(records).evidence(destroy, hall)["destroyed"] == {"shares:nca": "encrypted shares removed"}
    assert sorted(str(path.relative_to(records)) for path in (records / "shares").rglob("*")) == [
        "shares/nca",
        "shares/nca.json",
        "shares/nca/custodian-1.pem",
    ]
    assert (records / "shares/nca/custodian-1.pem").read_text() == "nca-next"
    assert json.loads((records / "shares/nca.json").read_text())["name"] == "nca"


def test_shares_of_an_aborted_ceremony_go(records: Path, hall: Path) -> None:
    shares(records, "nca", "01")
    shares(records, "nca-next", "03")
    assert Records(records).forget("shares:nca-next", hall) == "encrypted shares removed"
    assert (records / "shares/nca/custodian-1.pem").read_text() == "nca"
    assert not list((records / "shares").glob("*-next*"))
