"""The CA's HTTP API, over a real database."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from asn1crypto import pem, x509
from starlette.testclient import TestClient

from kepil.pki.settings import ENVIRONMENT_VARIABLE, CaSettings
from kepil.pki.signer import Signer, SignerError
from kepil.pki.web.ca import LARGEST_BODY, create_app

ISSUE = "/v1/certificates?authority=nca-rsa&profile=natural-person"


@pytest.fixture
def client(ca_settings: CaSettings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """An officer's client of the service, made as uvicorn makes it."""
    path = tmp_path / "ca.json"
    path.write_text(ca_settings.model_dump_json(exclude_none=True), "utf-8")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    headers = {"X-Client-Name": ca_settings.officers[0]}
    with TestClient(create_app(), headers=headers, raise_server_exceptions=False) as client:
        yield client


def problem(response: Any) -> tuple[int, str]:
    """Check the form of a problem document (RFC 9457); return its status and code."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    assert document["detail"]
    return document["status"], document["code"]


def count(settings: CaSettings, table: str) -> int:
    with psycopg.connect(settings.database) as connection:
        row = connection.execute(f"select count(*) from {table}".encode()).fetchone()  # noqa: S608 - own names
    assert row
    return int(row[0])


def test_a_certificate_issued_found_and_revoked(
    client: TestClient, new_request: Callable[[], bytes], ca_settings: CaSettings
) -> None:
    issued = client.post(ISSUE, content=new_request())
    assert issued.status_code == 201
    assert issued.headers["content-type"] == "application/pem-certificate-chain"
    leaf, issuer = (x509.Certificate.load(der) for _, _, der in pem.unarmor(issued.content, multiple=True))
    assert leaf.issuer == issuer.subject
    location = issued.headers["location"]
    assert location == f"/v1/certificates/{leaf.serial_number:x}" or location.endswith(f"0{leaf.serial_number:x}")
    assert client.get(location).content == issued.content

    for _ in range(2):
        revoked = client.post(f"{location}/revocation?authority=nca-rsa", json={"reason": "keyCompromise"})
        assert revoked.status_code == 200
        assert revoked.json()["reason"] == "keyCompromise"
    again = client.post(f"{location}/revocation?authority=nca-rsa", json={"reason": "superseded"})
    assert problem(again) == (409, "already-revoked")
    with psycopg.connect(ca_settings.database) as connection:
        actors = connection.execute("select distinct actor from journal").fetchall()
    assert actors == [(ca_settings.officers[0],)]


def test_a_pem_request_and_a_der_answer(client: TestClient, new_request: Callable[[], bytes]) -> None:
    request = pem.armor("CERTIFICATE REQUEST", new_request())
    response = client.post(ISSUE, content=request, headers={"Accept": "application/pkix-cert"})
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/pkix-cert"
    assert x509.Certificate.load(response.content).dump() == response.content


@pytest.mark.clause("CP-2.4")
@pytest.mark.parametrize("names", [[], ["stranger.example.test"], [""], ["ra01.example.test", "stranger"]])
def test_only_officers_are_served(client: TestClient, new_request: Callable[[], bytes], names: list[str]) -> None:
    """Threat: another host of the estate, with a valid TLS certificate, asks for a certificate or a revocation."""
    del client.headers["X-Client-Name"]
    headers = [("X-Client-Name", name) for name in names]
    for method, path in (("POST", ISSUE), ("GET", "/v1/certificates/1"), ("POST", "/v1/certificates/1/revocation")):
        content = new_request() if method == "POST" else None
        response = client.request(method, path, content=content, headers=headers)
        assert problem(response) == (403, "not-an-officer")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/certificates?authority=nca-rsa", (400, "bad-request")),
        (f"{ISSUE}&profile=information-system", (400, "bad-request")),
        ("/v1/certificates?authority=nca-gost&profile=natural-person", (404, "unknown-authority")),
        ("/v1/certificates?authority=nca-rsa&profile=alien", (404, "unknown-profile")),
        ("/v1/certificates?authority=nca-rsa&profile=ocsp", (403, "profile-not-for-subscribers")),
        ("/v1/certificates?authority=nca-rsa&profile=issuing", (403, "profile-not-for-subscribers")),
    ],
)
def test_what_is_asked_for_must_exist(
    client: TestClient, new_request: Callable[[], bytes], path: str, expected: tuple[int, str]
) -> None:
    assert problem(client.post(path, content=new_request())) == expected


def test_bad_requests_get_the_right_error_and_nothing_is_issued(
    client: TestClient, new_request: Callable[..., bytes], ca_settings: CaSettings
) -> None:
    damaged = bytearray(new_request())
    damaged[-1] ^= 1
    weak = new_request(key=("rsa:1024",))
    without_iin = new_request(subject="/C=KZ/CN=ҚАЗЫБЕК")
    for content, expected in (
        (b"", (400, "malformed-request")),
        (b"not a request", (400, "malformed-request")),
        (new_request()[:-1], (400, "malformed-request")),
        (bytes(damaged), (400, "proof-of-possession-failed")),
        (weak, (422, "weak-key")),
        (without_iin, (422, "name-not-allowed")),
        (bytes(LARGEST_BODY + 1), (413, "body-too-large")),
    ):
        assert problem(client.post(ISSUE, content=content)) == expected
    assert count(ca_settings, "certificate") == count(ca_settings, "journal") == 0
    assert client.post(ISSUE, content=new_request()).status_code == 201


@pytest.mark.clause("CP-3.3")
def test_a_key_seen_before_is_a_conflict(client: TestClient, new_request: Callable[[], bytes]) -> None:
    request = new_request()
    assert client.post(ISSUE, content=request).status_code == 201
    assert problem(client.post(ISSUE, content=request)) == (409, "key-seen-before")


def test_an_idempotency_key_makes_a_retry_safe(
    client: TestClient, new_request: Callable[[], bytes], ca_settings: CaSettings
) -> None:
    request, headers = new_request(), {"Idempotency-Key": "one"}
    first = client.post(ISSUE, content=request, headers=headers)
    assert first.status_code == 201
    assert client.post(ISSUE, content=request, headers=headers).content == first.content
    assert problem(client.post(ISSUE, content=new_request(), headers=headers)) == (422, "idempotency-key-reused")
    assert count(ca_settings, "certificate") == 1


@pytest.mark.parametrize("serial", ["1", "xyz", "1" * 41, "00"])
def test_an_unknown_serial_is_not_found(client: TestClient, serial: str) -> None:
    assert problem(client.get(f"/v1/certificates/{serial}")) == (404, "unknown-certificate")
    revocation = client.post(f"/v1/certificates/{serial}/revocation?authority=nca-rsa", json={"reason": "superseded"})
    assert problem(revocation) == (404, "unknown-certificate")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad-request"),
        (b"[]", "bad-request"),
        (b'{"reason": 1}', "bad-request"),
        (b'{"reason": "superseded", "more": 1}', "bad-request"),
        (b'{"reason": "certificateHold"}', "unknown-reason"),
        (b'{"reason": "removeFromCRL"}', "unknown-reason"),
    ],
)
def test_a_revocation_says_why(client: TestClient, new_request: Callable[[], bytes], body: bytes, code: str) -> None:
    location = client.post(ISSUE, content=new_request()).headers["location"]
    response = client.post(f"{location}/revocation?authority=nca-rsa", content=body)
    assert problem(response) == (400, code)


def test_health_and_what_is_not_there(client: TestClient) -> None:
    none = {"nca-rsa": {"full": None, "delta": None}}
    assert client.get("/health").json() == {"status": "ok", "crl_next_update": none}
    assert problem(client.get("/nowhere"))[0] == 404
    assert problem(client.put("/v1/certificates"))[0] == 405


@pytest.mark.clause("CP-2.3")
@pytest.mark.parametrize("ended", [None, "full", "delta"])
def test_health_tells_of_a_crl_that_has_ended(client: TestClient, ca_settings: CaSettings, ended: str | None) -> None:
    """Threat: no CRL is made any more, relying parties refuse everybody, and monitoring sees a healthy CA."""
    ends = {kind: datetime.now(UTC) + timedelta(minutes=-1 if kind == ended else 1) for kind in ("full", "delta")}
    with psycopg.connect(ca_settings.database) as connection:
        for number, (kind, end) in enumerate(ends.items(), start=1):
            base = None if kind == "full" else 1
            connection.execute(
                "insert into crl values ('nca-rsa', %s, %s, now() - interval '1 hour', %s)", [number, base, end]
            )
    answer = client.get("/health")
    assert answer.status_code == (503 if ended else 200)
    told = answer.json()["crl_next_update"]["nca-rsa"]
    assert {kind: datetime.fromisoformat(end) for kind, end in told.items()} == ends


def test_a_silent_module_is_not_the_clients_fault(
    client: TestClient, new_request: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = new_request()

    def fail(_signer: Signer, _message: bytes) -> bytes:
        raise SignerError("pkcs11:token=nca does not answer")

    monkeypatch.setattr(Signer, "sign", fail)
    response = client.post(ISSUE, content=request)
    assert problem(response) == (503, "signer-unavailable")
    assert response.headers["retry-after"]
    assert "pkcs11" not in response.text


def test_without_a_database_the_service_says_so(
    ca_settings: CaSettings, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kepil.pki.web.ca.PATIENCE_SECONDS", 0.3)
    path = tmp_path / "ca.json"
    settings = json.loads(ca_settings.model_dump_json(exclude_none=True)) | {"database": "host=/nowhere"}
    path.write_text(json.dumps(settings), "utf-8")
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        assert problem(client.get("/health")) == (503, "database-unavailable")
