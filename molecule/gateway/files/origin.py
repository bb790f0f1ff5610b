"""origin.py ADDRESSES: sites on them, a fault each (CERTIFICATES), over TLS and in the clear, and what greets.

On the first address each site shows its own certificate.
"""

from __future__ import annotations

import base64
import gzip
import socketserver
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TLS = Path("/srv/tls")
CERTIFICATES = ("good", "expired", "self-signed", "other-name", "revoked", "revoked-responder")
EICAR = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
SAMPLE = b"a page among others, and in the midst of it what it should not have: " * 3 + EICAR.encode()
CODED = {  # the sample, as its content encoding; Python has no encoder for two of them
    "gzip": gzip.compress(SAMPLE),
    "br": base64.b64decode(
        "GxIBQJwHtu1wi3l+lYiMLdrgvJQnNdWDyUjhmdb21iBzZnQTRIdMJwfsp+9YZM3bsisHFDAHujF4ezGLiv2w+PS5l1lhsjV3j1uFmuk1HPRExpxX14CWRHF7"
        "2LPdV2d5e4uQpmo/zus07g34MI1zrEmcZdiQZfCNC8CVqiQ="
    ),
    "zstd": base64.b64decode(
        "KLUv/WATAB0EAFLIHRkgewPAqVFTtIWl38g7+E87sDfOKQESAHUBRWREAfBMEoQz7Mkwpl3SJmVUxs6VHSpnGL5yIz3BqxBNoxCgNSAJ11kf4lmZESygSrhf"
        "xFbv7xz90GT5Xrve7vfyR/59Dcvzxd0fLT9E9R+rKu7On0T5qV8kdfo6AgAPSKAFrQsF"
    ),
}
HARMFUL = b"KEPIL-INTRUSION-TEST\n"
CONTENT = {
    "/": b"origin\n",
    "/what-for": b"origin\n",
    "/accepted": b"",  # what the request says that it accepts
    "/harmful": HARMFUL,
    "/eicar": EICAR.encode(),
    "/eicar-postscript": b"%!PS-Adobe-3.0\n" + SAMPLE,
    "/eicar-unknown": b"\x00\x01" + SAMPLE,
    **{f"/eicar-{name}": content for name, content in CODED.items()},
    "/large": bytes(range(256)) * 16384,
}
STATUS = {"/crl": "ca.crl", "/ocsp": "ocsp.der"}
"""Their authority's list, and its responder's one answer."""
LINES = {"/slow": 600, "/long": 200, "/brief": 90, "/short": 40}


class Site(BaseHTTPRequestHandler):
    """Answers with what a path stands for; /slow, /long, /brief and /short give a line every tenth of a second."""

    def do_GET(self) -> None:
        if self.path not in LINES:
            content = (
                CONTENT.get(self.path.partition("?")[0])
                or status(self.path)
                or self.headers.get("Accept-Encoding", "").encode()
            )
            part = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")
            self.send_response(206 if "Range" in self.headers else 200)
            content = content[int(part[0]) : int(part[1]) + 1 if part[1] else None]
            if self.path == "/ocsp":  # without its type clients do not take the answer
                self.send_header("Content-Type", "application/ocsp-response")
            if (name := self.path.removeprefix("/eicar-")) in CODED:
                self.send_header("Content-Encoding", name)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(LINES[self.path] * len("drop\n")))
        self.end_headers()
        for _ in range(LINES[self.path]):
            self.wfile.write(b"drop\n")
            time.sleep(0.1)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


def status(path: str) -> bytes | None:
    """What the authority says of its certificates."""
    return (TLS / STATUS[path]).read_bytes() if path in STATUS else None


class Greeter(socketserver.BaseRequestHandler):
    """A service that is neither TLS nor HTTP."""

    def handle(self) -> None:
        self.request.sendall(b"hello\n")


class Ticker(socketserver.StreamRequestHandler):
    """Likewise, and goes on for as long as somebody listens who said something."""

    def handle(self) -> None:
        if not self.rfile.readline():
            return
        try:
            while True:
                self.wfile.write(b"tick\n")
                time.sleep(0.05)
        except OSError:
            return


class Streamer(socketserver.BaseRequestHandler):
    """Likewise over UDP: a datagram asks, and half a minute of them answers, whoever still listens."""

    def handle(self) -> None:
        _, stream = self.request
        for _ in range(600):
            stream.sendto(b"tick\n", self.client_address)
            time.sleep(0.05)


def shows(name: str) -> ssl.SSLContext:
    """TLS with a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{name}.crt", TLS / f"{name}.key")
    return context


def show_own(stream: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
    """Show the certificate of the site that is asked for, where it has one."""
    if name and (TLS / f"{name}.crt").exists():
        stream.context = shows(name)


def main() -> None:
    """Serve until stopped."""
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.request_queue_size = ThreadingHTTPServer.request_queue_size = 128
    addresses = sys.argv[1].split(",")
    servers: list[socketserver.BaseServer] = [
        ThreadingHTTPServer((addresses[0], 80), Site),
        socketserver.ThreadingTCPServer((addresses[0], 8022), Greeter),
        socketserver.ThreadingTCPServer((addresses[0], 8023), Greeter),
        socketserver.ThreadingTCPServer((addresses[0], 8024), Ticker),
        socketserver.ThreadingUDPServer((addresses[0], 8025), Streamer),
    ]
    for address, name in zip(addresses, CERTIFICATES, strict=True):
        context = shows(name)
        if name == "good":
            context.sni_callback = show_own
        for port in (443, 8443) if name == "good" else (443,):
            server = ThreadingHTTPServer((address, port), Site)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            servers.append(server)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
