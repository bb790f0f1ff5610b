"""What Squid is told of an origin's certificate: real certificates and lists, fetched from a server."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest

from kepil.gateway import revocation
from kepil.gateway.revocation import REVOKED, serve

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
    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An authority whose list names `revoked` and not `good`; nobody has that of `lost`, and `silent` names none."""
    folder = tmp_path_factory.mktemp("authority")
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=Authority", "-days", "9")
    lists = {"good": "list", "revoked": "list", "lost": "nowhere", "silent": None}
    for name, place in lists.items():
        where = f"crlDistributionPoints=URI:http://127.0.0.1:{server.server_port}/{place}"
        more = ("-addext", where) if place else ()
        openssl(
            folder, "req", "-new", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}", *more
        )
        sign = ("-copy_extensions", "copy", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *sign)
    (folder / "ca.cnf").write_text(CONFIGURATION)
    (folder / "index").touch()
    (folder / "number").write_text("01\n")
    ca = ("ca", "-config", "ca.cnf", "-keyfile", "ca.key", "-cert", "ca.crt")
    openssl(folder, *ca, "-revoke", "revoked.crt")
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
    names = ("good", "revoked", "lost", "silent")
    asked = [
        request(at, certificate(authority, name), certificate(authority, "ca", 1)) for at, name in enumerate(names)
    ]
    said = answers(authority, *asked)
    result, size, body = said.pop("1").split(" ", 2)
    assert result == "ERR"
    assert int(size) == len(body.encode())
    assert f"error_name_0={REVOKED}\n" in body
    assert "error_cert_0=cert_0\n" in body
    assert said == {"0": "OK 0 ", "2": "OK 0 ", "3": "OK 0 "}


def test_what_squid_found_wrong_itself_stays_wrong(authority: Path) -> None:
    """Threat: a helper that says nothing of an error forgives it."""
    wrong = ("error_name_0=X509_V_ERR_CERT_HAS_EXPIRED", "error_cert_0=cert_0")
    said = answers(authority, request(0, certificate(authority, "good"), *wrong))
    assert said["0"] == "ERR {} {}".format(sum(len(line) + 1 for line in wrong), "\n".join((*wrong, "")))


def test_who_answers_late_is_not_waited_for(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "PATIENCE_SECONDS", 0.001)
    assert answers(authority, request(0, certificate(authority, "revoked")))["0"] == "OK 0 "


def test_a_request_without_a_certificate_is_answered(authority: Path) -> None:
    assert answers(authority, request(7))["7"] == "OK 0 "
