"""A small ceremony that makes a key and a certificate, its people with SSH keys, and a stand-in for the module."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from asn1crypto import crl, x509

from kepil.ceremony.bundle import pack, sign_seal
from kepil.ceremony.definition import read_definition
from kepil.ceremony.desk import Unattended
from kepil.ceremony.documents import render
from kepil.ceremony.engine import Ceremony
from kepil.ceremony.hold import hold
from kepil.ceremony.people import People
from kepil.ceremony.plan import Plan, make_plan
from kepil.ceremony.rehearsal import rehearsal_people
from kepil.ceremony.stand_in import StandIn
from kepil.ceremony.statement import Signed, sign

PROJECT = Path(__file__).parents[3]
SCRIPTS = PROJECT / "playbooks/ceremonies/scripts"
FAMILIES = ("rsa", "gost")


def text(words: str) -> dict[str, str]:
    """The same in three languages."""
    return {"kk": f"{words}: ә ғ қ ң ө ұ ү һ і", "ru": f"{words}: ъ ы э", "en": words}


def step(identity: str, **changes: Any) -> dict[str, Any]:
    """A step that two custodians and the witness confirm."""
    stated = {"id": identity, "title": text(identity), "expect": text("Done"), "actor": "operator"}
    return stated | {"confirms": {"custodian": "2", "witness": "1"}} | changes


def definition() -> dict[str, Any]:
    """A ceremony that works: account, key, certificate, account."""
    return {
        "id": "trial",
        "title": text("Trial"),
        "purpose": text("Try"),
        "clauses": ["CP-6.1"],
        "roles": {"operator": "1", "custodian": "2", "witness": "1", "auditor": "1"},
        "holds": {"partition:root": "once"},
        "steps": [
            step("before", act="account", account="true", confirms={"auditor": "1"}),
            step("key", each="root", act="key", needs=["partition:root"], makes=["key:{name}"]),
            step(
                "sign", each="root", act="sign", needs=["key:{name}"], makes=["certificate:{name}"], read_aloud="true"
            ),
            step("after", act="account", account="true", confirms={"auditor": "1"}),
        ],
    }


def planned(folder: Path, content: dict[str, Any], hierarchies: dict[str, Any]) -> Plan:
    """The plan of a definition."""
    file = folder / "trial.yml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return make_plan(read_definition(file), "trial", hierarchies)


def listing(number: int, *serials: int) -> bytes:
    """A CRL of this number that lists these serial numbers. Nobody signed it."""
    when = x509.Time({"utc_time": datetime(2026, 1, 1, tzinfo=UTC)})
    named = [{"user_certificate": serial, "revocation_date": when} for serial in serials]
    tbs = {
        "version": "v2",
        "signature": {"algorithm": "sha256_rsa"},
        "issuer": x509.Name.build({"common_name": "krnca-rsa"}),
        "this_update": when,
        "next_update": when,
        **({"revoked_certificates": named} if named else {}),
        "crl_extensions": [{"extn_id": "crl_number", "extn_value": number}],
    }
    algorithm = {"algorithm": "sha256_rsa"}
    made: bytes = crl.CertificateList(
        {"tbs_cert_list": tbs, "signature_algorithm": algorithm, "signature": b"none"}
    ).dump()
    return made


def lint(records: Path, content: bytes, name: str = "krnca-rsa") -> None:
    """The record that a CRL was linted before it was signed."""
    tbs = sha256(crl.CertificateList.load(content)["tbs_cert_list"].dump()).hexdigest()
    (records / "lint").mkdir(exist_ok=True)
    (records / f"lint/{name}.crl-{tbs}.json").write_text(json.dumps({"tbs_sha256": tbs, "linter": "pkilint"}))


NEXT = {family: {"next": {"issuing": 2, "ocsp": 2, "tsp": 2}} for family in FAMILIES}
"""`pki_generations` that give ceremonies `rekey` and `renewal` something to do."""
PAST = ("nca-rsa-9", "ocsp-rsa-9", "tsp-gost-9")
"""Keys on record that NEXT does not name: they give `destruction` something to do."""


def estates_plan(name: str, hierarchies: dict[str, Any]) -> Plan:
    """The plan of one of the estate's ceremonies, where each has something to act on."""
    return make_plan(read_definition(SCRIPTS / f"{name}.yml"), "development", hierarchies, NEXT, PAST)


@pytest.fixture(scope="session")
def hierarchies() -> dict[str, Any]:
    """The RSA and GOST hierarchies, as the inventory describes them."""
    file = PROJECT / "inventories/common/group_vars/all/hierarchies.yml"
    known = yaml.safe_load(file.read_text(encoding="utf-8"))["pki_hierarchies_known"]
    return {family: known[family] for family in FAMILIES}


@dataclass
class Hall:
    """A plan, its people with their keys, and a folder for what is held."""

    folder: Path
    keys: Path
    plan: Plan
    people: People

    def open(self) -> Ceremony:
        """A ceremony that begins."""
        return Ceremony.open(self.folder, self.plan, self.people)

    def module(self) -> StandIn:
        """The stand-in for the module."""
        return StandIn(self.folder.parent / "module", self.plan)

    def desk(self) -> Unattended:
        """Everybody signs at once."""
        return Unattended(self.keys, say=lambda _: None)

    def hold(self, ceremony: Ceremony) -> None:
        """To the end."""
        assert hold(ceremony, self.module(), self.desk()).phase == "closed"

    def until(self, ceremony: Ceremony, number: int) -> None:
        """To the beginning of a step, by its number; its act is still to be done."""
        while ceremony.course.phase == "gathering" or ceremony.course.step < number - 1:
            if ceremony.course.must_act():
                ceremony.perform(self.module())
            else:
                ceremony.accept(self.desk().sign(ceremony))

    def signed(self, ceremony: Ceremony, act: Any, who: str, /, key: str = "", **changes: Any) -> Signed:
        """Someone's signature under what is shown now, with her key or with another."""
        person = ceremony.people.get(who)
        typed = changes.pop("typed", None)
        note = changes.pop("note", None)
        role = changes.pop("role", person.roles[0] if person else "witness")
        statement = ceremony.statement(act, who, role, typed=typed, note=note).model_copy(update=changes)
        return sign(statement, self.keys / (key or who), quiet=True)


@pytest.fixture(autouse=True)
def quick_pdf(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No fonts are embedded but where the pages themselves are looked at, and in `made`: that takes longest of all."""
    if "test_documents" not in request.node.nodeid:
        monkeypatch.setattr(
            render, "pdfs", lambda pages: [b"%PDF of " + sha256(page.encode()).digest() for page in pages]
        )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of people, which last for all tests."""
    return tmp_path_factory.mktemp("people")


@pytest.fixture
def hall(tmp_path: Path, keys: Path, hierarchies: dict[str, Any]) -> Hall:
    """Everything is ready to begin, with one hierarchy."""
    plan = planned(tmp_path, definition(), {"rsa": hierarchies["rsa"]})
    return Hall(tmp_path / "ceremony", keys, plan, rehearsal_people(plan, keys))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Path, hierarchies: dict[str, Any]) -> tuple[Hall, Path]:
    """A ceremony that is over, and its sealed bundle."""
    folder = tmp_path_factory.mktemp("made")
    plan = planned(folder, definition(), {"rsa": hierarchies["rsa"]})
    hall = Hall(folder / "ceremony", keys, plan, rehearsal_people(plan, keys))
    hall.hold(hall.open())
    pack(hall.folder, folder / "bundle")
    for who in ("auditor-1", "custodian-1"):
        sign_seal(folder / "bundle", who, keys / who, hall.people, quiet=True)
    return hall, folder / "bundle"
