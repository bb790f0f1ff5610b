"""Time-stamping authorities made by OpenSSL: their tokens, and one that answers over HTTP."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

_CONFIGURATION = """[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:true
[tsu]
extendedKeyUsage = critical, timeStamping
[unit]
serial = serial
signer_cert = crt
signer_key = key
signer_digest = sha256
default_policy = 1.2.3
other_policies = 1.2.4
digests = sha256
ess_cert_id_alg = sha256
"""


class Authority:
    """A time-stamping authority: `crt` is self-signed or, where it has an issuer, that one's, whose `crt` is `ca`."""

    def __init__(self, folder: Path, name: str, issuer: Authority | None = None, extensions: str = "tsu") -> None:
        self.folder = folder / name
        self.folder.mkdir()
        (self.folder / "cnf").write_text(_CONFIGURATION)
        (self.folder / "serial").write_text("01\n")
        signed = () if issuer is None else ("-CA", f"{issuer.folder}/crt", "-CAkey", f"{issuer.folder}/key")
        made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-config", "cnf")
        self.openssl(*made, "-extensions", extensions, "-keyout", "key", "-out", "crt", *signed)

    @property
    def certificate(self) -> bytes:
        """In PEM."""
        return (self.folder / "crt").read_bytes()

    def openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def stamp(self, head: str, token: Path) -> None:
        """A response that stamps a head."""
        token.parent.mkdir(exist_ok=True)
        self.openssl("ts", "-query", "-digest", head, "-sha256", "-cert", "-out", "query")
        token.write_bytes(self.reply((self.folder / "query").read_bytes()))

    def reply(self, query: bytes) -> bytes:
        """The response to a query."""
        (self.folder / "asked").write_bytes(query)
        answer = ("ts", "-reply", "-queryfile", "asked", "-config", "cnf", "-section", "unit", "-out", "answer")
        self.openssl(*answer)
        return (self.folder / "answer").read_bytes()

    @contextmanager
    def listening(self, host: str = "127.0.0.1", kind: str = "application/timestamp-reply") -> Iterator[str]:
        """The URL at which it answers meanwhile."""
        authority = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.headers["Content-Type"] == "application/timestamp-query"
                content = authority.reply(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer((host, 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
