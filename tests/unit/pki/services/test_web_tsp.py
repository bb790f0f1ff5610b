"""The time-stamping service as it is deployed: settings, signer, clock and HTTP; chronyc is played by the test."""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from asn1crypto import tsp as asn1
from starlette.testclient import TestClient

from kepil.pki import clock
from kepil.pki.signer import Signer, SignerError
from kepil.pki.tsp import Response
from kepil.pki.web.tsp import create_app

POST = {"Content-Type": "application/timestamp-query"}
POLICY = "1.2.398.3.3.2.6.2"
TRACKING = "C6120001,198.18.0.1,3,1763700000.1,-0.0002,0.0,0.00001,-5.2,0.01,0.2,0.004,0.001,64.2,Normal"


@pytest.fixture
def settings(issued_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    unit = {
        "certificate": str(issued_files / "tsp.crt"),
        "chain": [str(issued_files / "ca.crt")],
        "key": str(issued_files / "tsp.key"),
        "policy": POLICY,
    }
    path = tmp_path / "tsp.json"
    path.write_text(json.dumps({"units": [unit]}))
    monkeypatch.setenv("KEPIL_SETTINGS", str(path))
    monkeypatch.setattr(clock, "TRACKING", ("echo", TRACKING))
    return path


@pytest.fixture
def client(settings: Path) -> Iterator[TestClient]:
    assert settings.exists()
    with TestClient(create_app()) as client:
        yield client


def query(policy: str = POLICY) -> bytes:
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": hashlib.sha256(b"document").digest()}
    request = {"version": "v1", "message_imprint": imprint, "req_policy": policy, "nonce": 77, "cert_req": True}
    return bytes(asn1.TimeStampReq(request).dump())


def post(client: TestClient, encoded: bytes) -> bytes:
    answer = client.post("/", content=encoded, headers=POST)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/timestamp-reply")
    assert answer.headers["cache-control"] == "no-store"
    return answer.content


def failure(encoded: bytes) -> set[str] | None:
    """The failure stated; None when granted."""
    found: set[str] | None = Response.load(encoded, strict=True)["status"]["fail_info"].native
    return found


@pytest.mark.clause("CP-2.2")
def test_openssl_verifies_what_comes_over_http(client: TestClient, issued_files: Path, tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(query())
    (tmp_path / "r").write_bytes(post(client, query()))
    command = ["openssl", "ts", "-verify", "-in", "r", "-queryfile", "q", "-CAfile", str(issued_files / "ca.crt")]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "Verification: OK" in done.stdout + done.stderr


def test_rejections(client: TestClient) -> None:
    assert failure(post(client, b"nonsense")) == {"bad_data_format"}
    assert failure(post(client, bytes(100_000))) == {"bad_data_format"}
    assert failure(post(client, query("1.2.3"))) == {"unaccepted_policy"}
    assert client.post("/", content=query(), headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.get("/").status_code == 405
    assert failure(post(client, query())) is None


@pytest.mark.parametrize(
    "tracking",
    [("echo", TRACKING.replace("Normal", "Not synchronised")), ("echo", TRACKING.replace("0.001,", "2,")), ("false",)],
)
def test_a_doubtful_clock_refuses_and_is_unhealthy(
    settings: Path, monkeypatch: pytest.MonkeyPatch, tracking: tuple[str, ...]
) -> None:
    assert settings.exists()
    monkeypatch.setattr(clock, "TRACKING", tracking)
    with TestClient(create_app()) as client:
        assert failure(post(client, query())) == {"time_not_available"}
        assert client.get("/health").status_code == 503


def test_a_broken_signer_is_a_system_failure(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Signer, _message: bytes) -> bytes:
        raise SignerError("the HSM is away")

    with monkeypatch.context() as patch:
        patch.setattr(Signer, "sign", fail)
        assert failure(post(client, query())) == {"system_failure"}
    assert failure(post(client, query())) is None


def test_health(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["clock"] == "synchronised"
    assert answer.json()["clock_error_seconds"] == pytest.approx(0.0032, abs=0.001)
    assert list(answer.json()["units"]) == [POLICY]
