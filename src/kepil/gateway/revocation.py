"""Squid's certificate validator: whether an origin's certificate was revoked, which Squid itself asks nobody (GW-20).

A request is `CHANNEL cert_validate SIZE BODY` and a line feed; the body holds `host=...`, certificates as `cert_N=PEM`,
the origin's own first, and what Squid found wrong itself as `error_name_N=...`. Answers end with an octet of value 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from kepil.gateway.status import Origins

THREADS = 16
REVOKED = "X509_V_ERR_CERT_REVOKED"
_CERTIFICATE = re.compile(
    rb"^cert_(\d+)=(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)$", re.MULTILINE | re.DOTALL
)
_ERROR = re.compile(rb"^error_(?:name|cert)_\d+=.*$", re.MULTILINE)


def requests(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Channel and body of each request."""
    while line := stream.readline():
        channel, _, size, begun = line.split(b" ", 3)
        yield channel, begun + stream.read(int(size) + 1 - len(begun))


def answer(body: bytes, origins: Origins) -> bytes:
    """What Squid found wrong; or that the certificate was revoked, if it was."""
    found = _ERROR.findall(body)
    if found:  # Squid refuses it already
        return b"".join(line + b"\n" for line in found)
    certificates = [text for _, text in sorted(_CERTIFICATE.findall(body), key=lambda each: int(each[0]))]
    try:
        why = origins.refuses(certificates) if certificates else None
    except ValueError:
        why = "It cannot be read"
    if why:
        return f"error_name_0={REVOKED}\nerror_reason_0={why}\nerror_cert_0=cert_0\n".encode()
    return b""


def serve(trusted: Path, stream: BinaryIO, answers: BinaryIO) -> None:
    """Answer until Squid closes the pipe. Who waits for a list keeps nobody else waiting."""
    lock, origins = Lock(), Origins(trusted)

    def work(channel: bytes, body: bytes) -> None:
        found = answer(body, origins)
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
