"""Ask many questions at once, as users; questions and answers are JSON on standard input and output.

A question: `source`, `address`, and perhaps `name` (server name), `port` (443 and 8443 mean TLS), `path`, `trusts` (a
file of roots: the certificate is checked), `proxy` (an address to ask by CONNECT), `connects` (the port that it is
asked for), `from` (the user's own port), `begins` (the first octet's number), `resets` (leave by a reset, so that this
port is free at once), `seconds` (patience), `host` (another one than the name), `headers` (further lines of the
request), `sends` (a body), `says` (what is sent instead of TLS and HTTP), `protocol` (tcp or udp), `lasts` (leave after
so many seconds), `after` (wait so many before), `encrypts` (show an encrypted server name beside `name`, RFC 9849, and
leave once there is a certificate).
An answer: `certificate` (DER, hexadecimal), `status`, `body` (its beginning), `length`, `silence` (the longest after
its first part, in seconds), `began` and `ended` (seconds since 1970), `error`.
"""

from __future__ import annotations

import fcntl
import json
import socket
import ssl
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TLS = 443
ENCRYPTED = (TLS, 8443)
PORTS = "/run/ask.ports"
"""How many were taken. Each question has a port of its own, for the scenario asks often: by chance one in some thousand
would begin between ports that were released twice a moment ago (docs/gateway-protection.md#what-is-released)."""


def take_ports(questions: list[dict[str, Any]]) -> None:
    """The next ports, in turn, for questions that state none."""
    with open(PORTS, "a+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        taken = int(file.read() or 0)
        for number, question in enumerate(questions, taken):
            question.setdefault("from", 32768 + number % 28000)
        file.truncate(0)
        file.write(str(taken + len(questions)))


def ask(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to one question."""
    time.sleep(question.get("after", 0))
    found: dict[str, Any] = {"certificate": None, "status": None, "body": "", "length": 0, "silence": 0, "error": None}
    found["began"] = time.time()
    try:
        with _connect(question) as raw:
            if "encrypts" in question:
                found["certificate"] = _shown_to_encrypted_name(question, raw)
            else:
                _ask(question, raw, found)
    except (OSError, ValueError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    finally:
        found["ended"] = time.time()
    return found


def _ask(question: dict[str, Any], raw: socket.socket, found: dict[str, Any]) -> None:
    with _secure(question, raw) as stream:
        if isinstance(stream, ssl.SSLSocket):
            found["certificate"] = (stream.getpeercert(binary_form=True) or b"").hex()
        _fetch(question, stream, found)


def _connect(question: dict[str, Any]) -> socket.socket:
    patience, source = question.get("seconds", 4), (question["source"], question.get("from", 0))
    if question.get("protocol") == "udp":
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.settimeout(patience)
        datagrams.bind(source)
        datagrams.connect((question["address"], question["port"]))
        return datagrams
    if "proxy" not in question:
        stream = socket.socket()
        stream.settimeout(patience)
        if "begins" in question:
            _begin_at(question["begins"], stream)
        stream.bind(source)
        stream.connect((question["address"], question.get("port", TLS)))
        if question.get("resets"):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return stream
    stream = socket.create_connection((question["proxy"], 3128), patience, source)
    asked = f"{question['address']}:{question.get('connects', TLS)}"
    stream.sendall(f"CONNECT {asked} HTTP/1.1\r\nHost: {asked}\r\n\r\n".encode())
    answer = stream.recv(4096)
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise OSError(f"the proxy says {answer[:40]!r}")
    return stream


def _begin_at(number: int, stream: socket.socket) -> None:
    """Number the octets from here on, instead of as the kernel would (TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ)."""
    for option, value in ((19, 1), (20, 2), (21, number), (19, 0)):
        stream.setsockopt(socket.IPPROTO_TCP, option, value)


def _secure(question: dict[str, Any], raw: socket.socket) -> socket.socket:
    if question.get("port", TLS) not in ENCRYPTED or "says" in question:
        return raw
    context = ssl.create_default_context(cafile=question.get("trusts"))
    if "trusts" not in question:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(raw, server_hostname=question.get("name"))


def _shown_to_encrypted_name(question: dict[str, Any], raw: socket.socket) -> str | None:
    """The certificate that is shown to a handshake with an encrypted server name: OpenSSL's own, up to TLS 1.2 for
    there certificates are in the clear, and the extension (0xfe0d: an outer one, a cipher suite, a key's number, a
    key, and what it enciphers) put at its end."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = context.wrap_bio(received, sent, server_hostname=question["name"])
    try:
        handshake.do_handshake()
    except ssl.SSLWantReadError:
        hello = sent.read()
    encrypted = b"\x00\x00\x01\x00\x01\x07" + _sized(2, bytes(range(32))) + _sized(2, question["encrypts"].encode())
    extension = b"\xfe\x0d" + _sized(2, encrypted)
    position = 9 + 2 + 32  # heads of record and message, version, random; then session, cipher suites, compression
    for width in (1, 2, 1):
        position += width + int.from_bytes(hello[position : position + width], "big")
    extensions = _sized(2, hello[position + 2 :] + extension)
    message = hello[5:6] + _sized(3, hello[9:position] + extensions)
    raw.sendall(hello[:3] + _sized(2, message))
    return _certificate_in_the_clear(raw)


def _sized(width: int, content: bytes) -> bytes:
    """Content after its length."""
    return len(content).to_bytes(width, "big") + content


def _certificate_in_the_clear(raw: socket.socket) -> str | None:
    """The first certificate of a server's handshake; None where it sends none."""
    messages = b""
    with raw.makefile("rb") as stream:
        while (head := stream.read(5)) and head[0] == 22:
            messages += stream.read(int.from_bytes(head[3:], "big"))
            while len(messages) >= 4 and len(messages) >= (end := 4 + int.from_bytes(messages[1:4], "big")):
                if messages[0] == 11:
                    return messages[10 : 10 + int.from_bytes(messages[7:10], "big")].hex()
                messages = messages[end:]
    return None


def _fetch(question: dict[str, Any], stream: socket.socket, found: dict[str, Any]) -> None:
    if "says" in question:
        stream.sendall(question["says"].encode() + b"\n")
    elif question.get("port", TLS) in (80, *ENCRYPTED):
        stream.sendall(_request(question))
    received = b""
    began = last = time.monotonic()
    try:
        while part := stream.recv(65536):
            now = time.monotonic()
            if received:
                found["silence"] = max(found["silence"], round(now - last, 2))
            received, last = received + part, now
            if now - began > question.get("lasts", float("inf")):
                break
    finally:
        head, _, body = received.partition(b"\r\n\r\n") if received.startswith(b"HTTP/") else (b"", b"", received)
        found["status"] = int(head.split()[1]) if head else None
        found["body"], found["length"] = body[:8192].decode("utf-8", "replace"), len(body)


def _request(question: dict[str, Any]) -> bytes:
    body = question.get("sends", "")
    lines = [
        f"{'POST' if body else 'GET'} {question.get('path', '/')} HTTP/1.1",
        f"Host: {question.get('host') or question.get('name') or question['address']}",
        *question.get("headers", []),
        *([f"Content-Length: {len(body)}"] if body else []),
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", body]).encode()


if __name__ == "__main__":
    questions = json.load(sys.stdin)
    take_ports(questions)
    with ThreadPoolExecutor(len(questions)) as pool:
        print(json.dumps(list(pool.map(ask, questions))))
