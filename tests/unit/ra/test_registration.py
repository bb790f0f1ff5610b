"""From application to certificate and back, by officers, over a real database and a real CA."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from asn1crypto import pem, x509

from kepil.pki.settings import CaSettings
from kepil.ra.authority import Authority
from kepil.ra.registration import Registration
from kepil.ra.settings import RaSettings
from tests.unit.ra.conftest import HEAD, Branch, Line, Transport, at_ca, problem, serving

Journal = Callable[[], list[tuple[str, str, dict[str, Any]]]]


@pytest.mark.clause("CP-1.3.2")
@pytest.mark.clause("CP-4.1")
def test_a_certificate_applied_for_checked_approved_fetched_and_revoked(branch: Branch, journal: Journal) -> None:
    path = branch.applied()
    checked = branch.check(path).json()
    assert checked["subject"]["serial_number"] == "IIN970908300017"
    approved = branch.approve(path).json()
    assert (approved["state"], approved["approved_by"]) == ("issued", ["approver-1"])
    fetched = branch.fetch(path)
    assert fetched.headers["content-type"] == "application/pem-certificate-chain"
    leaf = x509.Certificate.load(next(pem.unarmor(fetched.content, multiple=True))[2])
    assert f"{leaf.serial_number:x}" == approved["serial"].lstrip("0")
    for _ in range(2):
        revoked = branch.revoke(approved["serial"])
        assert revoked.status_code == 200, revoked.text
    assert problem(branch.revoke(approved["serial"], reason="superseded")) == (409, "already-revoked")
    assert [act for _, act, _ in journal()][:2] == ["application.submit", "application.check"]
    assert {act for _, act, _ in journal()} == {
        "application.submit",
        "application.check",
        "application.approve",
        "certificate.issue",
        "subscriber.tell",
        "certificate.fetch",
        "certificate.revoke",
    }


@pytest.mark.clause("CP-4.4")
def test_the_subscriber_is_told_once_and_the_address_forgotten(
    branch: Branch, transport: Transport, registration: Registration, connect: Callable[[], Any]
) -> None:
    path = branch.applied()
    assert branch.approve(path).json()["subscriber_told"]
    registration.settle()
    [message] = transport.messages
    assert message["To"] == "asan@example.kz"
    serial = branch.request("GET", path, "registrar-1").json()["serial"]
    assert serial in message.get_content()
    assert "IIN" not in message.as_string()
    with connect() as connection:
        assert connection.execute("select email from application").fetchall() == [(None,)]


@pytest.mark.clause("CP-4.4")
def test_a_mail_transport_that_is_down_gets_the_message_later(
    branch: Branch, transport: Transport, registration: Registration
) -> None:
    transport.down = True
    path = branch.applied()
    assert branch.approve(path).json()["subscriber_told"] is False
    transport.down = False
    registration.settle()
    registration.settle()
    assert len(transport.messages) == 1
    assert branch.request("GET", path, "registrar-1").json()["subscriber_told"]


def test_a_legal_entitys_head_needs_two_officers_beside_the_one_who_applied(branch: Branch) -> None:
    """Threat: one officer, or two of whom one applied, makes himself the head of a company."""
    path = branch.applied(body=branch.application("legal-entity-head", HEAD), officer="approver-2")
    assert problem(branch.approve(path, "approver-2")) == (403, "own-application")
    for _ in range(2):  # the same officer twice is one
        first = branch.approve(path, "approver-1").json()
        assert (first["state"], first["approvals_needed"]) == ("submitted", 2)
    assert problem(branch.fetch(path, "approver-1")) == (409, "not-issued")


def test_two_officers_approve_a_head(branch: Branch) -> None:
    path = branch.applied(body=branch.application("legal-entity-head", HEAD))
    assert branch.approve(path, "approver-1").json()["state"] == "submitted"
    assert branch.approve(path, "approver-2").json()["state"] == "issued"


def test_two_officers_at_the_same_moment_are_both_counted(branch: Branch) -> None:
    """Threat: neither sees the other's approval, and the application waits for ever."""
    path = branch.applied(body=branch.application("legal-entity-head", HEAD))
    for officer in ("approver-1", "approver-2"):
        branch.check(path, officer)
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda officer: branch.approve(path, officer, check=False), ("approver-1", "approver-2")))
    assert [each.status_code for each in done] == [200, 200]
    shown = branch.request("GET", path, "registrar-1").json()
    assert (shown["state"], sorted(shown["approved_by"])) == ("issued", ["approver-1", "approver-2"])


def test_the_database_holds_the_rules_too(branch: Branch, connect: Callable[[], Any]) -> None:
    """Threat: a fault of the service, or somebody with its password, gets around the rules (CP-2.4)."""
    identifier = branch.applied(body=branch.application("legal-entity-head", HEAD)).rpartition("/")[2]
    for statement in (
        "update application set state = 'approved' where id = %s",
        "update application set request = '' where id = %s",
        "update application set state = 'issued', serial = '1' where id = %s",
        "delete from application where id = %s",
        "insert into finding (application, officer, verdict) values (%s, 'registrar-1', 'rejected')",
        "insert into finding (application, officer, verdict) values (%s, 'approver-1', 'approved')",
        "delete from journal where object ->> 'application' = %s",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation), connect() as connection:
            connection.execute(statement, [identifier])


def test_nobody_approves_what_he_has_not_checked(branch: Branch) -> None:
    path = branch.applied()
    assert problem(branch.approve(path, check=False)) == (409, "not-checked")
    branch.check(path)
    other = branch.request("POST", f"{path}/approval", "approver-1", json={"request_sha256": "f" * 64})
    assert problem(other) == (409, "request-changed")


def test_a_rejected_application_is_over(branch: Branch, connect: Callable[[], Any], line: Line) -> None:
    body = branch.application()
    path = branch.applied(body=body)
    for _ in range(2):
        assert branch.reject(path).json()["reason"] == "incomplete"
    assert problem(branch.reject(path, reason="withdrawn")) == (409, "already-decided")
    assert problem(branch.approve(path)) == (409, "already-decided")
    assert line.requests == []
    with connect() as connection:
        assert connection.execute("select email from application").fetchall() == [(None,)]
    assert branch.apply(body).status_code == 201, "a mistake may be put right with the same key"


@pytest.mark.clause("CP-3.3")
def test_a_key_is_applied_for_once(branch: Branch) -> None:
    body = branch.application()
    branch.applied(body=body)
    assert problem(branch.apply(body)) == (409, "key-seen-before")


@pytest.mark.clause("CP-3.3")
def test_what_the_ca_refuses_is_refused_with_its_code(branch: Branch, line: Line, registration: Registration) -> None:
    body = branch.application()
    line("POST", "/v1/certificates?authority=nca-rsa&profile=natural-person", body["request"].encode())
    path = branch.applied(body=body)
    refused = branch.approve(path).json()
    assert (refused["state"], refused["reason"]) == ("refused", "key-seen-before")
    registration.settle()
    assert len(line.requests) == 2


@pytest.mark.clause("CP-5.6")
def test_who_applied_before_a_re_key_gets_a_certificate_of_the_new_key(
    branch: Branch, ra_settings: RaSettings, ca_settings: CaSettings, connect: Any, transport: Transport, tmp_path: Path
) -> None:
    """Entered before and approved after, once with the answer lost; entered after by the old name; issued before."""
    path, lost, lost_after = (branch.applied() for _ in range(3))
    with at_ca(ca_settings, tmp_path) as line:
        line.loses_answers = True
        with serving(Registration(ra_settings, connect, Authority(line), transport), ra_settings) as client:
            assert branch.at(client).approve(lost).json()["state"] == "approved"
    (old,) = ca_settings.authorities
    both = [old.model_copy(update={"issues": False}), old.model_copy(update={"name": "nca-rsa-2"})]
    changed = {"authorities": ["nca-rsa-2"], "succeeded": {"nca-rsa": "nca-rsa-2"}}
    settings = ra_settings.model_copy(update=changed)
    with at_ca(ca_settings.model_copy(update={"authorities": both}), tmp_path) as line:
        registration = Registration(settings, connect, Authority(line), transport)
        with serving(registration, settings) as client:
            after = branch.at(client)
            moved = after.approve(path).json()
            assert (moved["state"], moved["authority"]) == ("issued", "nca-rsa-2")
            assert after.revoke(moved["serial"]).status_code == 200, "where it was issued it is revoked"
            entered = after.request("GET", after.applied(), "registrar-1").json()
            assert entered["authority"] == "nca-rsa-2"
            line.loses_answers = True
            assert after.approve(lost_after).json()["state"] == "approved"
            line.loses_answers = False
            registration.settle()
            later = after.request("GET", lost_after, "registrar-1").json()
            assert (later["state"], later["authority"]) == ("issued", "nca-rsa-2")
            earlier = after.request("GET", lost, "registrar-1").json()
            assert (earlier["state"], earlier["authority"]) == ("issued", "nca-rsa")


def test_an_application_sent_twice_is_one(branch: Branch, journal: Journal) -> None:
    for once in range(1, 6):  # sent at once: which of the two constraints meets first is a matter of luck
        body, key = branch.application(), f"0123456789abcde{once}"
        with ThreadPoolExecutor() as pool:
            paths = {each.headers["location"] for each in pool.map(partial(branch.apply, key=key), [body] * 4)}
        assert (len(paths), len(journal())) == (1, once)
    assert problem(branch.apply(branch.application(), key=key)) == (422, "idempotency-key-reused")
    assert branch.apply(branch.application(), officer="approver-2", key=key).status_code == 201, "another's key"


@pytest.mark.parametrize("fault", ["down", "loses_answers"])
def test_a_ca_that_does_not_answer_issues_once_later(
    branch: Branch, line: Line, registration: Registration, fault: str, transport: Transport, ca_settings: Any
) -> None:
    path = branch.applied()
    setattr(line, fault, True)
    assert branch.approve(path).json()["state"] == "approved"
    registration.settle()
    assert problem(branch.fetch(path)) == (409, "not-issued")
    setattr(line, fault, False)
    registration.settle()
    assert branch.request("GET", path, "registrar-1").json()["state"] == "issued"
    with psycopg.connect(ca_settings.database) as connection:
        assert connection.execute("select count(*) from certificate").fetchone() == (1,)
    assert len(transport.messages) == 1


def test_a_request_that_the_ca_chokes_on_holds_nobody_up(
    branch: Branch, line: Line, registration: Registration
) -> None:
    stuck, good = branch.applied(), branch.applied()
    line.down = True
    for path in (stuck, good):
        branch.approve(path)
    line.down = False
    answers = iter([Registration])
    healthy = line._send

    def choke(method: str, target: str, body: Any = None, headers: Any = None) -> Any:
        if next(answers, None):
            return healthy("GET", "/nowhere")
        return healthy(method, target, body, headers)

    line._send = choke
    registration.settle()
    states = [branch.request("GET", path, "registrar-1").json()["state"] for path in (stuck, good)]
    assert states == ["approved", "issued"]


@pytest.mark.clause("CP-5.4")
@pytest.mark.clause("CP-9.4")
def test_the_journal_tells_every_act_and_nothing_of_the_subscriber(
    branch: Branch, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    path = branch.applied()
    branch.reject(path)
    serial = branch.approve(branch.applied()).json()["serial"]
    branch.revoke(serial)
    told = json.dumps(journal(), ensure_ascii=False) + caplog.text
    for secret in ("ӘУЕЗОВ", "970908300017", "asan@example.kz"):
        assert secret not in told
    assert {actor for actor, _, _ in journal()} == {
        "registrar-1",
        "approver-1",
        "revoker-1",
        "authority",
        "registration",
    }
    assert all({"application", "serial"} & set(thing) for _, _, thing in journal())


@pytest.mark.clause("CP-9.4")
def test_only_the_check_shows_who_the_subscriber_is(branch: Branch) -> None:
    path = branch.applied()
    for shown in (branch.request("GET", "/v1/applications", "registrar-1"), branch.request("GET", path, "auditor-1")):
        assert "970908300017" not in shown.text
        assert "asan" not in shown.text
    assert "970908300017" in branch.check(path).text


@pytest.mark.clause("CP-2.4")
@pytest.mark.parametrize("names", [[], [""], ["stranger"], ["approver-1", "registrar-1"]])
def test_only_officers_are_served(branch: Branch, names: list[str]) -> None:
    """Threat: somebody with a certificate of the estate's own CA who is no officer."""
    for method, path in (("GET", "/v1/applications"), ("POST", "/v1/applications"), ("GET", "/v1/openapi.json")):
        response = branch.client.request(method, path, headers=[("X-Officer", name) for name in names])
        assert problem(response) == (403, "not-an-officer")


@pytest.mark.clause("CP-2.4")
def test_roles_are_separated(branch: Branch) -> None:
    path = branch.applied()
    for response in (
        branch.apply(officer="approver-1"),
        branch.check(path, "registrar-1"),
        branch.approve(path, "registrar-1", check=False),
        branch.reject(path, "revoker-1"),
        branch.fetch(path, "revoker-1"),
        branch.revoke("00", "approver-1"),
        branch.check(path, "auditor-1"),
        branch.request("GET", "/v1/journal", "registrar-1"),
    ):
        assert problem(response) == (403, "role-missing")


def test_a_branch_sees_its_own_applications(branch: Branch) -> None:
    mine = branch.applied()
    theirs = branch.applied(officer="approver-9")
    assert problem(branch.request("GET", mine, "approver-9")) == (404, "unknown-application")
    assert problem(branch.approve(mine, "approver-9")) == (404, "unknown-application")
    listed = branch.request("GET", "/v1/applications", "approver-9").json()["items"]
    assert [each["id"] for each in listed] == [theirs.rpartition("/")[2]]
    everything = branch.request("GET", "/v1/applications", "auditor-1").json()["items"]
    assert len(everything) == 2


def test_pages_hold_everything_once_and_in_order(branch: Branch) -> None:
    paths = [branch.applied() for _ in range(5)]
    branch.reject(paths[2])
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = "limit=2" + (f"&cursor={cursor}" if cursor else "")
        page = branch.request("GET", f"/v1/applications?{query}", "registrar-1").json()
        assert len(page["items"]) <= 2
        seen += [f"/v1/applications/{each['id']}" for each in page["items"]]
        cursor = page["next"]
    assert seen == paths
    rejected = branch.request("GET", "/v1/applications?state=rejected", "registrar-1").json()
    assert [each["reason"] for each in rejected["items"]] == ["incomplete"]


def test_an_auditor_reads_the_journal_by_pages(branch: Branch) -> None:
    for _ in range(3):
        branch.applied()
    first = branch.request("GET", "/v1/journal?limit=2", "auditor-1").json()
    second = branch.request("GET", f"/v1/journal?limit=2&cursor={first['next']}", "auditor-1").json()
    assert second["next"] is None
    numbers = [each["number"] for each in (*first["items"], *second["items"])]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 3


def test_bad_input_is_refused_with_a_remedy(branch: Branch) -> None:
    body = branch.application()
    damaged = body["request"].replace("M", "N", 1)
    for changes, expected in (
        ({"profile": "ocsp"}, (422, "unknown-profile")),
        ({"authority": "nca-gost"}, (422, "unknown-authority")),
        ({"request": damaged}, (400, "malformed-request")),
        ({"email": "a@b.kz\r\nBcc: x@y.kz"}, (400, "bad-request")),
        ({"more": 1}, (400, "bad-request")),
        ({"document_sha256": None}, (400, "bad-request")),
        ({"request": "x" * 40_000}, (413, "body-too-large")),
        ({"profile": "legal-entity-head"}, (422, "name-not-allowed")),
    ):
        assert problem(branch.apply(body | changes)) == expected
    assert problem(branch.apply(body, key="short")) == (400, "idempotency-key-missing")
    for query in ("limit=0", "limit=201", "limit=x", "cursor=x", "state=lost", "alien=1", "limit=1&limit=2"):
        assert problem(branch.request("GET", f"/v1/applications?{query}", "registrar-1")) == (400, "bad-request")
    for path in (f"/v1/applications/{uuid4()}", "/v1/applications/1"):
        assert problem(branch.request("GET", path, "registrar-1")) == (404, "unknown-application")
    for serial in ("00", "0", "xyz", "ab" * 21):
        assert problem(branch.revoke(serial)) == (404, "unknown-certificate")
    assert problem(branch.request("DELETE", "/v1/applications", "registrar-1"))[0] == 405
    assert branch.request("GET", "/v1/applications", "registrar-1").json() == {"items": [], "next": None}


def test_without_a_ca_fetching_and_revoking_say_so(branch: Branch, line: Line) -> None:
    path = branch.applied()
    serial = branch.approve(path).json()["serial"]
    line.down = True
    for response in (branch.fetch(path), branch.revoke(serial)):
        assert problem(response) == (503, "authority-unavailable")
        assert response.headers["retry-after"]


def test_officers_that_cannot_be_are_refused(ra_settings: RaSettings) -> None:
    given = json.loads(ra_settings.model_dump_json(exclude_none=True))
    for officers, message in (
        ([{"name": "a", "branch": "b", "roles": ["auditor", "approver"]}], "an auditor has no other role"),
        ([{"name": "a", "branch": "b", "roles": ["approver"]}] * 2, "is there twice"),
        ([{"name": "a", "branch": "b", "roles": []}], "at least 1 item"),
    ):
        with pytest.raises(ValueError, match=message):
            RaSettings.model_validate(given | {"officers": officers})
    with pytest.raises(ValueError, match="two_approvers: alien is no profile"):
        RaSettings.model_validate(given | {"two_approvers": ["alien"]})
