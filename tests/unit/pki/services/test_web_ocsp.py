"""The OCSP service as it is deployed: settings, replica, signer and HTTP; only nginx is missing."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import uvicorn
from asn1crypto import ocsp as asn1
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from kepil.pki import status
from kepil.pki.signer import Signer, SignerError
from kepil.pki.status import StatusReplica
from kepil.pki.store import encode_serial
from kepil.pki.web.ocsp import create_app

USER = 4
POST = {"Content-Type": "application/ocsp-request"}
REVOKE = "update status set revoked_at = now(), reason = 4"


@pytest.fixture
def replica(empty_replica: str) -> str:
    """A replica that knows one certificate; its connection string."""
    with psycopg.connect(empty_replica) as connection:
        connection.execute(
            "insert into status (issuer, serial, not_after) values ('nca-rsa', %s, now())", [encode_serial(USER)]
        )
    return empty_replica


@pytest.fixture
def app(issued_files: Path, replica: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ASGIApp:
    responder = {
        "authority": "nca-rsa",
        "issuer": str(issued_files / "ca.crt"),
        "certificate": str(issued_files / "ocsp.crt"),
        "key": str(issued_files / "ocsp.key"),
    }
    (tmp_path / "ocsp.json").write_text(json.dumps({"database": replica, "responders": [responder]}))
    monkeypatch.setenv("KEPIL_SETTINGS", str(tmp_path / "ocsp.json"))
    return create_app()


@pytest.fixture
def client(app: ASGIApp) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def ask(folder: Path, *options: str, serial: int = USER) -> bytes:
    command = ["openssl", "ocsp", "-issuer", "ca.crt", "-sha256", "-serial", str(serial), *options, "-reqout", "-"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout


@pytest.fixture
def request_bytes(issued_files: Path) -> bytes:
    """A question without nonce about the known certificate."""
    return ask(issued_files, "-no_nonce")


def state(encoded: bytes) -> str:
    """The certificate's status, or the error."""
    response = asn1.OCSPResponse.load(encoded, strict=True)
    if response["response_status"].native != "successful":
        return str(response["response_status"].native)
    return str(response.response_data["responses"][0]["cert_status"].name)


def post(client: TestClient, encoded: bytes) -> bytes:
    answer = client.post("/", content=encoded, headers=POST)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/ocsp-response")
    return answer.content


@pytest.mark.clause("CP-7.2")
def test_a_revocation_shows_at_once_though_responses_are_reused(
    client: TestClient, request_bytes: bytes, replica: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures: list[bytes] = []
    sign = Signer.sign

    def counted(signer: Signer, message: bytes) -> bytes:
        signatures.append(message)
        return sign(signer, message)

    monkeypatch.setattr(Signer, "sign", counted)
    first = post(client, request_bytes)
    assert state(first) == "good"
    assert post(client, request_bytes) == first
    assert len(signatures) == 1
    with psycopg.connect(replica) as connection:
        connection.execute(REVOKE)
    assert state(post(client, request_bytes)) == "revoked"
    assert len(signatures) == 2


def test_nonces_are_answered_anew_and_kept_by_nobody(client: TestClient, issued_files: Path) -> None:
    for encoded in (ask(issued_files, "-nonce"), ask(issued_files, "-nonce")):
        for answer in (
            client.post("/", content=encoded, headers=POST),
            client.get("/" + quote(base64.b64encode(encoded), safe="")),
        ):
            assert answer.headers["cache-control"] == "no-store"
            sent = asn1.OCSPRequest.load(encoded).nonce_value.native
            assert asn1.OCSPResponse.load(answer.content).nonce_value.native == sent


def test_get_carries_what_caches_need(client: TestClient, request_bytes: bytes) -> None:
    """RFC 5019 section 6.2; Baseline Requirements 4.9.10. Threat: a cache serves `good` for as long as it is signed."""
    answer = client.get("/" + quote(base64.b64encode(request_bytes), safe=""))
    assert state(answer.content) == "good"
    response = asn1.OCSPResponse.load(answer.content).response_data["responses"][0]
    for header, field in (("last-modified", "this_update"), ("expires", "next_update")):
        sent = datetime.strptime(answer.headers[header], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        assert sent == response[field].native
    directives = answer.headers["cache-control"].split(", ")
    assert {"public", "no-transform", "must-revalidate"} < set(directives)
    assert directives[0] == "max-age=3600"
    assert response["next_update"].native - response["this_update"].native == timedelta(hours=9)
    assert answer.headers["etag"].strip('"')


@pytest.mark.parametrize("safe", ["", "/", "+", "/+="])
def test_get_with_every_letter_of_base64(client: TestClient, issued_files: Path, safe: str) -> None:
    """Slash and plus arrive bare or percent-encoded."""
    request = asn1.OCSPRequest.load(ask(issued_files, "-no_nonce"))
    seen: set[str] = set()
    for number in range(2000):
        serial = int.from_bytes(hashlib.sha256(bytes([number % 256, number // 256])).digest()[:16], "big")
        request["tbs_request"]["request_list"][0]["req_cert"]["serial_number"] = serial
        text = base64.b64encode(request.dump(force=True)).decode()
        news = {letters for letters in ("+", "/", "//") if letters in text} - seen
        if news:
            seen |= news
            assert state(client.get("/" + quote(text, safe=safe)).content) == "unknown"
        if len(seen) == 3:
            return
    pytest.fail(f"only {seen} were seen")


@pytest.mark.parametrize("path", ["/", "/%%%", "/aGVsbG8=", "/not/base64!", "/MEUwQzBB"])
def test_get_of_nonsense_is_malformed(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, state(answer.content)) == (200, "malformed_request")
    assert answer.headers["cache-control"] == "no-store"


def test_unknown_serials_are_neither_good_nor_kept(client: TestClient, issued_files: Path) -> None:
    encoded = ask(issued_files, "-no_nonce", serial=999)
    answer = client.get("/" + quote(base64.b64encode(encoded), safe=""))
    assert (state(answer.content), answer.headers["cache-control"]) == ("unknown", "no-store")


def test_wrong_posts(client: TestClient, request_bytes: bytes) -> None:
    assert state(post(client, b"nonsense")) == "malformed_request"
    assert state(post(client, b"")) == "malformed_request"
    assert state(post(client, bytes(100_000))) == "malformed_request"
    assert client.post("/", content=request_bytes, headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.put("/", content=request_bytes, headers=POST).status_code == 405
    assert state(post(client, request_bytes)) == "good"


def test_another_issuer_is_unauthorized(client: TestClient, issued_files: Path) -> None:
    command = ["openssl", "ocsp", "-issuer", "user.crt", "-serial", "4", "-no_nonce", "-reqout", "-"]
    foreign = subprocess.run(command, cwd=issued_files, check=True, capture_output=True).stdout
    assert state(post(client, foreign)) == "unauthorized"


def test_without_its_database_it_says_try_later_and_recovers(
    client: TestClient, request_bytes: bytes, replica: str
) -> None:
    with psycopg.connect(replica) as connection:
        connection.execute("alter table status rename to away")
    assert state(post(client, request_bytes)) == "try_later"
    with psycopg.connect(replica) as connection:
        connection.execute("alter table away rename to status")
    assert state(post(client, request_bytes)) == "good"


def test_it_starts_without_a_database_and_says_try_later(
    app: ASGIApp, request_bytes: bytes, issued_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = json.loads((tmp_path / "ocsp.json").read_text())
    (tmp_path / "ocsp.json").write_text(json.dumps(settings | {"database": "host=/nowhere dbname=kepil"}))
    monkeypatch.setattr(status, "PATIENCE_SECONDS", 0.2)
    with TestClient(create_app()) as client:
        assert state(post(client, request_bytes)) == "try_later"
        health = client.get("/health")
    assert (health.status_code, health.json()["database"]) == (503, "unreachable")


@pytest.mark.usefixtures("app")
def test_without_its_primary_it_says_as_of_when(request_bytes: bytes, tmp_path: Path) -> None:
    """RFC 6960 section 2.4. Threat: a node that was cut off a day ago signs that a stolen key is good now."""
    heard = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    (tmp_path / "heard").touch()
    os.utime(tmp_path / "heard", (heard.timestamp(),) * 2)
    settings = json.loads((tmp_path / "ocsp.json").read_text())
    (tmp_path / "ocsp.json").write_text(json.dumps(settings | {"primary_heard": str(tmp_path / "heard")}))
    with TestClient(create_app()) as client:  # no subscription runs here
        first, again = post(client, request_bytes), post(client, request_bytes)
    assert first == again, "it is kept and given again all the same"
    data = asn1.OCSPResponse.load(first).response_data
    single = data["responses"][0]
    assert single["this_update"].native == heard
    assert data["produced_at"].native - heard >= timedelta(days=1)
    assert single["next_update"].native - data["produced_at"].native == timedelta(hours=9)


def test_a_broken_signer_is_an_internal_error(
    client: TestClient, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Signer, _message: bytes) -> bytes:
        raise SignerError("the HSM is away")

    with monkeypatch.context() as patch:
        patch.setattr(Signer, "sign", fail)
        assert state(post(client, request_bytes)) == "internal_error"
    assert state(post(client, request_bytes)) == "good"


def test_health(client: TestClient) -> None:
    """No subscription runs here, so its age is not known; the node is healthy all the same."""
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["database"] == "reachable"
    assert answer.json()["replication_age_seconds"] is None
    assert list(answer.json()["responders"]) == ["nca-rsa"]


@pytest.mark.parametrize(("age", "primary"), [(None, "away"), (0.1, "following"), (61.0, "away")])
def test_health_says_whether_the_primary_is_there(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, age: float | None, primary: str
) -> None:
    """A node that answers without its primary is healthy and says so."""

    async def stated(_self: StatusReplica) -> float | None:
        return age

    monkeypatch.setattr(StatusReplica, "age_seconds", stated)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["primary"]) == (200, primary)


def test_openssl_as_a_client_over_uvicorn(app: ASGIApp, issued_files: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            command = ["openssl", "ocsp", "-issuer", "ca.crt", "-cert", "user.crt", "-url", url, "-CAfile", "ca.crt"]
            done = subprocess.run(command, cwd=issued_files, check=True, capture_output=True, text=True)
            assert "user.crt: good" in done.stdout
            text = quote(base64.b64encode(ask(issued_files, "-no_nonce")), safe="/+")
            fetched = subprocess.run(["curl", "-sf", url + text], check=True, capture_output=True).stdout
            assert state(fetched) == "good"
        finally:
            server.should_exit = True
            thread.join(10)
