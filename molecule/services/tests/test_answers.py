"""What anyone who asks is told: OpenSSL and curl against the responder."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from shlex import quote as quoted
from typing import Any
from urllib.parse import quote

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://ra"]

HERE = "/root/molecule-ocsp"
TLS = (
    "--cacert /etc/ssl/kepil/internal-ca.crt"
    " --cert /etc/ssl/kepil/internal.crt --key /etc/ssl/private/kepil-internal.key"
)
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def shared(inventory: dict[str, Any]) -> dict[str, Any]:
    """Variables of the host that asks."""
    variables: dict[str, Any] = inventory["_meta"]["hostvars"]["ra01"]
    return variables


@pytest.fixture(scope="module")
def url(shared: dict[str, Any]) -> str:
    """The responder's address, as certificates carry it."""
    return f"http://ocsp.{shared['estate_domain']}"


@pytest.fixture(scope="module")
def ca(shared: dict[str, Any]) -> str:
    """The CA's API."""
    return f"https://ca01.{shared['estate_domain']}:8443/v1/certificates"


@pytest.fixture(scope="module")
def client() -> Host:
    """The host that asks."""
    return Host.get_host("ansible://ra01")


@pytest.fixture(scope="module")
def serial(client: Host, shared: dict[str, Any], ca: str) -> str:
    """A certificate, issued now: its serial number in hexadecimal; the files lie in HERE."""
    issuing, root = (shared["pki_hierarchies"]["rsa"][member]["name"] for member in ("issuing", "root"))
    client.check_output(
        f"mkdir -p {HERE} && cd {HERE} && "
        "openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -out request.pem 2>/dev/null"
        " -subj /C=KZ/L=Astana/O=Molecule/CN=client.example.kz -addext subjectAltName=DNS:client.example.kz && "
        f"curl -sSf {TLS} -H 'Content-Type: application/pkcs10' --data-binary @request.pem"
        f" '{ca}?authority={issuing}&profile=information-system' | openssl x509 -out leaf.pem && "
        f"for n in {issuing} {root}; do curl -sSf http://pki.{shared['estate_domain']}/$n.pem; done > chain.pem && "
        f"curl -sSf http://pki.{shared['estate_domain']}/{issuing}.pem > issuer.pem"
    )
    return client.check_output(f"openssl x509 -in {HERE}/leaf.pem -noout -serial").strip().removeprefix("serial=")


def ask(client: Host, url: str, options: str = "-cert leaf.pem") -> str:
    """What OpenSSL makes of the responder's answer, signature and time checked."""
    done = client.run(f"cd {HERE} && openssl ocsp -issuer issuer.pem {options} -CAfile chain.pem -url {url}/ 2>&1")
    return str(done.stdout)


def ask_until(client: Host, url: str, expected: str) -> str:
    """Ask until the replica has the news."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while expected not in (answer := ask(client, url)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return answer


def get(client: Host, address: str) -> tuple[str, bytes]:
    """Content type and body of an answer."""
    kind = client.check_output(f"curl -s --path-as-is -o {HERE}/answer -w '%{{content_type}}' '{address}'")
    return kind.strip(), base64.b64decode(client.check_output(f"base64 {HERE}/answer"))


def test_an_issued_certificate_is_good(client: Host, url: str, serial: str) -> None:
    """CP-2.2, CP-4.10: a nonce comes back (-nonce is OpenSSL's default, and it checks)."""
    answer = ask_until(client, url, ": good")
    assert "leaf.pem: good" in answer
    assert "Response verify OK" in answer
    assert "no nonce" not in answer


def test_what_was_never_issued_is_not_good(client: Host, url: str, serial: str) -> None:
    """Threat: a forged certificate passes because nobody revoked it."""
    answer = ask(client, url, "-serial 0x4242424242424242")
    assert "good" not in answer
    assert "unknown" in answer


def test_get_requests_arrive_as_they_were_sent(client: Host, url: str, serial: str) -> None:
    """RFC 6960 appendix A.1: base64 in the path; two slashes in a row, encoded or not, are two slashes."""
    for number in range(1, 2000):
        client.check_output(
            f"cd {HERE} && openssl ocsp -issuer issuer.pem -serial {serial_like(number)} -no_nonce -reqout query"
        )
        query = base64.b64decode(client.check_output(f"base64 -w0 {HERE}/query"))
        encoded = base64.b64encode(query).decode()
        if "//" in encoded:
            break
    for path in (encoded.replace("+", "%2B"), quote(encoded, safe="")):
        kind, body = get(client, f"{url}/{path}")
        assert kind == "application/ocsp-response", path
        assert body[:7].hex().endswith("0a0100"), "responseStatus successful"


def serial_like(number: int) -> str:
    """A serial number for base64 with slashes in it."""
    return f"0x{'ff' * 15}{number:04x}"


def test_a_malformed_request_is_called_that(client: Host, url: str, serial: str) -> None:
    """RFC 6960 section 4.2.1: malformedRequest (1)."""
    assert get(client, f"{url}/AAAA") == ("application/ocsp-response", bytes.fromhex("30030a0101"))


def test_the_same_question_is_answered_from_memory_for_a_second_and_errors_never(
    client: Host, url: str, serial: str
) -> None:
    """RFC 5019 section 6. Threat: an answer to made-up questions fills the memory, or outlives what is true."""
    kept = "find /run/nginx/ocsp -type f | wc -l"
    node = Host.get_host("ansible://ocsp01")
    node.check_output("find /run/nginx/ocsp -type f -delete")

    def repeat(path: str) -> None:
        client.check_output(f"curl -sSf --path-as-is {' '.join([f'-o /dev/null {url}/{path}'] * 5)}")

    def path(which: str) -> str:
        client.check_output(f"cd {HERE} && openssl ocsp -issuer issuer.pem {which} -no_nonce -reqout query")
        return quote(client.check_output(f"base64 -w0 {HERE}/query"), safe="")

    repeat(path("-serial 0x4242424242424242"))  # unknown
    repeat("AAAA")  # malformed
    assert node.check_output(kept) == "0"
    repeat(path("-cert leaf.pem"))
    assert node.check_output(kept) == "1"


def test_nobody_outside_sees_the_health(client: Host, url: str) -> None:
    """Threat: an attacker watches how far the replica lags."""
    for path in ("health", "%68ealth", "./health"):
        assert client.check_output(f"curl -s --path-as-is -o /dev/null -w '%{{http_code}}' {url}/{path}") == "404"


def test_large_bodies_are_refused_at_the_door(client: Host, url: str) -> None:
    """Threat: large requests tie up the service."""
    command = f"head -c 9000 /dev/zero | curl -s -o /dev/null -w '%{{http_code}}' --data-binary @- {url}/"
    assert client.check_output(command) == "413"


@pytest.fixture
def core_down() -> Iterator[None]:
    """Neither CA nor primary database."""
    core = Host.get_host("ansible://ca01")
    core.check_output("systemctl stop kepil-ca.socket kepil-ca.service postgresql@17-main.service")
    yield
    core.check_output("systemctl start postgresql@17-main.service kepil-ca.socket kepil-ca.service")


def health_of(name: str) -> tuple[int, dict[str, Any]]:
    """Status and report of a responder, as monitoring on its host reads them."""
    answer = Host.get_host(f"ansible://{name}").check_output(f"python3 -c {quoted(READ_HEALTH)}")
    status, report = answer.split(maxsplit=1)
    return int(status), json.loads(report)


READ_HEALTH = """
import socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/kepil-ocsp/http.sock")
s.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
head, body = b"".join(iter(lambda: s.recv(4096), b"")).split(b"\\r\\n\\r\\n")
print(head.split()[1].decode(), body.decode())
"""


@pytest.mark.usefixtures("core_down")
def test_it_answers_while_the_core_is_down_even_after_a_restart(client: Host, url: str, serial: str) -> None:
    """CP-4.10, CP-2.1 (24x7). Threat: whoever stops the core stops every check of every certificate."""
    assert "leaf.pem: good" in ask(client, url)
    Host.get_host("ansible://ocsp01").check_output("systemctl restart 'kepil-ocsp@*'")
    answer = ask_until(client, url, ": good")
    assert "leaf.pem: good" in answer
    assert "Response verify OK" in answer
    status, health = health_of("ocsp01")
    assert (status, health["healthy"], health["primary"]) == (200, True, "away")


def test_a_revocation_shows_with_its_reason(
    client: Host, url: str, ca: str, serial: str, shared: dict[str, Any]
) -> None:
    """CP-4.9. Threat: a cached answer outlives the revocation; or the replica never hears from the core again."""
    assert ask_until(client, url, ": good")
    issuing = shared["pki_hierarchies"]["rsa"]["issuing"]["name"]
    reason = json.dumps({"reason": "keyCompromise"})
    revoke = (
        f"curl -sf --retry 5 --retry-all-errors {TLS} -H 'Content-Type: application/json'"
        f" -d '{reason}' '{ca}/{serial}/revocation?authority={issuing}'"
    )
    client.check_output(revoke)
    answer = ask_until(client, url, ": revoked")
    assert "leaf.pem: revoked" in answer
    assert "Reason: keyCompromise" in answer
