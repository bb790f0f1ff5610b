"""Ask many questions at once, as users; questions and answers are JSON on standard input and output.

A question: `source`, `address`, and perhaps `name` (server name), `port` (443 means TLS), `path`, `trusts` (a file of
roots: the certificate is checked), `proxy` (an address to ask by CONNECT), `seconds` (patience), `says` (what is sent
to a port that is not the web's), `lasts` (leave after so many seconds). An answer: `certificate` (DER, hexadecimal),
`status`, `body` (its beginning), `length`, `silence` (the longest, in seconds), `error`.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TLS = 443


def ask(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question."""
    found: dict[str, Any] = {"certificate": None, "status": None, "body": "", "length": 0, "silence": 0, "error": None}
    try:
        with _connect(question) as raw, _secure(question, raw) as stream:
            if isinstance(stream, ssl.SSLSocket):
                found["certificate"] = (stream.getpeercert(binary_form=True) or b"").hex()
            _fetch(question, stream, found)
    except (OSError, ValueError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    return found


def _connect(question: dict[str, Any]) -> socket.socket:
    patience, source = question.get("seconds", 4), (question["source"], 0)
    if "proxy" not in question:
        return socket.create_connection((question["address"], question.get("port", TLS)), patience, source)
    stream = socket.create_connection((question["proxy"], 3128), patience, source)
    stream.sendall(
        f"CONNECT {question['address']}:{TLS} HTTP/1.1\r\nHost: {question['address']}:{TLS}\r\n\r\n".encode()
    )
    answer = stream.recv(4096)
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise OSError(f"the proxy says {answer[:40]!r}")
    return stream


def _secure(question: dict[str, Any], raw: socket.socket) -> socket.socket:
    if question.get("port", TLS) != TLS:
        return raw
    context = ssl.create_default_context(cafile=question.get("trusts"))
    if "trusts" not in question:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(raw, server_hostname=question.get("name"))


def _fetch(question: dict[str, Any], stream: socket.socket, found: dict[str, Any]) -> None:
    host = question.get("name") or question["address"]
    if question.get("port", TLS) in (80, TLS):
        stream.sendall(
            f"GET {question.get('path', '/')} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
    elif "says" in question:
        stream.sendall(question["says"].encode() + b"\n")
    received = b""
    began = last = time.monotonic()
    try:
        while part := stream.recv(65536):
            received += part
            now = time.monotonic()
            found["silence"], last = max(found["silence"], round(now - last, 2)), now
            if now - began > question.get("lasts", float("inf")):
                break
    finally:
        head, _, body = received.partition(b"\r\n\r\n") if received.startswith(b"HTTP/") else (b"", b"", received)
        found["status"] = int(head.split()[1]) if head else None
        found["body"], found["length"] = body[:8192].decode("utf-8", "replace"), len(body)


if __name__ == "__main__":
    with ThreadPoolExecutor(64) as pool:
        print(json.dumps(list(pool.map(ask, json.load(sys.stdin)))))
