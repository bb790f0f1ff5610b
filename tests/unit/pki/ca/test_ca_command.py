"""`kepil ca` as timers, ceremonies and operators call it."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asn1crypto import pem, x509

from kepil.commands import ca
from kepil.pki.issuance import KeySeenBeforeError
from kepil.pki.publish import PublishError
from kepil.pki.settings import CaSettings

Run = Callable[..., Any]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, bytes]]:
    """What was given to `publish`, whose own tests use real hosts."""
    calls = list[Mapping[str, bytes]]()
    monkeypatch.setattr(
        ca, "publish", lambda files, urls, **_: calls.append({file.name: file.read_bytes() for file in files})
    )
    return calls


@pytest.fixture
def run(ca_settings: CaSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a `kepil ca` command with the test's settings; returns the JSON that it prints."""
    path = tmp_path / "ca.json"
    path.write_text(ca_settings.model_dump_json(exclude_none=True), "utf-8")
    parser = argparse.ArgumentParser()
    ca.register(parser.add_subparsers())

    def run(verb: str, *words: str | Path) -> Any:
        capsys.readouterr()
        arguments = parser.parse_args(["ca", verb, "--settings", str(path), *map(str, words)])
        assert arguments.run(arguments) == 0
        printed = capsys.readouterr().out
        return json.loads(printed) if printed else None

    return run


def issue(run: Run, folder: Path, request: bytes, *more: str | Path) -> x509.Certificate:
    (folder / "request.der").write_bytes(request)
    out = folder / "out.pem"
    run("issue", "--authority", "nca-rsa", "--request", folder / "request.der", "--out", out, *more)
    _, _, der = pem.unarmor(out.read_bytes())
    return x509.Certificate.load(der)


def test_a_responder_gets_its_certificate_and_gets_it_again(
    run: Run, tmp_path: Path, new_request: Callable[[], bytes]
) -> None:
    """A ceremony that broke off after the issue resumes with the same certificate; nothing is issued twice."""
    subject = {"country": "KZ", "organization": "Ұлттық орталық", "common_name": "OCSP"}
    member = {
        "name": "ocsp-rsa", "subject": subject, "key": {"type": "rsa", "bits": 3072}, "digest": "sha256",
        "days": 30, "partition": "ocsp", "profile": "ocsp",
    }  # fmt: skip
    (tmp_path / "member.json").write_text(json.dumps(member), "utf-8")
    request, words = new_request(), ("--profile", "ocsp", "--member", tmp_path / "member.json")
    first = issue(run, tmp_path, request, *words)
    assert first.subject.native["common_name"] == "OCSP"
    assert issue(run, tmp_path, request, *words).dump() == first.dump()
    with pytest.raises(KeySeenBeforeError):
        issue(run, tmp_path, request, *words, "--actor", "somebody else")


def test_a_complete_crl_brings_its_delta(run: Run, published: list[Mapping[str, bytes]]) -> None:
    assert run("crl", "--kind", "full") == {"nca-rsa": {"full": 1, "delta": 2}}
    assert run("crl", "--kind", "delta") == {"nca-rsa": {"delta": 3}}
    run("publish")
    assert [sorted(files) for files in published] == [["nca-rsa-delta.crl", "nca-rsa.crl", "nca-rsa.crt"]] * 3
    assert published[0] != published[1] == published[2]


@pytest.mark.clause("CP-2.3")
@pytest.mark.parametrize(("hours", "made"), [(23, {"delta": 2}), (24, {"full": 2, "delta": 3})])
def test_the_hourly_run_makes_up_for_a_complete_crl_that_failed(
    run: Run, published: list[Mapping[str, bytes]], ca_settings: CaSettings, hours: int, made: dict[str, int]
) -> None:
    """Threat: at midnight the database is away for longer than the unit tries; the complete CRL ends at one."""
    with psycopg.connect(ca_settings.database) as connection:
        connection.execute(
            "insert into crl values ('nca-rsa', 1, null, now() - make_interval(hours => %s), now())", [hours]
        )
    assert run("crl", "--kind", "delta") == {"nca-rsa": made}
    assert bool(published[0]["nca-rsa.crl"]) == ("full" in made)
    assert list(run("crl", "--kind", "delta")["nca-rsa"]) == ["delta"]


def test_a_delta_before_any_complete_crl_fails(run: Run, published: list[Mapping[str, bytes]]) -> None:
    with pytest.raises(ca.CommandError, match="--kind full"):
        run("crl", "--kind", "delta")
    assert [sorted(files) for files in published] == [["nca-rsa.crt"]]  # what can be published is


def test_a_host_that_was_missed_is_an_error_but_the_crl_is_kept(
    run: Run, ca_settings: CaSettings, monkeypatch: pytest.MonkeyPatch, published: list[Mapping[str, bytes]]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PublishError("repo01 is down")

    with monkeypatch.context() as patch:
        patch.setattr(ca, "publish", fail)
        with pytest.raises(PublishError):
            run("crl", "--kind", "full")
    run("publish")
    assert sorted(published[0]) == ["nca-rsa-delta.crl", "nca-rsa.crl", "nca-rsa.crt"]


def test_revoke(run: Run, tmp_path: Path, new_request: Callable[[], bytes], ca_settings: CaSettings) -> None:
    certificate = issue(run, tmp_path, new_request(), "--profile", "natural-person")
    serial = f"{certificate.serial_number:x}"
    words = ("--authority", "nca-rsa", "--serial", serial, "--reason", "keyCompromise")
    assert run("revoke", *words) == run("revoke", *words)
    with psycopg.connect(ca_settings.database) as connection:
        assert connection.execute("select reason from status").fetchall() == [(1,)]


def test_a_database_that_is_away_is_named(run: Run, ca_settings: CaSettings, tmp_path: Path) -> None:
    settings = json.loads(ca_settings.model_dump_json(exclude_none=True)) | {"database": "host=/nowhere"}
    (tmp_path / "ca.json").write_text(json.dumps(settings), "utf-8")
    with pytest.raises(ca.CommandError, match="check the database host"):
        run("crl", "--kind", "full")
