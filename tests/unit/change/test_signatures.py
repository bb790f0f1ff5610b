"""Allowed signers are people; a file that lets one person be two is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kepil.change.gate import NAMESPACE
from kepil.signed.signatures import AllowedSigners, SignatureError

from .conftest import PROJECT, Site

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPcCDgwFe4kHcsvZ2gQq5UdBqBa0+KwuqmVVb/W6VEXM"
OTHER = KEY[:-1] + "N"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def allowed(tmp_path: Path, text: str) -> AllowedSigners:
    path = tmp_path / "allowed_signers"
    path.write_text(text)
    return AllowedSigners(path, NAMESPACE)


def test_people_may_hold_several_keys(tmp_path: Path) -> None:
    made = allowed(
        tmp_path,
        f"# people\n\nchange-manager {KEY}\n"
        f'change-manager namespaces="change@kepil",valid-after="20260101",valid-before="20270101" {OTHER} her second\n'
        f"d.nurlan@kepil.test {KEY[:-1]}O\n",
    )
    assert made.people == {"change-manager", "d.nurlan@kepil.test"}


@pytest.mark.parametrize(
    "line",
    [
        f"change-manager,deputy-manager {KEY}",
        f"* {KEY}",
        f"*@kepil.test {KEY}",
        f"!change-manager {KEY}",
        f"Aigerim {KEY}",
        f"change-manager cert-authority {KEY}",
        f'change-manager cert-authority,namespaces="change@kepil" {KEY}',
        f'"change-manager" {KEY}',
        f"../change-manager {KEY}",
        "change-manager",
        "change-manager ssh-ed25519",
    ],
)
def test_a_line_that_could_be_more_than_one_person_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(SignatureError, match=r"allowed_signers: line 2: not 'PERSON \[OPTIONS\] TYPE KEY'"):
        allowed(tmp_path, f"reviewer {OTHER}\n{line}\n")


def test_one_key_is_one_persons(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="line 2: this key is change-manager's already"):
        allowed(tmp_path, f"change-manager {KEY}\ndeputy-manager {KEY} another comment\n")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="allowed signers cannot be read"):
        AllowedSigners(tmp_path / "allowed_signers", NAMESPACE)


def test_a_strangers_signature_is_not_written(site: Site) -> None:
    path = site.propose("change-manager")
    with pytest.raises(SignatureError, match=r"the key is no allowed signer's at this time: .* names change-manager"):
        site.sign(path, "stranger")
    assert sorted(file.name for file in path.parent.iterdir()) == ["change-manager.sig", "record.yml"]


def test_an_expired_key_signs_nothing_and_what_it_signed_before_stays_verifiable(site: Site) -> None:
    signers = site.path / "inventories/trial/allowed_signers"
    signers.write_text(f'change-manager valid-before="20260101" {site.public("change-manager")}\n')
    path = site.propose()
    with pytest.raises(SignatureError, match="key has expired"):
        site.sign(path, "change-manager", at=NOW)
    before = datetime(2025, 12, 31, tzinfo=UTC)
    site.sign(path, "change-manager", at=before)
    made = AllowedSigners(signers, NAMESPACE)
    made.verify(path.read_bytes(), path.with_name("change-manager.sig"), "change-manager", before)
    with pytest.raises(SignatureError, match="key has expired"):
        made.verify(path.read_bytes(), path.with_name("change-manager.sig"), "change-manager", NOW)


@pytest.mark.parametrize("noon", ["202611211200", "202611211200Z"])
def test_dates_are_utc_whatever_the_machines_zone_is(site: Site, monkeypatch: pytest.MonkeyPatch, noon: str) -> None:
    monkeypatch.setenv("TZ", "UTC-5")  # POSIX spells zones east of Greenwich so
    signers = site.path / "inventories/trial/allowed_signers"
    signers.write_text(f'change-manager valid-before="{noon}" {site.public("change-manager")}\n')
    site.sign(site.propose(), "change-manager", at=datetime(2026, 11, 21, 11, 59, tzinfo=UTC))
    with pytest.raises(SignatureError, match="key has expired"):
        site.sign(site.propose(id="second"), "change-manager", at=datetime(2026, 11, 21, 12, 1, tzinfo=UTC))


def test_a_missing_tool_is_named(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    path = site.propose()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SignatureError, match="install openssh-client"):
        site.sign(path, "change-manager")


@pytest.mark.parametrize(
    "path", sorted(PROJECT.glob("inventories/*/allowed_signers")), ids=lambda path: path.parent.name
)
def test_the_projects_own_files_can_be_read(path: Path) -> None:
    AllowedSigners(path, NAMESPACE)
