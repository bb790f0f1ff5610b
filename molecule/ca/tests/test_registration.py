"""From the registration authority's host, with OpenSSL and curl: the CA issues to it (CP-1.3.2), and only to it."""

import json
from typing import Any

import pytest

testinfra_hosts = ["ansible://ra"]

ANCHOR = "--cacert /etc/ssl/kepil/internal-ca.crt"
TLS = f"--cert /etc/ssl/kepil/internal.crt --key /etc/ssl/private/kepil-internal.key {ANCHOR}"
FOLDER = "/root/molecule-ca"


@pytest.fixture
def door(inventory: dict[str, Any]) -> str:
    """The CA's API."""
    variables = inventory["_meta"]["hostvars"][inventory["ca"]["hosts"][0]]
    port = next(flow["port"] for flow in variables["estate_flows"] if (flow["from"], flow["to"]) == ("ra", "ca"))
    return f"https://{variables['estate_fqdn']}:{port}"


@pytest.fixture
def request_file(host: Any) -> str:
    """A new key and a request for it, made by OpenSSL."""
    host.check_output(
        f"mkdir -p {FOLDER} && openssl req -newkey rsa:2048 -nodes -keyout {FOLDER}/key.pem -out {FOLDER}/request.pem "
        "-subj /C=KZ/L=Astana/O=Molecule/CN=client.example.kz -addext subjectAltName=DNS:client.example.kz 2>/dev/null"
    )
    return f"{FOLDER}/request.pem"


def post(
    host: Any, door: str, file: str, tls: str = TLS, extra: str = "", authority: str = "nca-rsa-2"
) -> tuple[str, str]:
    """Status and body of a request to issue a certificate for an information system."""
    answer = host.run(
        f"curl -sS {tls} {extra} -w '\\n%{{http_code}}' -H 'Content-Type: application/pkcs10' --data-binary @{file} "
        f"'{door}/v1/certificates?authority={authority}&profile=information-system'"
    )
    body, _, status = answer.stdout.rpartition("\n")
    return status, body or answer.stderr


def test_issues(host: Any, door: str, request_file: str) -> None:
    """CP-1.3.1: a request of the registration authority becomes a certificate for its key."""
    status, body = post(host, door, request_file)
    assert status == "201", body
    subject = host.check_output("printf %%s %s | openssl x509 -noout -subject -issuer -pubkey", body)
    assert "CN=client.example.kz" in subject.replace(" ", "")
    assert host.check_output(f"openssl pkey -in {FOLDER}/key.pem -pubout").strip() in subject


@pytest.mark.clause("CP-5.6")
def test_a_former_generation_issues_to_nobody(host: Any, door: str, request_file: str) -> None:
    """Threat: certificates of a key that shall end outlive it."""
    status, body = post(host, door, request_file, authority="nca-rsa")
    assert (status, json.loads(body)["code"]) == ("403", "authority-not-issuing")
    issued = host.check_output(
        "printf %%s %s | openssl x509 -noout -issuer -nameopt utf8,sep_multiline", post(host, door, request_file)[1]
    )
    assert issued.strip().endswith("(RSA) G2")


def test_same_key_is_refused(host: Any, door: str, request_file: str) -> None:
    """CP-3.3, CP-4.6: no second certificate for a key."""
    assert post(host, door, request_file)[0] == "201"
    status, body = post(host, door, request_file)
    assert (status, json.loads(body)["code"]) == ("409", "key-seen-before")


def test_a_key_that_is_listed_is_refused(host: Any, door: str) -> None:
    """Threat: a key of Debian's broken generator (CVE-2008-0166), which anybody can make."""
    host.check_output(
        f"mkdir -p {FOLDER} && openssl req -new -key /root/known.pem -out {FOLDER}/known.csr "
        "-subj /C=KZ/L=Astana/O=Molecule/CN=known.example.kz -addext subjectAltName=DNS:known.example.kz"
    )
    status, body = post(host, door, f"{FOLDER}/known.csr")
    assert (status, json.loads(body)["code"]) == ("422", "weak-key")
    assert "CVE-2008-0166" in body


def test_damaged_request_is_refused(host: Any, door: str, request_file: str) -> None:
    """A request whose signature does not hold is nobody's (RFC 2986 section 3)."""
    damaged = f"{FOLDER}/damaged.der"
    host.check_output(f"openssl req -in {request_file} -outform DER -out {damaged}")
    host.check_output(f"printf '\\000\\001' | dd of={damaged} bs=1 seek=$(($(stat -c %s {damaged}) - 2)) conv=notrunc")
    status, body = post(host, door, damaged)
    assert (status, json.loads(body)["code"]) == ("400", "proof-of-possession-failed")


def test_without_certificate(host: Any, door: str, request_file: str) -> None:
    """Threat: someone in the registration zone who is no host of the estate (CP-6.7)."""
    status, _ = post(host, door, request_file, tls=ANCHOR)
    assert status in ("400", "000")


def test_old_tls(host: Any, door: str, request_file: str) -> None:
    """CP-6.7: TLS 1.3 or nothing."""
    assert post(host, door, request_file, extra="--tls-max 1.2")[0] == "000"


def test_large_body(host: Any, door: str) -> None:
    """Threat: requests that fill the CA's memory."""
    host.check_output(f"mkdir -p {FOLDER} && head -c 40000 /dev/zero > {FOLDER}/large")
    assert post(host, door, f"{FOLDER}/large")[0] == "413"


def test_other_hosts_are_refused(host: Any, inventory: dict[str, Any], door: str, request_file: str) -> None:
    """Threat: another host of the estate issues certificates, or says that it is an officer (CP-2.4)."""
    officer = inventory["_meta"]["hostvars"][inventory["ra"]["hosts"][0]]["estate_fqdn"]
    stranger = f"--cert /root/stranger.crt --key /root/stranger.key {ANCHOR}"  # prepare.yml leaves them there
    for claim in ("", f"-H 'X-Client-Name: {officer}'", f"-H 'x-client-name: {officer}' -H 'X_Client_Name: {officer}'"):
        status, body = post(host, door, request_file, tls=stranger, extra=claim)
        assert (status, json.loads(body)["code"]) == ("403", "not-an-officer")
