"""The issuing CA over a real database, its keys in files."""

import hashlib
import itertools
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asn1crypto import algos, crl, csr, keys, pem, x509

from kepil.pki.authority import (
    AlreadyRevokedError,
    CertificateAuthority,
    CrlError,
    CrlKind,
    ProfileNotForSubscribersError,
    UnknownAuthorityError,
    UnknownCertificateError,
    UnknownProfileError,
    UnknownReasonError,
    parse_serial,
)
from kepil.pki.issuance import IdempotencyKeyReusedError, KeySeenBeforeError, NotIssuingError, Order
from kepil.pki.issuer import SelfCheckError
from kepil.pki.name import DistinguishedName
from kepil.pki.public_key import PublicKeyError, WeakKeyError
from kepil.pki.request import MalformedRequestError, RequestError
from kepil.pki.settings import CaSettings
from kepil.pki.signer import Signer, SignerError
from kepil.pki.store import SESSION_OPTIONS, IssuedCertificate, IssuedCrl, Store
from tests.unit.pki.ca.conftest import P256, openssl
from tests.unit.pki.ca.conftest import PERSON as PERSON_NAME

OFFICER = "ra01.dev.kepil.test"
PERSON, SYSTEM = "natural-person", "information-system"


@dataclass
class Estate:
    """A CA and what a test needs around it."""

    authority: CertificateAuthority
    database: str
    new_request: Callable[[], bytes]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(statement.encode()).fetchall()

    def issue(self, **options: Any) -> int:
        return int.from_bytes(
            self.authority.issue(self.new_request(), PERSON, "nca-rsa", OFFICER, **options).serial, "big"
        )

    def make_crl(self, kind: CrlKind) -> IssuedCrl:
        return self.authority.make_crl("nca-rsa", kind, "a timer")

    def octets(self, made: IssuedCrl) -> bytes:
        with psycopg.connect(self.database) as connection:
            return b"".join(Store(connection).crl_pieces(made))

    def published(self) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return {file.name: file.read_bytes() for file in self.authority.publications(Path(folder))}


@pytest.fixture
def estate(ca_settings: CaSettings, new_request: Callable[[], bytes]) -> Estate:
    connect = partial(psycopg.connect, ca_settings.database, options=SESSION_OPTIONS)
    return Estate(CertificateAuthority(ca_settings, connect), ca_settings.database, new_request)


def test_an_issued_certificate_is_recorded_with_its_status_and_journal(estate: Estate) -> None:
    issued = estate.authority.issue(estate.new_request(), PERSON, "nca-rsa", OFFICER)
    certificate = x509.Certificate.load(issued.der)
    assert certificate.serial_number == int.from_bytes(issued.serial, "big")
    assert certificate.serial_number.bit_length() > 64
    assert estate.authority.certificate(certificate.serial_number) == issued
    assert estate.rows("select issuer, serial, not_after, revoked_at from status") == [
        ("nca-rsa", issued.serial, certificate.not_valid_after, None)
    ]


@pytest.mark.clause("CP-5.4")
@pytest.mark.clause("CP-9.3")
def test_the_journal_tells_the_life_cycle_without_personal_data(estate: Estate) -> None:
    serial = estate.issue()
    estate.authority.revoke(serial, "keyCompromise", "nca-rsa", "an officer")
    estate.make_crl("full")
    thing = {"authority": "nca-rsa", "serial": f"{serial:x}".zfill(30)}
    assert estate.rows("select actor, act, object from journal order by id") == [
        (OFFICER, "certificate.issue", {**thing, "profile": PERSON}),
        ("an officer", "certificate.revoke", {**thing, "reason": 1}),
        ("a timer", "crl.issue", {"authority": "nca-rsa", "number": 1, "base": None}),
    ]


@pytest.mark.clause("CP-3.3")
def test_a_key_seen_before_is_refused(estate: Estate) -> None:
    request = estate.new_request()
    estate.authority.issue(request, PERSON, "nca-rsa", OFFICER)
    with pytest.raises(KeySeenBeforeError, match="make a new key"):
        estate.authority.issue(request, PERSON, "nca-rsa", OFFICER)
    assert estate.rows("select count(*) from certificate") == [(1,)]


@pytest.mark.clause("CP-3.3")
def test_a_key_in_another_form_is_refused(estate: Estate, tmp_path: Path) -> None:
    """Threat: the same key, its point compressed, has another digest and passes for a new one."""
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", P256[2], "-out", "plain.key", folder=tmp_path)
    openssl("ec", "-in", "plain.key", "-conv_form", "compressed", "-out", "compressed.key", folder=tmp_path)
    for name in ("plain", "compressed"):
        words = ("req", "-new", "-key", f"{name}.key", "-utf8", "-subj", PERSON_NAME, "-out", f"{name}.csr")
        openssl(*words, folder=tmp_path)
    estate.authority.issue((tmp_path / "plain.csr").read_bytes(), PERSON, "nca-rsa", OFFICER)
    with pytest.raises(PublicKeyError, match="uncompressed"):
        estate.authority.issue((tmp_path / "compressed.csr").read_bytes(), PERSON, "nca-rsa", OFFICER)


@pytest.mark.clause("CP-3.3")
def test_an_rsa_key_without_its_null_is_refused(estate: Estate, tmp_path: Path) -> None:
    """Threat: likewise, the algorithm's NULL parameters left out."""
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.key", folder=tmp_path)
    signer = Signer.open(str(tmp_path / "rsa.key"))
    info = csr.CertificationRequest.load(estate.new_request())["certification_request_info"]
    public_key = keys.PublicKeyInfo.load(signer.public_key_info)["public_key"].parsed
    without_null = keys.PublicKeyAlgorithm.load(bytes.fromhex("300b06092a864886f70d010101"))
    info["subject_pk_info"] = keys.PublicKeyInfo({"algorithm": without_null, "public_key": public_key})
    request = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": algos.SignedDigestAlgorithm.load(signer.signature_algorithm),
            "signature": signer.sign(info.dump(force=True)),
        }
    )
    with pytest.raises(PublicKeyError, match="NULL"):
        estate.authority.issue(request.dump(), PERSON, "nca-rsa", OFFICER)


@pytest.mark.clause("CP-3.3")
def test_one_key_sent_many_times_at_once_gets_one_certificate(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: two officers' requests race past the check. Not even a second signature may come of it."""
    sign, signatures = Signer.sign, list[bytes]()

    def count(signer: Signer, message: bytes) -> bytes:
        if signer is own:
            signatures.append(message)
        return sign(signer, message)

    own = estate.authority.issuer("nca-rsa").signer
    monkeypatch.setattr(Signer, "sign", count)
    request, outcomes = estate.new_request(), list[str]()

    def issue() -> None:
        try:
            estate.authority.issue(request, PERSON, "nca-rsa", OFFICER)
            outcomes.append("issued")
        except KeySeenBeforeError:
            outcomes.append("refused")

    threads = [threading.Thread(target=issue) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["issued"] + ["refused"] * 5
    assert len(signatures) == 1


def test_a_repeated_idempotency_key_gets_the_same_certificate(estate: Estate) -> None:
    issue = partial(estate.authority.issue, profile=PERSON, authority="nca-rsa", idempotency_key="one")
    request = estate.new_request()
    first = issue(request, actor=OFFICER)
    assert issue(request, actor=OFFICER) == first
    with pytest.raises(IdempotencyKeyReusedError):
        issue(estate.new_request(), actor=OFFICER)
    with pytest.raises(KeySeenBeforeError):  # the key belongs to who used it
        issue(request, actor="ra02.dev.kepil.test")
    assert estate.rows("select count(*) from certificate") == [(1,)]


def test_the_operators_override_the_subject_and_days(estate: Estate) -> None:
    subject = DistinguishedName(country="KZ", organization="Ұлттық орталық", common_name="OCSP")
    issued = estate.authority.issue(estate.new_request(), "ocsp", "nca-rsa", "operator", subject=subject, days=30)
    certificate = x509.Certificate.load(issued.der)
    assert certificate.subject.native["common_name"] == "OCSP"
    assert certificate.not_valid_after - certificate.not_valid_before <= timedelta(days=30)


def test_unknown_names_are_refused(estate: Estate) -> None:
    with pytest.raises(UnknownAuthorityError, match="there are nca-rsa"):
        estate.authority.issue(estate.new_request(), PERSON, "nca-gost", OFFICER)
    with pytest.raises(UnknownProfileError, match="natural-person"):
        estate.authority.issue(estate.new_request(), "alien", "nca-rsa", OFFICER)
    with pytest.raises(RequestError):
        estate.authority.issue(b"\x30\x03\x02\x01", PERSON, "nca-rsa", OFFICER)


@pytest.mark.parametrize("profile", ["root", "issuing", "ocsp", "tsp"])
def test_officers_issue_for_subscribers_only(estate: Estate, profile: str) -> None:
    """Threat: an officer's stolen credential gets a CA or a responder's certificate."""
    with pytest.raises(ProfileNotForSubscribersError):
        estate.authority.subscriber_profile(profile)
    estate.authority.subscriber_profile(PERSON)


@pytest.mark.clause("CP-5.6")
def test_one_of_another_generation_issues_to_no_subscriber_and_does_all_else(
    estate: Estate, ca_settings: CaSettings
) -> None:
    """Threat: after a re-key the old key goes on issuing; or what it issued can be revoked no more."""
    (old,) = ca_settings.authorities
    serial = estate.issue(idempotency_key="of old")
    both = [old.model_copy(update={"issues": False}), old.model_copy(update={"name": "nca-rsa-2"})]
    connect = partial(psycopg.connect, estate.database, options=SESSION_OPTIONS)
    authority = CertificateAuthority(ca_settings.model_copy(update={"authorities": both}), connect)
    with pytest.raises(NotIssuingError, match="nca-rsa issues to no subscriber now: apply to one of nca-rsa-2"):
        authority.issue(estate.new_request(), PERSON, "nca-rsa", OFFICER)
    assert authority.issue(estate.new_request(), PERSON, "nca-rsa-2", OFFICER).issuer == "nca-rsa-2"
    name = DistinguishedName(common_name="OCSP")
    assert authority.issue(estate.new_request(), "ocsp", "nca-rsa", OFFICER, subject=name).issuer == "nca-rsa"
    assert authority.revoke(serial, "keyCompromise", "nca-rsa", OFFICER).revoked_at
    assert authority.make_crl("nca-rsa", "full", "a timer").number == 1


def test_a_signer_that_fails_leaves_nothing(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    request = estate.new_request()

    def fail(_signer: Signer, _message: bytes) -> bytes:
        raise SignerError("the HSM is away")

    with monkeypatch.context() as patch:
        patch.setattr(Signer, "sign", fail)
        with pytest.raises(SignerError):
            estate.authority.issue(request, PERSON, "nca-rsa", OFFICER)
    for table in ("certificate", "status", "journal"):
        assert estate.rows(f"select count(*) from {table}") == [(0,)]  # noqa: S608 - own names
    estate.authority.issue(request, PERSON, "nca-rsa", OFFICER)


def test_a_wrong_signature_is_never_recorded(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat: a faulty module signs rubbish, or with another key."""
    request, sign = estate.new_request(), Signer.sign_digest
    monkeypatch.setattr(Signer, "sign_digest", lambda self, value: sign(self, value[::-1]))
    with pytest.raises(SelfCheckError, match="nothing was issued"):
        estate.authority.issue(request, PERSON, "nca-rsa", OFFICER)
    with pytest.raises(SelfCheckError):
        estate.make_crl("full")
    for table in ("certificate", "status", "crl", "journal"):
        assert estate.rows(f"select count(*) from {table}") == [(0,)]  # noqa: S608 - own names


def test_one_idempotency_key_with_two_requests_at_once_gets_one_certificate(estate: Estate) -> None:
    """Threat: two programs share a key by mistake, and the second one's request fails or passes by chance."""
    requests, outcomes = [estate.new_request() for _ in range(4)], list[str]()

    def issue(request: bytes) -> None:
        try:
            estate.authority.issue(request, PERSON, "nca-rsa", OFFICER, idempotency_key="one")
            outcomes.append("issued")
        except IdempotencyKeyReusedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=issue, args=[request]) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["issued"] + ["refused"] * 3


def test_a_key_of_old_under_a_new_idempotency_key_is_refused(estate: Estate) -> None:
    request = estate.new_request()
    estate.authority.issue(request, PERSON, "nca-rsa", OFFICER, idempotency_key="one")
    with pytest.raises(KeySeenBeforeError):
        estate.authority.issue(request, PERSON, "nca-rsa", OFFICER, idempotency_key="two")
    estate.authority.issue(estate.new_request(), PERSON, "nca-rsa", OFFICER, idempotency_key="two")
    with pytest.raises(IdempotencyKeyReusedError):
        estate.authority.issue(request, PERSON, "nca-rsa", OFFICER, idempotency_key="two")


def orders(*requests: bytes, **options: Any) -> list[Order]:
    return [Order(request, PERSON, OFFICER, **options) for request in requests]


def test_several_at_once_share_a_transaction(estate: Estate) -> None:
    """What is refused, or cannot be signed, hinders none beside it."""
    one, two = estate.new_request(), estate.new_request()
    seen = estate.new_request()
    old = estate.authority.issue(seen, PERSON, "nca-rsa", OFFICER, idempotency_key="old")
    asked = [*orders(one, b"no request", two, seen), *orders(seen, idempotency_key="old"), Order(one, "alien", OFFICER)]
    first, refused, second, known, repeated, alien = estate.authority.issue_together("nca-rsa", asked)
    assert isinstance(first, IssuedCertificate)
    assert isinstance(second, IssuedCertificate)
    assert repeated == old
    assert [type(each) for each in (refused, known, alien)] == [
        MalformedRequestError,
        KeySeenBeforeError,
        UnknownProfileError,
    ]
    for table in ("certificate", "status", "journal"):
        assert estate.rows(f"select count(*), count(distinct xmin::text) from {table}") == [(3, 2)]  # noqa: S608 - own names
    assert estate.rows("select der from certificate order by serial") == sorted(
        [(old.der,), (first.der,), (second.der,)]
    )


def test_one_key_twice_at_once_is_certified_once(estate: Estate) -> None:
    request = estate.new_request()
    first, second = estate.authority.issue_together("nca-rsa", orders(request, request))
    assert isinstance(first, IssuedCertificate)
    assert isinstance(second, KeySeenBeforeError)
    again = estate.new_request()
    outcomes = estate.authority.issue_together("nca-rsa", orders(again, again, idempotency_key="one"))
    assert isinstance(outcomes[0], IssuedCertificate)
    assert outcomes[0] == outcomes[1]
    (other,) = estate.authority.issue_together("nca-rsa", orders(estate.new_request(), idempotency_key="one"))
    assert isinstance(other, IdempotencyKeyReusedError)
    assert estate.rows("select count(*) from certificate") == [(2,)]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_of_several_only_what_verifies_is_recorded(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, *, elsewhere: bool
) -> None:
    """Threat: a module signs rubbish once; whether it signs them one by one or, an HSM, at once."""
    own, sign, times = estate.authority.issuer("nca-rsa").signer, Signer.sign_digest, itertools.count(1)
    own.in_process = not elsewhere

    def rubbish_once(signer: Signer, value: bytes) -> bytes:
        return sign(signer, value[::-1] if signer is own and next(times) == 2 else value)

    monkeypatch.setattr(Signer, "sign_digest", rubbish_once)
    outcomes = estate.authority.issue_together("nca-rsa", orders(*(estate.new_request() for _ in range(3))))
    assert sorted(type(each).__name__ for each in outcomes) == ["IssuedCertificate"] * 2 + ["SelfCheckError"]
    assert estate.rows("select count(*) from certificate") == [(2,)]


def test_when_the_database_fails_none_of_several_is_issued(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_store: Store, *_certificates: IssuedCertificate) -> None:
        raise psycopg.OperationalError("the server has closed the connection")

    monkeypatch.setattr(Store, "insert_certificates", fail)
    outcomes = estate.authority.issue_together("nca-rsa", orders(estate.new_request(), estate.new_request()))
    assert [type(each) for each in outcomes] == [psycopg.OperationalError] * 2
    assert estate.rows("select count(*) from certificate") == [(0,)]


def test_a_known_weak_key_is_refused(
    ca_settings: CaSettings, new_request: Callable[..., bytes], tmp_path: Path
) -> None:
    """What the settings' lists hold reaches the check (CVE-2008-0166)."""
    request = new_request(key=("rsa:2048",))
    info = csr.CertificationRequest.load(request)["certification_request_info"]["subject_pk_info"]
    line = f"Modulus={info['public_key'].parsed['modulus'].native:X}\n"
    digest = hashlib.sha1(line.encode(), usedforsecurity=False).hexdigest()
    (tmp_path / "blacklist.RSA-2048").write_text(f"{digest[20:]}\n", "ascii")
    settings = ca_settings.model_copy(update={"known_keys": [tmp_path / "blacklist.RSA-2048"]})
    with pytest.raises(WeakKeyError, match="CVE-2008-0166"):
        CertificateAuthority(settings, partial(psycopg.connect, settings.database)).issue(
            request, PERSON, "nca-rsa", OFFICER
        )


@pytest.mark.clause("CP-4.9")
def test_revoking_is_for_good(estate: Estate) -> None:
    serial = estate.issue()
    first = estate.authority.revoke(serial, "superseded", "nca-rsa", OFFICER)
    assert first.revoked_at is not None
    assert estate.authority.revoke(serial, "superseded", "nca-rsa", OFFICER) == first
    with pytest.raises(AlreadyRevokedError, match="never changed"):
        estate.authority.revoke(serial, "keyCompromise", "nca-rsa", OFFICER)
    assert estate.rows("select count(*) from journal where act = 'certificate.revoke'") == [(1,)]


def test_what_cannot_be_revoked(estate: Estate) -> None:
    serial = estate.issue()
    with pytest.raises(UnknownCertificateError, match="was not issued here"):
        estate.authority.revoke(serial + 1, "superseded", "nca-rsa", OFFICER)
    with pytest.raises(UnknownAuthorityError):
        estate.authority.revoke(serial, "superseded", "nca-gost", OFFICER)
    for reason in ("certificateHold", "removeFromCRL", "boredom"):
        with pytest.raises(UnknownReasonError, match="keyCompromise"):
            estate.authority.revoke(serial, reason, "nca-rsa", OFFICER)
    assert estate.rows("select revoked_at from status") == [(None,)]


def test_revoking_needs_no_key(ca_settings: CaSettings, estate: Estate, tmp_path: Path) -> None:
    """A compromised certificate must be revocable while the HSM is away."""
    serial = estate.issue()
    gone = ca_settings.authorities[0].model_copy(update={"key": "/nowhere.pem"})
    settings = ca_settings.model_copy(update={"authorities": [gone]})
    without_key = CertificateAuthority(settings, partial(psycopg.connect, ca_settings.database))
    without_key.revoke(serial, "keyCompromise", "nca-rsa", OFFICER)
    without_key.publications(tmp_path)
    with pytest.raises(SignerError):
        without_key.issue(estate.new_request(), PERSON, "nca-rsa", OFFICER)


def tbs(der: bytes) -> crl.TbsCertList:
    return crl.CertificateList.load(der)["tbs_cert_list"]


def listed(der: bytes) -> dict[int, str | None]:
    return {
        entry["user_certificate"].native: entry.crl_reason_value.native if entry.crl_reason_value else None
        for entry in tbs(der)["revoked_certificates"]
    }


@pytest.mark.clause("CP-2.3")
def test_a_complete_crl_is_valid_for_25_hours(estate: Estate) -> None:
    made = tbs(estate.octets(estate.make_crl("full")))
    assert made["next_update"].native - made["this_update"].native == timedelta(hours=25)
    assert abs(made["this_update"].native - datetime.now(UTC)) < timedelta(seconds=10)


@pytest.mark.clause("CP-1.3.1")
def test_complete_crl_and_delta_follow_each_other(estate: Estate) -> None:
    early, late, last = estate.issue(), estate.issue(), estate.issue()
    estate.authority.revoke(early, "keyCompromise", "nca-rsa", OFFICER)
    first = estate.make_crl("full")
    empty = estate.make_crl("delta")
    estate.authority.revoke(late, "unspecified", "nca-rsa", OFFICER)
    delta = estate.make_crl("delta")
    second = estate.make_crl("full")
    estate.authority.revoke(last, "superseded", "nca-rsa", OFFICER)
    last_delta = estate.make_crl("delta")

    made = (first, empty, delta, second, last_delta)
    assert [each.number for each in made] == [1, 2, 3, 4, 5]
    assert [each.base_number for each in made] == [None, 1, 1, None, 4]
    assert len({tbs(estate.octets(each))["this_update"].native for each in made}) == len(made)
    assert listed(estate.octets(first)) == {early: "key_compromise"}
    assert listed(estate.octets(empty)) == {}
    assert listed(estate.octets(delta)) == {late: None}
    assert listed(estate.octets(second)) == {early: "key_compromise", late: None}
    assert listed(estate.octets(last_delta)) == {last: "superseded"}
    assert estate.published() == {
        "nca-rsa.crt": estate.authority.issuer("nca-rsa").certificate.dump(),
        "nca-rsa.crl": estate.octets(second),
        "nca-rsa-delta.crl": estate.octets(last_delta),
    }


def test_openssl_accepts_them_and_refuses_the_revoked(estate: Estate, tmp_path: Path) -> None:
    good, revoked = (estate.authority.issue(estate.new_request(), PERSON, "nca-rsa", OFFICER) for _ in range(2))
    complete = estate.make_crl("full")
    estate.authority.revoke(int.from_bytes(revoked.serial, "big"), "keyCompromise", "nca-rsa", OFFICER)
    delta = estate.make_crl("delta")
    files = {
        "ca.pem": pem.armor("CERTIFICATE", estate.authority.issuer("nca-rsa").certificate.dump()),
        "crls.pem": b"".join(pem.armor("X509 CRL", estate.octets(each)) for each in (complete, delta)),
        "good.pem": pem.armor("CERTIFICATE", good.der),
        "revoked.pem": pem.armor("CERTIFICATE", revoked.der),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    def verify(name: str) -> subprocess.CompletedProcess[str]:
        options = ["-partial_chain", "-trusted", "ca.pem", "-CRLfile", "crls.pem", "-crl_check", "-use_deltas"]
        return subprocess.run(
            ["openssl", "verify", *options, "-extended_crl", name],
            cwd=tmp_path, text=True, capture_output=True, check=False,
        )  # fmt: skip

    assert verify("good.pem").returncode == 0, verify("good.pem").stderr
    assert "certificate revoked" in verify("revoked.pem").stderr


def test_a_delta_needs_a_complete_crl(estate: Estate) -> None:
    with pytest.raises(CrlError, match="--kind full"):
        estate.make_crl("delta")


def test_crls_made_at_once_have_numbers_without_gaps_or_twins(estate: Estate) -> None:
    threads = [
        threading.Thread(target=estate.authority.make_crl, args=("nca-rsa", "full", "a timer")) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert estate.rows("select number from crl order by number") == [(1,), (2,), (3,)]


def test_a_clock_set_back_is_refused(estate: Estate) -> None:
    """Threat: a CRL that seems older than the one before it, so that relying parties keep the old one."""
    with psycopg.connect(estate.database) as connection:
        connection.execute(
            "insert into crl values ('nca-rsa', 1, null, now() + interval '1 hour', now() + interval '1 day')"
        )
    with pytest.raises(CrlError, match="set the clock"):
        estate.make_crl("full")


@pytest.mark.clause("CP-2.3")
@pytest.mark.parametrize(("hours", "told"), [(24, False), (26, True)])
def test_a_missed_run_is_caught_up_and_told(
    estate: Estate, caplog: pytest.LogCaptureFixture, hours: int, told: bool
) -> None:
    """Threat: the timer slept, the CRL ended, and nobody hears of it."""
    with psycopg.connect(estate.database) as connection:
        connection.execute(
            "insert into crl values ('nca-rsa', 1, null, now() - %(age)s, now() + interval '1 hour')",
            {"age": timedelta(hours=hours)},
        )
    assert estate.make_crl("full").number == 2
    late = estate.rows(
        "select object ->> 'kind', (object ->> 'seconds')::int / 3600 from journal where act = 'crl.late'"
    )
    assert late == ([("full", 2)] if told else [])
    assert ("a run was missed" in caplog.text) == told


@pytest.mark.parametrize("text", ["", "xyz", "-1", "0x10", "1" * 41, "١٢"])
def test_what_is_no_serial_number(text: str) -> None:
    with pytest.raises(UnknownCertificateError, match="no serial number"):
        parse_serial(text)
