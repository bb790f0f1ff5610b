"""One person, one key; nobody is two that must be different; too few people do not begin."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kepil.ceremony.documents import render
from kepil.ceremony.people import People, PeopleError, read_people
from kepil.ceremony.roles import ROLES, conflict
from kepil.signed.document import DocumentError, build

from .conftest import Hall

HERE = Path("people.yml")


def stated(hall: Hall) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = hall.people.model_dump(mode="json", exclude_none=True)["people"]
    return content


@pytest.mark.clause("CP-6.1")
def test_who_looks_on_does_nothing_else() -> None:
    for role in ROLES:
        for independent in ("witness", "auditor"):
            assert role == independent or conflict((role, independent))
    assert conflict(("operator", "custodian")) == ("custodian", "operator")
    assert conflict(("operator", "security-officer"))
    assert conflict(("security-officer", "custodian")) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"roles": ["custodian", "witness"]}, "nobody may be custodian and witness at once"),
        ({"roles": ["auditor", "auditor"]}, "a role is there twice"),
        ({"roles": []}, "at least 1 item"),
        ({"id": "custodian-1"}, "two participants have the id 'custodian-1'"),
        ({"name": "custodian-1 (rehearsal)"}, "two participants have the name"),
        ({"key": "ssh-ed25519 AAAAB3NzaC1yc2E="}, "this is no ssh-ed25519 key"),
        ({"key": "command=x ssh-ed25519 AAAA"}, "String should match pattern"),
        ({"pin": "1234"}, "Extra inputs are not permitted"),
    ],
)
def test_people_who_could_be_taken_for_others_are_refused(hall: Hall, changes: dict[str, Any], reason: str) -> None:
    people = stated(hall)
    people[-1] |= changes
    with pytest.raises(DocumentError, match=reason):
        build(People, {"people": people}, HERE)


def test_one_key_is_one_persons(hall: Hall) -> None:
    people = stated(hall)
    people[2]["key"] = people[1]["key"]
    with pytest.raises(DocumentError, match="two participants have the key"):
        build(People, {"people": people}, HERE)


def test_too_few_people_do_not_begin(hall: Hall) -> None:
    people = [person for person in stated(hall) if person["id"] != "custodian-2"]
    with pytest.raises(PeopleError, match=r"2 custodian must be there, and there are 1; step key-krnca-rsa needs 3"):
        build(People, {"people": people}, HERE).check(hall.plan)
    assert not hall.folder.exists()


def test_one_who_holds_two_roles_does_not_stand_for_two(hall: Hall) -> None:
    """A security officer may be a custodian too; a step that asks for one of each still asks for two people."""
    people = stated(hall)
    people[1]["roles"] = ["custodian", "security-officer"]
    confirms = {"security-officer": 1, "custodian": 2}
    steps = (hall.plan.steps[0].model_copy(update={"confirms": confirms}),)
    plan = hall.plan.model_copy(update={"steps": steps, "roles": {"custodian": 2, "security-officer": 1}})
    with pytest.raises(PeopleError, match="needs 3 different people"):
        build(People, {"people": people}, HERE).check(plan)


def test_who_gets_a_share_brings_a_certificate(hall: Hall) -> None:
    people = stated(hall)
    people[1].pop("certificate")
    with pytest.raises(PeopleError, match="custodian-1 has no certificate"):
        build(People, {"people": people}, HERE).check(hall.plan.model_copy(update={"threshold": 2}))


def test_people_are_read_as_they_were_written(hall: Hall, tmp_path: Path) -> None:
    hall.people.write(tmp_path / "people.json")
    assert read_people(tmp_path / "people.json") == hall.people


def part(content: bytes) -> bytes:
    """A string as SSH writes it (RFC 4251 section 5)."""
    return len(content).to_bytes(4) + content


def test_a_security_keys_public_key_is_a_persons(hall: Hall) -> None:
    """FIDO: an Ed25519 key in a token that is touched for each signature (OpenSSH's PROTOCOL.u2f)."""
    kind = "sk-ssh-ed25519@openssh.com"
    encoded = base64.b64encode(part(kind.encode()) + part(bytes(32)) + part(b"ssh:")).decode()
    people = stated(hall)
    people[0]["key"] = f"{kind} {encoded}"
    assert build(People, {"people": people}, HERE).people[0].key == f"{kind} {encoded}"
    shown = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=people[0]["key"], text=True, capture_output=True, check=True
    )
    assert render.key_fingerprint(people[0]["key"]) in shown.stdout
    assert shown.stdout.rstrip().endswith("(ED25519-SK)"), "OpenSSH takes it for one"
