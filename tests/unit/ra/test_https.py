"""Mutual TLS against a real server: who has no identity, or meets a stranger, gets nowhere (CP-6.7)."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kepil.ra.https import IdentityError, UnreachableError, sender
from kepil.ra.settings import Door
from tests.unit.pki.ca.conftest import openssl


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two CAs, `ca` and `other`, and of each a certificate for localhost, `ca-leaf` and `other-leaf`."""
    folder = tmp_path_factory.mktemp("tls")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl(
            *("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", *usage),
            folder=folder,
        )
        leaf = ("-keyout", f"{name}-leaf.key", "-out", f"{name}-leaf.crt", "-subj", "/CN=localhost")
        names = ("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")
        openssl("req", "-x509", *key, *leaf, *names, "-CA", f"{name}.crt", "-CAkey", f"{name}.key", folder=folder)
    return folder


class Echo(BaseHTTPRequestHandler):
    """Answers with what came."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Type", "application/problem+json; charset=utf-8")
        self.end_headers()
        self.wfile.write(f"{self.path} {self.headers['Idempotency-Key']} ".encode() + body)

    def log_message(self, *_words: Any) -> None:
        pass


def serve(identities: Path, newest: ssl.TLSVersion) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.load_cert_chain(identities / "ca-leaf.crt", identities / "ca-leaf.key")
    context.load_verify_locations(identities / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.handle_error = lambda *_words: None  # type: ignore[method-assign]  # refused handshakes are tested
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(identities: Path) -> Iterator[str]:
    """A service's URL, for whoever has a certificate of `ca`."""
    yield from serve(identities, ssl.TLSVersion.TLSv1_3)


@pytest.fixture
def old_server(identities: Path) -> Iterator[str]:
    yield from serve(identities, ssl.TLSVersion.TLSv1_2)


def door(url: str, folder: Path, identity: str = "ca-leaf", anchor: str = "ca") -> Door:
    return Door(
        url=url,
        certificate=folder / f"{identity}.crt",
        key=folder / f"{identity}.key",
        ca=folder / f"{anchor}.crt",
    )


def test_what_is_sent_arrives_and_the_answer_comes_back(server: str, identities: Path) -> None:
    answer = sender(door(server, identities))("POST", "/v1/x?a=b", b"body", {"Idempotency-Key": "k"})
    assert (answer.status, answer.media_type, answer.body) == (201, "application/problem+json", b"/v1/x?a=b k body")


@pytest.mark.clause("CP-6.7")
@pytest.mark.parametrize("changes", [{"identity": "other-leaf"}, {"anchor": "other"}])
def test_a_stranger_on_either_side_is_refused(server: str, identities: Path, changes: dict[str, str]) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        sender(door(server, identities, **changes))("POST", "/", b"")


@pytest.mark.clause("CP-6.7")
def test_old_tls_is_refused(old_server: str, identities: Path) -> None:
    with pytest.raises(UnreachableError, match="does not answer"):
        sender(door(old_server, identities))("POST", "/", b"")


def test_an_identity_that_cannot_be_read_is_named(server: str, identities: Path) -> None:
    with pytest.raises(IdentityError, match=r"nobody\.crt"):
        sender(door(server, identities, identity="nobody"))("POST", "/", b"")
