"""A small authority for the tests: root, issuing CA, subscribers of any kind, responder; RSA or GOST, by OpenSSL."""

from __future__ import annotations

import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from kepil.gateway.cms import Trust

SIGNATORY = "1.2.398.3.3.4.1.2.2"
EMPLOYEE = "1.2.398.3.3.4.1.2.5"
GOST = os.environ.get("KEPIL_TEST_GOST", "/etc/ssl/openssl-gost.cnf")
"""An openssl.cnf that activates GOST, as role gost installs it."""
KEYS = {
    "rsa": ["-newkey", "rsa:2048"],
    "gost": ["-newkey", "gost2012_256", "-pkeyopt", "paramset:A"],
}
DIGESTS = {"rsa": "sha256", "gost": "md_gost12_256"}
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"
LEAF = "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"


class Authority:
    """Everything lies in one folder; `url` is the responder's while it serves."""

    def __init__(self, folder: Path, kind: str = "rsa") -> None:
        self.folder, self.kind = folder, kind
        self.serials: dict[str, int] = {}
        self.revoked: set[str] = set()
        self.url = ""
        self.signs_as = "ocsp"
        self.replay = b""
        folder.mkdir()
        self.issue("root", "/CN=Root", CA, by=None)
        self.issue("nca", "/CN=NCA", CA + "authorityKeyIdentifier=keyid\n", by="root")
        self.issue("ocsp", "/CN=OCSP", LEAF + "keyUsage=digitalSignature\nextendedKeyUsage=OCSPSigning\nnoCheck=yes\n")

    @property
    def trust(self) -> Trust:
        """What the estate would trust."""
        return Trust(
            self.folder / "root.crt", self.folder / "nca.crt", Path(GOST) if self.kind == "gost" else None, self.url
        )

    def openssl(self, *arguments: str | Path, given: bytes = b"") -> bytes:
        """OpenSSL, which must succeed."""
        environment = os.environ | ({"OPENSSL_CONF": GOST} if self.kind == "gost" else {})
        done = subprocess.run(
            ["openssl", *arguments], cwd=self.folder, input=given, capture_output=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def issue(self, name: str, subject: str, extensions: str, by: str | None = "nca", days: int = 3650) -> None:
        """A key and its certificate; `by` None for a self-signed one."""
        (self.folder / f"{name}.ext").write_text(extensions)
        self.serials[name] = len(self.serials) + 1
        self.openssl(
            *("req", *KEYS[self.kind], "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-utf8"),
            *("-subj", subject, f"-{DIGESTS[self.kind]}"),
        )
        signer = ["-signkey", f"{name}.key"] if by is None else ["-CA", f"{by}.crt", "-CAkey", f"{by}.key"]
        self.openssl(
            *("x509", "-req", "-in", f"{name}.csr", *signer, "-days", str(days), "-extfile", f"{name}.ext"),
            *("-set_serial", str(self.serials[name]), f"-{DIGESTS[self.kind]}", "-out", f"{name}.crt"),
        )

    def subscriber(self, name: str, unit: str, purpose: str = SIGNATORY, **how: int | str) -> None:
        """A person's or an organisation's signing certificate, as profiles of the National CA have it."""
        extensions = f"{LEAF}keyUsage=digitalSignature,nonRepudiation\nextendedKeyUsage=emailProtection,{purpose}\n"
        subject = "/C=KZ/O=Ministry" + (f"/OU={unit}" if unit else "") + f"/CN={name}/serialNumber=IIN900101350003"
        self.issue(name, subject, extensions, **how)  # type: ignore[arg-type]

    def sign(self, content: str, *names: str, digest: str = "") -> bytes:
        """A signed message, DER."""
        signers = [part for name in names for part in ("-signer", f"{name}.crt", "-inkey", f"{name}.key")]
        return self.openssl(
            *("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", *signers, "-md", digest or DIGESTS[self.kind]),
            given=content.encode(),
        )

    def answer(self, request: bytes) -> bytes:
        """The responder's answer."""
        if self.replay:
            return self.replay
        lines = [
            f"R\t400101000000Z\t250101000000Z\t{serial:02X}\tunknown\t/CN={name}"
            if name in self.revoked
            else f"V\t400101000000Z\t\t{serial:02X}\tunknown\t/CN={name}"
            for name, serial in self.serials.items()
            if name != "unlisted"
        ]
        (self.folder / "index.txt").write_text("\n".join(lines) + "\n")
        (self.folder / "request").write_bytes(request)
        self.openssl(
            *("ocsp", "-index", "index.txt", "-CA", "nca.crt", "-rsigner", f"{self.signs_as}.crt"),
            *("-rkey", f"{self.signs_as}.key", "-reqin", "request", "-respout", "response", "-ndays", "1"),
            *("-rmd", DIGESTS[self.kind]),
        )
        return (self.folder / "response").read_bytes()


def serve(authority: Authority) -> HTTPServer:
    """Answer status requests on a port of this machine until the server is shut down."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """One request."""
            body = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/ocsp-response")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    authority.url = f"http://127.0.0.1:{server.server_port}/"
    return server
