"""Squid's certificate validator: whether an origin's certificate was revoked, which Squid itself asks nobody (GW-20).

OpenSSL fetches the list that the certificate names (RFC 5280 section 4.2.1.13) and verifies it. A certificate that
names none, or whose list cannot be had in time, passes, as in browsers: else who keeps a list away closes its sites.

A request is `CHANNEL cert_validate SIZE BODY` and a line feed; the body holds `host=...`, certificates as `cert_N=PEM`,
the origin's own first, and what Squid found wrong itself as `error_name_N=...`. Answers end with an octet of value 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO

PATIENCE_SECONDS = 5.0
"""How long a list may take; the connection waits meanwhile."""
THREADS = 16
REVOKED = "X509_V_ERR_CERT_REVOKED"
_REVOKED = re.compile(r"^error 23 at 0 depth", re.MULTILINE)
_CERTIFICATE = re.compile(
    rb"^cert_(\d+)=(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)$", re.MULTILINE | re.DOTALL
)
_ERROR = re.compile(rb"^error_(?:name|cert)_\d+=.*$", re.MULTILINE)


def requests(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Channel and body of each request."""
    while line := stream.readline():
        channel, _, size, begun = line.split(b" ", 3)
        yield channel, begun + stream.read(int(size) + 1 - len(begun))


def answer(body: bytes, trusted: Path) -> bytes:
    """What Squid found wrong, and beside it that the certificate was revoked, if it was."""
    found = _ERROR.findall(body)
    if found:  # Squid refuses it already
        return b"".join(line + b"\n" for line in found)
    certificates = [text for _, text in sorted(_CERTIFICATE.findall(body), key=lambda each: int(each[0]))]
    if certificates and is_revoked(certificates, trusted):
        return f"error_name_0={REVOKED}\nerror_reason_0=By its issuer's list\nerror_cert_0=cert_0\n".encode()
    return b""


def is_revoked(certificates: Sequence[bytes], trusted: Path) -> bool:
    """Whether the first certificate's own list names it; the others are the chain that the origin showed."""
    with tempfile.TemporaryDirectory() as folder:
        leaf, chain = Path(folder, "leaf"), Path(folder, "chain")
        leaf.write_bytes(certificates[0] + b"\n")
        chain.write_bytes(b"\n".join((*certificates, b"")))
        command = ["openssl", "verify", "-crl_check", "-crl_download", "-CAfile", str(trusted)]
        try:
            done = subprocess.run(
                [*command, "-untrusted", str(chain), str(leaf)],
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return bool(_REVOKED.search(done.stderr))


def serve(trusted: Path, stream: BinaryIO, answers: BinaryIO) -> None:
    """Answer until Squid closes the pipe. Who waits for a list keeps nobody else waiting."""
    lock = Lock()

    def work(channel: bytes, body: bytes) -> None:
        found = answer(body, trusted)
        with lock:
            answers.write(b"%s %s %d %s\x01" % (channel, b"ERR" if found else b"OK", len(found), found))
            answers.flush()

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        for channel, body in requests(stream):
            pool.submit(work, channel, body)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as Squid's child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trusted", required=True, type=Path, metavar="FILE", help="PEM: whom the gateway trusts")
    serve(parser.parse_args(arguments).trusted, sys.stdin.buffer, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
