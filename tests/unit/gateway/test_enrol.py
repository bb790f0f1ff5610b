"""GW-15: only what the organisation itself signed opens anything; everything else is refused and changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from kepil.gateway.calendar import Calendar, day_of
from kepil.gateway.category import Categories
from kepil.gateway.cms import SignatureRefusedError, UndecidedError, verify
from kepil.gateway.enrol import Enrolled, enrol
from kepil.gateway.located import GatewayError
from kepil.gateway.notice import notice
from kepil.gateway.organisations import read_organisations
from kepil.gateway.register import Register
from kepil.gateway.settings import Settings
from tests.unit.gateway.authority import EMPLOYEE, GOST, Authority, serve
from tests.unit.gateway.conftest import BIN, OTHER_BIN, PROJECT, STATED

NOW = datetime.now(UTC) + timedelta(hours=1)  # when the certificates below are there, however slow the machine
TODAY = day_of(NOW)
TEXT = f"""\
application: internet-access
organisation: ministry
name: Ministry of Tests
bin: "{BIN}"
operator: telecom
contact: it@ministry.example.kz
dated: {TODAY - timedelta(days=2)}
networks: [198.18.10.0/24]
categories: [government, finance, news]
exceptions:
  - service: Remote work
    why: Staff abroad
    destinations: [203.0.113.7]
    protocol: udp
    port: 500
"""
SETTINGS = Settings.model_validate(
    {
        "gateway_categories": STATED["gateway_categories"],
        "gateway_operators": {"telecom": {"email": "a@telecom.kz", "networks": ["198.18.0.0/15"]}},
    }
)


def has_gost() -> bool:
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "gost2012_256", "-pkeyopt", "paramset:A"],
        capture_output=True,
        check=False,
        env=os.environ | {"OPENSSL_CONF": GOST},
    )
    return Path(GOST).exists() and made.returncode == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    made = Authority(tmp_path_factory.mktemp("authority") / "rsa")
    made.subscriber("head", f"BIN{BIN}")
    made.subscriber("other", f"BIN{OTHER_BIN}")
    made.subscriber("person", "")
    made.subscriber("employee", f"BIN{BIN}", EMPLOYEE)
    made.subscriber("short", f"BIN{BIN}", days=1)
    made.subscriber("revoked", f"BIN{BIN}")
    made.subscriber("unlisted", f"BIN{BIN}")
    made.subscriber("self", f"BIN{BIN}", by=None)  # type: ignore[arg-type]
    made.revoked.add("revoked")
    server = serve(made)
    yield made
    server.shutdown()


class Office:
    """An inventory, a register, and who works with them."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority = folder, authority
        self.inventories = folder / "inventories"
        (self.inventories / "trial").mkdir(parents=True)
        self.register = Register(folder / "enrolment", Calendar())

    def bring(self, signed: bytes, at: datetime = NOW) -> Enrolled:
        path = self.folder / "application.p7m"
        path.write_bytes(signed)
        return enrol(path, self.inventories, "trial", SETTINGS, self.authority.trust, self.register, at)

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.inventories.rglob("*") if path.is_file()}

    def leaves(self, reason: str, signed: bytes, at: datetime = NOW) -> None:
        """Not decided for a reason of the gateway's own: nothing changes, and the limit runs on (GW-16)."""
        before = self.files()
        with pytest.raises(UndecidedError, match=reason):
            self.bring(signed, at)
        assert self.files() == before
        item = list(self.register.items().values())[-1]
        assert item.state == "received"
        assert re.search(reason, item.note)
        assert item.late(item.due + timedelta(days=1))

    def refuses(self, signed: bytes, reason: str, at: datetime = NOW) -> None:
        """Refused with the reason, which the register holds; nothing else changes."""
        before = self.files()
        with pytest.raises(GatewayError, match=reason):
            self.bring(signed, at)
        assert self.files() == before
        item = list(self.register.items().values())[-1]
        assert item.state == "refused"
        assert "IIN" not in item.note  # CP-9.4: who signed is a person


@pytest.fixture
def office(tmp_path: Path, authority: Authority) -> Office:
    return Office(tmp_path, authority)


@pytest.mark.clause("GW-15-1")
def test_a_signed_application_opens_one_calendar_year(office: Office, categories: Categories) -> None:
    enrolled = office.bring(office.authority.sign(TEXT, "head"))
    found = read_organisations(office.inventories / "trial/organisations", categories)["ministry"]
    assert found == enrolled.organisation
    subprocess.run(["yamllint", "--strict", "--config-file", PROJECT / ".yamllint", enrolled.path], check=True)
    assert (found.closes - found.opens).days in (365, 366)
    assert found.exceptions[0].application == found.application.sha256
    kept = office.folder / "enrolment/applications" / f"{found.application.sha256}.p7m"
    assert kept.read_bytes() == (office.folder / "application.p7m").read_bytes()
    assert [item.state for item in office.register.items().values()] == ["accepted"]


def test_the_same_application_again_changes_nothing(office: Office) -> None:
    """Threat: whoever sends the file again has the year begin anew."""
    signed = office.authority.sign(TEXT, "head")
    office.bring(signed)
    before = office.files()
    assert not office.bring(signed, NOW + timedelta(days=20)).changed
    assert office.files() == before


def test_an_older_application_opens_nothing_again(office: Office) -> None:
    older = TEXT.replace(str(TODAY - timedelta(days=2)), str(TODAY - timedelta(days=3)))
    office.bring(office.authority.sign(TEXT, "head"))
    office.refuses(office.authority.sign(older, "head"), "is not newer: an old application opens nothing again")


def test_pem_is_taken_too(office: Office) -> None:
    der = office.authority.sign(TEXT, "head")
    pem = office.authority.openssl("cms", "-cmsout", "-inform", "DER", "-outform", "PEM", given=der)
    assert office.bring(pem).changed


@pytest.mark.parametrize(
    ("signer", "reason"),
    [
        ("other", f"the application is of BIN {BIN}, the signature of BIN {OTHER_BIN} .* someone else's signature"),
        ("person", r"names no organisation \(BIN\)"),
        ("employee", "is not the head's, nor one with the right to sign"),
        ("revoked", "the certificate .* is revoked"),
        ("unlisted", "the certificate .* is unknown"),
        ("self", "the signature does not hold: .*self.signed certificate"),
        ("ocsp", "names no organisation"),
    ],
)
def test_whose_signature_it_is_not(office: Office, signer: str, reason: str) -> None:
    """Threats: one's own certificate, another organisation's, a person's, an employee's, a revoked one."""
    office.refuses(office.authority.sign(TEXT, signer), reason)


def test_an_expired_certificate_is_refused(office: Office) -> None:
    office.refuses(office.authority.sign(TEXT, "short"), "certificate has expired", NOW + timedelta(days=3))


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_a_weak_digest_is_refused(office: Office, digest: str) -> None:
    """Threat: a second text with the same digest."""
    office.refuses(office.authority.sign(TEXT, "head", digest=digest), f"signed with {digest}; sign with SHA-256")


def test_two_signatures_are_refused(office: Office) -> None:
    """Threat: which of two signers is the organisation is the reader's guess."""
    office.refuses(office.authority.sign(TEXT, "head", "other"), "has 2 signatures; one is needed")


def test_an_altered_application_is_refused(office: Office) -> None:
    signed = office.authority.sign(TEXT, "head")
    assert signed.count(b"198.18.10.0/24") == 1
    office.refuses(signed.replace(b"198.18.10.0/24", b"198.18.11.0/24"), "the signature does not hold: ")


def test_a_signature_under_another_text_is_refused(office: Office) -> None:
    """Threat: content and signature of two messages are put together."""
    text = TEXT.replace("198.18.10.0/24", "198.18.11.0/24").encode()
    signed = office.authority.sign(TEXT, "head").replace(TEXT.encode(), text)
    office.refuses(signed, "the signature does not hold: ")


@pytest.mark.parametrize(
    "content", [b"", b"application: internet-access\n", b"\x30\x80\x00\x00", b"x" * (1 << 20) + b"x"]
)
def test_what_is_no_signed_message_is_refused(office: Office, content: bytes) -> None:
    office.refuses(content, "is no CMS message|larger than|cannot be read")


def test_without_a_status_nothing_is_opened(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: who keeps the responder from answering has a revoked certificate pass."""
    monkeypatch.setattr(office.authority, "url", "http://127.0.0.1:9/")
    office.leaves("status is not known", office.authority.sign(TEXT, "head"))


def test_a_status_signed_by_anyone_counts_for_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.authority, "signs_as", "other")
    office.leaves("status is not known", office.authority.sign(TEXT, "head"))


def test_an_answer_that_was_given_before_counts_for_nothing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: the answer of a day on which the certificate was good is played again."""
    office.bring(office.authority.sign(TEXT, "head"))
    monkeypatch.setattr(office.authority, "replay", (office.authority.folder / "response").read_bytes())
    newer = TEXT.replace(str(TODAY - timedelta(days=2)), str(TODAY))
    office.leaves("status is not known", office.authority.sign(newer, "head"))


@pytest.mark.clause("GW-16")
def test_an_inventory_that_is_wrong_refuses_nobody(office: Office) -> None:
    """Threat: a slip of our own pen is the answer to an application, and nobody is late."""
    catalogue = office.inventories / "trial/catalogue/telecom.csv"
    catalogue.parent.mkdir()
    catalogue.write_text("network,bin\n198.18.20.0/24,1\n")
    signed = office.authority.sign(TEXT, "head")
    office.leaves("telecom.csv:2: '1' is no BIN", signed)
    office.refuses(signed.replace(b"198.18.10.0/24", b"198.18.11.0/24"), "the signature does not hold: ")
    catalogue.unlink()
    assert office.bring(signed).changed
    assert next(iter(office.register.items().values())).state == "accepted"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "[government, finance, news]",
            "[malware]",
            r"application.p7m:9: 'malware' is no category that can be allowed",
        ),
        ("[198.18.10.0/24]", "[0.0.0.0/0]", r"application.p7m:8: networks.0: 0.0.0.0/0 is broader"),
        (str(TODAY - timedelta(days=2)), str(TODAY - timedelta(days=40)), r"p7m:7: dated .* at most 30 days old"),
        (str(TODAY - timedelta(days=2)), str(TODAY + timedelta(days=40)), r"p7m:7: dated .* not of tomorrow"),
        ("organisation: ministry", "organisation: ../ministry", r"p7m:2: organisation: "),
        ("operator: telecom", "operator: nobody", "'nobody' is not in gateway_operators"),
        ("port: 500", "port: 70000", r"p7m:15: exceptions.0.port: "),
    ],
)
def test_what_cannot_be_carried_out_is_refused(office: Office, old: str, new: str, reason: str) -> None:
    assert old in TEXT
    office.refuses(office.authority.sign(TEXT.replace(old, new), "head"), reason)


def test_nobody_takes_anothers_networks_or_name(office: Office) -> None:
    """Threat: a valid applicant names another's network, and its traffic is opened and read by his policy."""
    office.bring(office.authority.sign(TEXT, "head"))
    theirs = TEXT.replace(BIN, OTHER_BIN)
    office.refuses(office.authority.sign(theirs, "other"), f"is the file of BIN {BIN}")
    overlapping = theirs.replace("organisation: ministry", "organisation: academy")
    office.refuses(office.authority.sign(overlapping, "other"), "overlaps 198.18.10.0/24")


@pytest.mark.clause("GW-13", "GW-15")
def test_nobody_takes_what_the_catalogue_or_the_operator_knows_as_anothers(office: Office) -> None:
    """Threat: as above, but the network's owner has not applied."""
    catalogue = office.inventories / "trial/catalogue/telecom.csv"
    catalogue.parent.mkdir()
    catalogue.write_text(f"network,bin\n198.18.10.7,{OTHER_BIN}\n198.18.10.8,{BIN}\n")
    signed = office.authority.sign(TEXT, "head")
    office.refuses(
        signed, rf"telecom.csv:2: 198.18.10.7/32 of BIN {OTHER_BIN} overlaps 198.18.10.0/24 .*ministry.yml:7"
    )
    catalogue.write_text(f"network,bin\n198.18.0.0/16,{OTHER_BIN}\n")
    office.refuses(signed, r"ministry.yml:7: 198.18.10.0/24 .* overlaps 198.18.0.0/16 of .*telecom.csv:2")
    catalogue.unlink()
    elsewhere = office.authority.sign(TEXT.replace("198.18.10.0/24", "203.0.113.0/24"), "head")
    office.refuses(elsewhere, r"ministry.yml:7: 203.0.113.0/24 is not in the networks of operator telecom at .*gateway")
    assert office.bring(signed).changed


@pytest.mark.clause("GW-16")
def test_the_register_shows_the_limit_and_what_is_late(office: Office) -> None:
    office.bring(office.authority.sign(TEXT, "head"))
    (item,) = office.register.items().values()
    assert item.due == Calendar().after(item.received, 10)
    assert not item.late(item.due)
    assert item.late(item.due + timedelta(days=1))
    office.register.decide(item.sha256, "applied")
    (item,) = office.register.items().values()
    assert not item.late(item.due + timedelta(days=1))
    assert item.organisation == "ministry"


def test_ten_working_days_pass_over_holidays() -> None:
    """GW-16 by Kazakhstan's calendar: Nauryz of 2025 fell on a week-end, so Monday and Tuesday were days off."""
    assert Calendar().after(date(2025, 3, 20), 1) == date(2025, 3, 26)


def test_the_notice_says_what_was_done_in_three_languages(office: Office, categories: Categories) -> None:
    organisation = office.bring(office.authority.sign(TEXT, "head")).organisation
    text = notice(organisation, categories)
    assert text.count(str(organisation.valid_until)) == 3
    assert text.count("198.18.10.0/24") == 3
    for title in ("Қаржы және банктер", "Финансы и банки", "Finance and banking"):
        assert title in text


@pytest.mark.skipif(not has_gost(), reason=f"needs GOST by {GOST} (role gost), or by KEPIL_TEST_GOST")
def test_gost_signatures_are_verified_likewise(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "gost", "gost")
    authority.subscriber("head", f"BIN{BIN}")
    authority.subscriber("revoked", f"BIN{BIN}")
    authority.revoked.add("revoked")
    server = serve(authority)
    try:
        office = Office(tmp_path, authority)
        signed = authority.sign(TEXT, "head")
        office.refuses(signed.replace(b"198.18.10.0/24", b"198.18.11.0/24"), "the signature does not hold")
        office.refuses(authority.sign(TEXT, "revoked"), "is revoked")
        assert office.bring(signed).changed
    finally:
        server.shutdown()


def test_who_trusts_nobody_is_told_nothing_but_a_refusal(authority: Authority, tmp_path: Path) -> None:
    """The authorities of the machine's own store count for nothing."""
    other = Authority(tmp_path / "other")
    (tmp_path / "signed").write_bytes(authority.sign(TEXT, "head"))
    with pytest.raises(SignatureRefusedError, match=r"unable to get|does not hold"):
        verify(tmp_path / "signed", other.trust, NOW)
