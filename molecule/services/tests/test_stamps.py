"""What a subscriber gets: OpenSSL and curl against the time-stamping service."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://ra"]

HERE = "/root/molecule-tsp"
TYPE = "-H 'Content-Type: application/timestamp-query'"
PATIENCE_SECONDS = 90
STAMPS = 50
"""From each node, one after the other."""


@pytest.fixture(params=["rsa", "gost", "pq"])
def family(request: pytest.FixtureRequest, variables: dict[str, Any]) -> dict[str, Any]:
    """A hierarchy, as the inventory describes it."""
    described: dict[str, Any] = variables["pki_hierarchies"][request.param]
    return described


@pytest.fixture
def url(variables: dict[str, Any]) -> str:
    """The service's address."""
    return f"http://tsp.{variables['estate_domain']}/"


@pytest.fixture
def folder(host: Any) -> str:
    """A document."""
    host.check_output(f"mkdir -p {HERE} && cd {HERE} && echo a document > document")
    return HERE


@pytest.fixture
def chain(host: Any, variables: dict[str, Any], folder: str, family: dict[str, Any]) -> str:
    """The root and issuing certificates as anyone fetches them, for OpenSSL to verify by."""
    site = f"http://pki.{variables['estate_domain']}"
    for member in ("root", "issuing"):
        host.check_output(f"curl -sSf -o {folder}/{member}.pem {site}/{family[member]['name']}.pem")
    return "-CAfile root.pem"


GOST = "OPENSSL_CONF=/etc/ssl/openssl-gost.cnf"
CHANGE = """
import hashlib, pathlib
token, hashed = pathlib.Path("token.tsr"), hashlib.sha256(pathlib.Path("document").read_bytes()).digest()
content = token.read_bytes()
assert hashed in content
token.write_bytes(content.replace(hashed, bytes(32)))
"""


def verified(host: Any, chain: str) -> bool:
    """Whether OpenSSL finds the token signed by a certificate for time stamping under the root."""
    verify = f"openssl cms -verify -inform DER -in token -purpose timestampsign {chain} -certfile issuing.pem"
    made = f"cd {HERE} && openssl ts -reply -in token.tsr -token_out -out token"
    return bool(host.run(f"{made} && {GOST} {verify} -out statement").rc == 0)


def stamped_hash(host: Any) -> str:
    """The hash in the statement that `verified` took out of the token."""
    parsed = str(host.check_output(f"cd {HERE} && openssl asn1parse -inform DER -in statement"))
    return parsed.lower()


def stamp(host: Any, url: str, query: str) -> str:
    """Ask for a time stamp; the token lies in HERE, what OpenSSL reads in it comes back."""
    host.check_output(
        f"cd {HERE} && {GOST} openssl ts -query -data document {query} -out query.tsq 2>/dev/null"
        f" && curl -sSf {TYPE} --data-binary @query.tsq -o token.tsr {url}"
    )
    text: str = host.check_output(f"cd {HERE} && openssl ts -reply -in token.tsr -text 2>&1")
    return text


def test_a_stamp_verifies(host: Any, url: str, chain: str, family: dict[str, Any]) -> None:
    """CP-2.2: the policy chooses the family; certificate on request, nonce, accuracy; OpenSSL verifies all of it."""
    policy = family["tsp"]["policy"]
    text = stamp(host, url, f"-sha256 -cert -tspolicy {policy}")
    assert "Status: Granted." in text
    assert f"Policy OID: {policy}" in text
    assert "Accuracy: 0x01 seconds" in text
    assert verified(host, chain)
    assert host.check_output(f"cd {HERE} && sha256sum document")[:64] in stamped_hash(host)


def test_a_changed_stamp_does_not_verify(host: Any, url: str, chain: str, family: dict[str, Any]) -> None:
    """Threat: a stamp is given another time or another document."""
    stamp(host, url, f"-sha256 -cert -tspolicy {family['tsp']['policy']}")
    host.check_output(f"cd {HERE} && python3 -c %s", CHANGE)
    assert not verified(host, chain)


def test_who_names_no_policy_gets_the_first_familys_stamp(host: Any, url: str, folder: str, variables: Any) -> None:
    """RFC 3161 section 2.4.1: the policy is the requester's choice, if he makes one."""
    first = variables["pki_hierarchies"][variables["pki_families"][0]]
    assert f"Policy OID: {first['tsp']['policy']}" in stamp(host, url, "-sha256")


def test_a_policy_that_no_unit_has_is_rejected(host: Any, url: str, folder: str) -> None:
    """RFC 3161 section 2.4.2: unacceptedPolicy."""
    assert "policy is not supported" in stamp(host, url, "-sha256 -tspolicy 1.2.3.4")


def test_openssl_takes_it_for_the_answer_to_its_request(host: Any, url: str, folder: str, variables: Any) -> None:
    """Its own client for time stamps does not know GOST by a provider, so in RSA: nonce, imprint and purpose fit."""
    members, site = variables["pki_hierarchies"]["rsa"], f"http://pki.{variables['estate_domain']}"
    for member in ("root", "issuing"):
        host.check_output(f"curl -sSf -o {folder}/{member}.pem {site}/{members[member]['name']}.pem")
    stamp(host, url, "-sha512 -cert")
    verify = f"cd {folder} && openssl ts -verify -in token.tsr -CAfile root.pem -untrusted issuing.pem"
    assert "Verification: OK" in host.check_output(f"{verify} -queryfile query.tsq 2>&1")
    assert host.run(f"echo another > {folder}/other; {verify} -data other").rc != 0


def test_a_document_may_be_named_by_streebog(host: Any, url: str, folder: str, variables: Any) -> None:
    """CP-2.2: an imprint by GOST R 34.11-2012 under the policy for GOST."""
    text = stamp(host, url, f"-md_gost12_512 -tspolicy {variables['pki_hierarchies']['gost']['tsp']['policy']}")
    assert "Status: Granted." in text
    assert "Hash Algorithm: GOST R 34.11-2012 with 512 bit hash" in text


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


@pytest.mark.clause("CP-2.2")
def test_no_two_stamps_have_one_serial_number(host: Any, folder: str, inventory: dict[str, Any]) -> None:
    """RFC 3161 section 2.4.2. Threat: two nodes that know nothing of each other give one number twice."""
    host.check_output(f"cd {folder} && openssl ts -query -data document -sha256 -no_nonce -out query.tsq 2>/dev/null")
    serials: list[str] = []
    nodes = inventory["tsp"]["hosts"]
    for name in nodes:
        variables = inventory["_meta"]["hostvars"][name]
        there = f"--resolve tsp.{variables['estate_domain']}:80:{variables['estate_address']}"
        printed = host.check_output(
            f"cd {folder} && for n in $(seq {STAMPS}); do curl -sSf {there} {TYPE} --data-binary @query.tsq -o many.tsr"
            f" http://tsp.{variables['estate_domain']}/ && openssl ts -reply -in many.tsr -text 2>&1; done"
        )
        serials += re.findall(r"Serial number: (\S+)", printed)
    assert len(nodes) > 1
    assert len(set(serials)) == len(serials) == STAMPS * len(nodes)


@pytest.fixture
def clock_unknown() -> Iterator[None]:
    """chrony is not there to vouch for the clock."""
    units = Host.get_hosts(["ansible://tsp"])
    for unit in units:
        unit.check_output("systemctl stop chrony")
    time.sleep(15)  # three answers missed
    yield
    for unit in units:
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
