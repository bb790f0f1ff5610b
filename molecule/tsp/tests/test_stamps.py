"""What a subscriber gets: OpenSSL and curl against the time-stamping service."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://organisation"]

HERE = "/root/molecule-tsp"
TYPE = "-H 'Content-Type: application/timestamp-query'"
PATIENCE_SECONDS = 90


@pytest.fixture
def unit(variables: dict[str, Any]) -> dict[str, Any]:
    """The time-stamping unit, as the inventory describes it."""
    described: dict[str, Any] = variables["pki_hierarchies"]["rsa"]["tsp"]
    return described


@pytest.fixture
def url(variables: dict[str, Any]) -> str:
    """The service's address."""
    return f"http://tsp.{variables['estate_domain']}/"


@pytest.fixture
def folder(host: Any, variables: dict[str, Any]) -> str:
    """A document, and the root and issuing certificates as anyone fetches them."""
    members = variables["pki_hierarchies"]["rsa"]
    site = f"http://pki.{variables['estate_domain']}"
    host.check_output(
        f"mkdir -p {HERE} && cd {HERE} && echo a document > document"
        f" && curl -sSf -o root.pem {site}/{members['root']['name']}.pem"
        f" && curl -sSf -o issuing.pem {site}/{members['issuing']['name']}.pem"
    )
    return HERE


def stamp(host: Any, url: str, query: str) -> str:
    """Ask for a time stamp; the token lies in HERE, what OpenSSL reads in it comes back."""
    host.check_output(
        f"cd {HERE} && openssl ts -query -data document {query} -out query.tsq 2>/dev/null"
        f" && curl -sSf {TYPE} --data-binary @query.tsq -o token.tsr {url}"
    )
    text: str = host.check_output(f"cd {HERE} && openssl ts -reply -in token.tsr -text 2>&1")
    return text


def test_a_stamp_verifies(host: Any, url: str, folder: str, unit: dict[str, Any]) -> None:
    """CP-2.2: certificate on request, nonce, policy and accuracy; OpenSSL verifies all of it."""
    text = stamp(host, url, "-sha256 -cert")
    assert "Status: Granted." in text
    assert f"Policy OID: {unit['policy']}" in text
    assert "Accuracy: 0x01 seconds" in text
    verified = host.check_output(
        f"cd {folder} && openssl ts -verify -queryfile query.tsq -in token.tsr"
        " -CAfile root.pem -untrusted issuing.pem 2>&1"
    )
    assert "Verification: OK" in verified


def test_a_stamp_is_of_one_document(host: Any, url: str, folder: str) -> None:
    """Threat: a stamp passes for another document's."""
    stamp(host, url, "-sha512 -cert")
    other = (
        f"echo another > {folder}/other && cd {folder} && openssl ts -verify -data other -in token.tsr -CAfile root.pem"
    )
    assert host.run(f"{other} -untrusted issuing.pem").rc != 0


def test_what_is_no_request_is_rejected(host: Any, url: str, folder: str) -> None:
    """RFC 3161 section 2.4.2: badDataFormat."""
    host.check_output(f"cd {folder} && printf nonsense | curl -sSf {TYPE} --data-binary @- -o token.tsr {url}")
    text = host.check_output(f"cd {folder} && openssl ts -reply -in token.tsr -text 2>&1")
    assert "rejected" in text.lower()
    assert "data submitted has the wrong format" in text


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("", "405"),
        (f"-X PUT -d x {TYPE}", "405"),
        ("-d x -H 'Content-Type: text/plain'", "415"),
        (f"--data-binary @{HERE}/large {TYPE}", "413"),
    ],
)
def test_the_door_takes_requests_only(host: Any, url: str, folder: str, arguments: str, status: str) -> None:
    """Threat: what is no request ties up the signer."""
    host.check_output(f"head -c 9000 /dev/zero > {folder}/large")
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' {arguments} {url}") == status


def test_nobody_outside_sees_the_health(host: Any, url: str) -> None:
    """Threat: an attacker watches how far the clock may be off."""
    assert host.check_output(f"curl -s -o /dev/null -w '%{{http_code}}' {url}health") == "404"


@pytest.fixture
def clock_unknown() -> Iterator[None]:
    """chrony is not there to vouch for the clock."""
    unit = Host.get_host("ansible://tsp01")
    unit.check_output("systemctl stop chrony")
    time.sleep(15)  # three answers missed
    yield
    unit.check_output("systemctl start chrony")


@pytest.mark.usefixtures("clock_unknown")
def test_it_does_not_stamp_when_nothing_vouches_for_the_clock(host: Any, url: str, folder: str) -> None:
    """RFC 3161 section 2.1. Threat: documents are stamped with a wrong time."""
    text = stamp(host, url, "-sha256 -cert")
    assert "Granted" not in text
    assert "time source is not available" in text


def test_it_stamps_again_once_the_clock_is_known(host: Any, url: str, folder: str) -> None:
    """Threat: it takes a person to bring the service back."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "Status: Granted." not in (text := stamp(host, url, "-sha256 -cert")) and time.monotonic() < deadline:
        time.sleep(2)
    assert "Status: Granted." in text
