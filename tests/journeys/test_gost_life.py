"""A GOST certificate's life beside RSA's, on the same services: OpenSSL with the provider that Debian has for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.journeys.conftest import HERE

PATIENCE_SECONDS = 15
POLICY = "1.2.398.3.3.2.6.4"

Openssl = Callable[[str], str]


@pytest.fixture(scope="module")
def openssl(client: Any, domain: str) -> Openssl:
    """OpenSSL on the subscriber's machine, with GOST, where `root.pem` and `issuing.pem` lie."""
    client(f"mkdir -p {HERE}/gost")
    for file, name in (("root", "krnca-gost"), ("issuing", "nca-gost")):
        client(f"curl -sSf -o {HERE}/gost/{file}.pem http://pki.{domain}/{name}.pem")
    client(f"cd {HERE}/gost && cat issuing.pem root.pem > chain.pem")
    return lambda words: client(f"cd {HERE}/gost && OPENSSL_CONF=/etc/ssl/openssl-gost.cnf openssl {words}")


@pytest.fixture(scope="module")
def serial(client: Any, officer: Any, openssl: Openssl) -> str:
    """A new key of GOST R 34.10-2012 and a certificate for it."""
    openssl(
        "req -new -newkey gost2012_512 -pkeyopt paramset:A -md_gost12_512 -nodes -utf8 -keyout key.pem -out request.pem"
        ' -subj "/C=KZ/CN=ҚАЙРАТОВ АСАН/serialNumber=IIN900101350003" 2>&1'
    )
    status, body = officer.submit(client.get(f"{HERE}/gost/request.pem"), "natural-person", "nca-gost")
    assert status == 201, body
    client.put(f"{HERE}/gost/leaf.pem", body)
    return openssl("x509 -in leaf.pem -noout -serial").strip().removeprefix("serial=")


def ask(openssl: Openssl, domain: str, expected: str) -> str:
    """The responder's answer, once its replica has the news."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = openssl(f"ocsp -issuer issuing.pem -cert leaf.pem -CAfile chain.pem -url http://ocsp.{domain}/ 2>&1")
        if f"leaf.pem: {expected}" in answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)


@pytest.mark.clause("CP-7.1")
@pytest.mark.usefixtures("serial")
def test_the_chain_verifies(openssl: Openssl) -> None:
    assert "OK" in openssl("verify -x509_strict -CAfile root.pem -untrusted issuing.pem leaf.pem")


@pytest.mark.clause("CP-2.2")
@pytest.mark.usefixtures("serial")
def test_ocsp_says_good(openssl: Openssl, domain: str) -> None:
    """The answer is signed by the family's own responder, and verifies."""
    answer = ask(openssl, domain, "good")
    assert "leaf.pem: good" in answer
    assert "Response verify OK" in answer


@pytest.mark.clause("CP-2.2")
@pytest.mark.usefixtures("serial")
def test_a_document_is_stamped(client: Any, openssl: Openssl, domain: str) -> None:
    """The policy chooses the unit; the token is a signature under the GOST root."""
    client(f"echo Кепіл > {HERE}/gost/document")
    openssl(f"ts -query -data document -md_gost12_512 -cert -tspolicy {POLICY} -out query.tsq 2>&1")
    client(
        f'cd {HERE}/gost && curl -sSf -H "Content-Type: application/timestamp-query" --data-binary @query.tsq'
        f" -o reply.tsr http://tsp.{domain}/"
    )
    openssl("ts -reply -in reply.tsr -token_out -out token 2>&1")
    assert "successful" in openssl(
        "cms -verify -inform DER -in token -purpose timestampsign -CAfile root.pem -certfile issuing.pem -out said 2>&1"
    )


@pytest.mark.clause("CP-4.9")
def test_a_revocation_shows(openssl: Openssl, officer: Any, domain: str, serial: str) -> None:
    status, body = officer.revoke(serial, "keyCompromise", "nca-gost")
    assert status == 200, body
    answer = ask(openssl, domain, "revoked")
    assert "leaf.pem: revoked" in answer
    assert "Response verify OK" in answer
