"""A bounded soak: a service in a process of its own answers thousands of requests, good and bad, and grows no more."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle, islice
from pathlib import Path

import psycopg
from asn1crypto import core, ocsp, tsp, x509

from kepil.pki.settings import CaSettings
from kepil.pki.store import encode_serial
from kepil.ra.settings import RaSettings
from tests.fuzz.targets import corpus
from tests.unit.pki.ca import conftest as ca
from tests.unit.ra import conftest as ra

WARM, SOAK = 2_000, 8_000
"""Requests before memory is read, and between the two readings."""
FEWER = (1_000, 6_000)
"""The same for services that read a request for a certificate and ask a database each time."""
GROWTH_KIB = 500
"""What allocators may keep meanwhile. A thousand octets forgotten with each are twelve times that or more."""
USER = 4
POLICY = "1.2.398.3.3.2.6.2"
CHRONYC = """#!/bin/sh
echo C6120001,198.18.0.1,3,1763700000.1,-0.0002,0.0,0.00001,-5.2,0.01,0.2,0.004,0.001,64.2,Normal
"""
Asked = tuple[str, bytes, dict[str, str]]
"""Path, body and headers of a POST."""

# An authority over a database, and a registration authority's settings, are made as for their own tests.
cluster, create_database, database = ca.cluster, ca.create_database, ca.database
issuer_files, ca_settings, new_request = ca.issuer_files, ca.ca_settings, ca.new_request
ra_database, ra_settings = ra.ra_database, ra.ra_settings


class _Connection(http.client.HTTPConnection):
    """HTTP on a unix socket, as nginx speaks it."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


@contextmanager
def serving(service: str, folder: Path) -> Iterator[tuple[_Connection, int]]:
    """The service as its unit runs it: a connection to it, and its process."""
    path = folder / "http.sock"
    command = [sys.executable, "-m", "uvicorn", "--factory", f"kepil.{service}:create_app"]
    environment = os.environ | {"KEPIL_SETTINGS": f"{folder}/settings.json", "PATH": f"{folder}:{os.environ['PATH']}"}
    with subprocess.Popen(
        [*command, "--uds", str(path), "--no-access-log", "--log-level", "error"],
        env=environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield _Connection(path), process.pid
        finally:
            process.terminate()


def resident_kib(process: int) -> int:
    """Memory that the process has, in KiB."""
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def questions(folder: Path) -> Iterator[bytes]:
    """OCSP requests: a nonce each, known and unknown serial numbers, and what is kept of the fuzzer's."""
    issuer = x509.Certificate.load(pem_body(folder / "ca.crt"))
    kept = cycle(corpus("ocsp").values())
    for number in count():
        identifier = {
            "hash_algorithm": {"algorithm": "sha1"},
            "issuer_name_hash": hashlib.sha1(issuer.subject.dump(), usedforsecurity=False).digest(),
            "issuer_key_hash": issuer.public_key.sha1,
            "serial_number": USER if number % 3 else number,
        }
        nonce = {"extn_id": "nonce", "extn_value": core.OctetString(number.to_bytes(16, "big"))}
        request = {"request_list": [{"req_cert": identifier}], "request_extensions": [nonce] if number % 2 else None}
        yield ocsp.OCSPRequest({"tbs_request": request}).dump()
        yield next(kept)


def queries(_: Path) -> Iterator[bytes]:
    """Time-stamp requests, and what is kept of the fuzzer's."""
    kept = cycle(corpus("tsp").values())
    for number in count():
        imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": number.to_bytes(32, "big")}
        request = {"version": "v1", "message_imprint": imprint, "nonce": number, "cert_req": bool(number % 2)}
        yield tsp.TimeStampReq(request).dump()
        yield next(kept)


def pem_body(path: Path) -> bytes:
    return subprocess.run(["openssl", "x509", "-in", path, "-outform", "DER"], check=True, capture_output=True).stdout


def posted(media: str, bodies: Iterator[bytes]) -> Iterator[Asked]:
    return (("/", body, {"Content-Type": media}) for body in bodies)


def growth_kib(service: str, folder: Path, asked: Iterator[Asked], warm: int = WARM, soak: int = SOAK) -> int:
    """How much the service's memory grows while it answers, once it is warm."""
    with serving(service, folder) as (connection, process):
        begin = 0
        for number, (path, body, headers) in enumerate(islice(asked, warm + soak)):
            if number == warm:
                begin = resident_kib(process)
            connection.request("POST", path, body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 201, 400, 409, 422), answer.status
        return resident_kib(process) - begin


def test_ocsp(issued_files: Path, empty_replica: str, tmp_path: Path) -> None:
    with psycopg.connect(empty_replica) as connection:
        connection.execute(
            "insert into status (issuer, serial, not_after) values ('nca-rsa', %s, now())", [encode_serial(USER)]
        )
    responder = {
        "authority": "nca-rsa",
        **{"issuer": f"{issued_files}/ca.crt", "certificate": f"{issued_files}/ocsp.crt"},
        "key": f"{issued_files}/ocsp.key",
    }
    (tmp_path / "settings.json").write_text(json.dumps({"database": empty_replica, "responders": [responder]}))
    grown = growth_kib("pki.web.ocsp", tmp_path, posted("application/ocsp-request", questions(issued_files)))
    assert grown < GROWTH_KIB


def test_tsp(issued_files: Path, tmp_path: Path) -> None:
    (tmp_path / "chronyc").write_text(CHRONYC)
    (tmp_path / "chronyc").chmod(0o755)
    unit = {
        "certificate": f"{issued_files}/tsp.crt",
        "chain": [f"{issued_files}/ca.crt"],
        "key": f"{issued_files}/tsp.key",
        "policy": POLICY,
    }
    (tmp_path / "settings.json").write_text(json.dumps({"units": [unit]}))
    grown = growth_kib("pki.web.tsp", tmp_path, posted("application/timestamp-query", queries(issued_files)))
    assert grown < GROWTH_KIB


def requests(officer: str, good: bytes) -> Iterator[Asked]:
    """Requests for certificates: what is kept of the fuzzer's, and between them a good one that is sent again."""
    path, who = "/v1/certificates?authority=nca-rsa&profile=natural-person", {"X-Client-Name": officer}
    for kept in cycle(corpus("csr").values()):
        yield path, kept, who
        yield path, good, who | {"Idempotency-Key": "the same"}


def test_ca(ca_settings: CaSettings, new_request: Callable[[], bytes], tmp_path: Path) -> None:
    """What a subscriber's request may hold, with the database behind it."""
    (tmp_path / "settings.json").write_text(ca_settings.model_dump_json(exclude_none=True), "utf-8")
    grown = growth_kib("pki.web.ca", tmp_path, requests(ca_settings.officers[0], new_request()), *FEWER)
    assert grown < GROWTH_KIB
    with psycopg.connect(ca_settings.database) as connection:
        issued = connection.execute("select count(*) from certificate").fetchall()
    accepted = sum(not name.startswith("no-") for name in corpus("csr"))
    assert issued == [(accepted + 1,)], "each key once, however often it came"


def applications(officer: str) -> Iterator[Asked]:
    """What registrars enter, as the fuzzer keeps it."""
    for name, kept in cycle(corpus("ra").items()):
        yield "/v1/applications", kept, {"X-Officer": officer, "Idempotency-Key": f"a-registrars-{name}"}


def test_ra(ra_settings: RaSettings, tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(ra_settings.model_dump_json(exclude_none=True), "utf-8")
    assert growth_kib("ra.web", tmp_path, applications("registrar-1"), *FEWER) < GROWTH_KIB
    with psycopg.connect(ra_settings.database) as connection:
        assert connection.execute("select count(*) from application").fetchall() == [(1,)]
