"""What Squid is told of an origin's certificate: real certificates, and lists and answers from a server."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from kepil.gateway import status
from kepil.gateway.revocation import REVOKED, serve
from kepil.gateway.status import Origins

CONFIGURATION = """[ca]
default_ca = own
[own]
database = index
crlnumber = number
default_md = sha256
default_crl_days = 9
"""


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class Quiet(SimpleHTTPRequestHandler):
    """Lists as files; and a responder a way, which OpenSSL answers for."""

    asked: ClassVar[list[str]] = []
    _one_at_a_time = Lock()

    def do_POST(self) -> None:
        self.asked.append(self.path)
        with self._one_at_a_time:
            self._respond()

    def _respond(self) -> None:
        folder = Path(self.directory)
        (folder / "asked").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        signer = "other" if self.path == "/forged" else "ca"
        ca = ("-index", "index", "-CA", "ca.crt", "-rsigner", f"{signer}.crt", "-rkey", f"{signer}.key", "-ndays", "1")
        openssl(folder, "ocsp", *ca, "-reqin", "asked", "-respout", "answered")
        if self.path == "/old":
            (folder / "answered").write_bytes(of_last_week(folder))
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.end_headers()
        self.wfile.write((folder / "answered").read_bytes())

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def of_last_week(folder: Path) -> bytes:
    """What the responder said of `old-revoked` and `demands-old` a week ago, for a day: that it is good."""
    asked = ocsp.load_der_ocsp_request((folder / "asked").read_bytes())
    begins = datetime.now(UTC) - timedelta(days=7)
    authority = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
        asked.issuer_name_hash,
        asked.issuer_key_hash,
        asked.serial_number,
        asked.hash_algorithm,
        ocsp.OCSPCertStatus.GOOD,
        begins,
        begins + timedelta(days=1),
        None,
        None,
    )
    signed = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, authority).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    return signed.public_bytes(serialization.Encoding.DER)


NAMES = {
    # what a certificate says of where its status is asked: a list, a responder, whether it demands an answer
    "good": ("list", None, False),
    "revoked": ("list", None, False),
    "lost": ("nowhere", None, False),
    "silent": (None, None, False),
    "asked-good": (None, "responder", False),
    "asked-revoked": (None, "responder", False),
    "both-revoked": ("nowhere", "responder", False),
    "forged-revoked": (None, "forged", False),
    "old-revoked": (None, "old", False),
    "demands-good": (None, "responder", True),
    "demands-old": (None, "old", True),
    "demands-silent": (None, None, True),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An authority that revoked whoever is named so: by a list, or by a responder which others imitate."""
    folder = tmp_path_factory.mktemp("authority")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other"):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        openssl(folder, "req", "-x509", *key, *files, "-subj", "/CN=Authority", "-days", "9")
    (folder / "ca.cnf").write_text(CONFIGURATION)
    (folder / "index").touch()
    (folder / "number").write_text("01\n")
    ca = ("ca", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt")
    here = f"URI:http://127.0.0.1:{server.server_port}"
    for name, (place, responder, demands) in NAMES.items():
        more = [
            *([f"crlDistributionPoints={here}/{place}"] if place else []),
            *([f"authorityInfoAccess=OCSP;{here}/{responder}"] if responder else []),
            *(["tlsfeature=status_request"] if demands else []),
        ]
        extensions = [word for each in more for word in ("-addext", each)]
        files = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(folder, "req", "-new", *key, *files, "-subj", f"/CN={name}", *extensions)
        sign = ("-copy_extensions", "copy", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *sign)
        openssl(folder, *ca, "-revoke" if "revoked" in name else "-valid", f"{name}.crt")
    openssl(folder, *ca, "-gencrl", "-out", "list.pem")
    openssl(folder, "crl", "-in", "list.pem", "-outform", "DER", "-out", "list")
    yield folder
    server.shutdown()


def request(channel: int, *lines: str) -> bytes:
    """As Squid writes it."""
    body = "\n".join(("host=example.net", *lines, "")).encode()
    return f"{channel} cert_validate {len(body)} ".encode() + body + b"\n"


def answers(authority: Path, *asked: bytes) -> dict[str, str]:
    """What is answered on each channel."""
    out = io.BytesIO()
    serve(authority / "ca.crt", io.BytesIO(b"".join(asked)), out)
    said = out.getvalue().decode()
    assert said.endswith("\x01")
    return dict(each.split(" ", 1) for each in said[:-1].split("\x01"))


def certificate(authority: Path, name: str, number: int = 0) -> str:
    return f"cert_{number}=" + (authority / f"{name}.crt").read_text().strip()


@pytest.mark.clause("GW-20")
def test_a_revoked_certificate_is_told_of_and_others_are_not(authority: Path) -> None:
    """By list or by responder. A forged answer and an old one are none; who demands one and has none is refused."""
    asked = [
        request(at, certificate(authority, name), certificate(authority, "ca", 1)) for at, name in enumerate(NAMES)
    ]
    said = dict(
        zip(NAMES, (each for _, each in sorted(answers(authority, *asked).items(), key=by_number)), strict=True)
    )
    refused = {name for name, each in said.items() if each != "OK 0 "}
    assert refused == {"revoked", "asked-revoked", "both-revoked", "demands-old", "demands-silent"}
    for name in refused:
        result, size, body = said[name].split(" ", 2)
        assert result == "ERR"
        assert int(size) == len(body.encode())
        assert f"error_name_0={REVOKED}\n" in body
        assert "error_cert_0=cert_0\n" in body


def by_number(said: tuple[str, str]) -> int:
    """In the order of their channels."""
    return int(said[0])


def test_the_issuer_is_found_though_the_origin_does_not_show_it(authority: Path) -> None:
    assert answers(authority, request(0, certificate(authority, "asked-revoked")))["0"].startswith("ERR ")


def test_a_responder_is_asked_once_until_its_next_update(authority: Path) -> None:
    origins = Origins(authority / "ca.crt")
    shown = [(authority / f"{name}.crt").read_bytes() for name in ("asked-revoked", "ca")]
    before = len(Quiet.asked)
    assert [bool(origins.refuses(shown)) for _ in range(3)] == [True] * 3
    assert len(Quiet.asked) == before + 1


def test_what_cannot_be_read_is_refused_and_not_left_without_an_answer(authority: Path) -> None:
    broken = "cert_0=-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"
    assert answers(authority, request(0, broken))["0"].startswith("ERR ")


def test_what_squid_found_wrong_itself_stays_wrong(authority: Path) -> None:
    """Threat: a helper that says nothing of an error forgives it."""
    wrong = ("error_name_0=X509_V_ERR_CERT_HAS_EXPIRED", "error_cert_0=cert_0")
    said = answers(authority, request(0, certificate(authority, "good"), *wrong))
    assert said["0"] == "ERR {} {}".format(sum(len(line) + 1 for line in wrong), "\n".join((*wrong, "")))


def test_who_answers_late_is_not_waited_for(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PATIENCE_SECONDS", 0.001)
    for name in ("revoked", "asked-revoked"):
        assert answers(authority, request(0, certificate(authority, name)))["0"] == "OK 0 "


def test_a_request_without_a_certificate_is_answered(authority: Path) -> None:
    assert answers(authority, request(7))["7"] == "OK 0 "
