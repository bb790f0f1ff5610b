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

from kepil.pki.store import encode_serial
from tests.fuzz.targets import corpus

WARM, SOAK = 2_000, 8_000
"""Requests before memory is read, and between the two readings."""
GROWTH_KIB = 500
"""What allocators may keep meanwhile. A thousand octets forgotten with each request are sixteen times that."""
USER = 4
POLICY = "1.2.398.3.3.2.6.2"
CHRONYC = """#!/bin/sh
echo C6120001,198.18.0.1,3,1763700000.1,-0.0002,0.0,0.00001,-5.2,0.01,0.2,0.004,0.001,64.2,Normal
"""
Kind = tuple[str, str, Callable[[], Iterator[bytes]]]


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
    command = [sys.executable, "-m", "uvicorn", "--factory", f"kepil.pki.web.{service}:create_app"]
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


def growth_kib(service: str, folder: Path, media: str, requests: Iterator[bytes]) -> int:
    """How much the service's memory grows while it answers, once it is warm."""
    with serving(service, folder) as (connection, process):
        begin = 0
        for number, request in enumerate(islice(requests, WARM + SOAK)):
            if number == WARM:
                begin = resident_kib(process)
            connection.request("POST", "/", body=request, headers={"Content-Type": media})
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 400), answer.status
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
    grown = growth_kib("ocsp", tmp_path, "application/ocsp-request", questions(issued_files))
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
    grown = growth_kib("tsp", tmp_path, "application/timestamp-query", queries(issued_files))
    assert grown < GROWTH_KIB
