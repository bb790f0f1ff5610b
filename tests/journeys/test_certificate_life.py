"""A certificate's whole life, seen from a subscriber's machine with tools that are not ours: OpenSSL, GnuTLS, curl.

The steps stand in order and share what they made; a later one has no meaning where an earlier one failed.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kepil.estate.model import Estate
from tests.journeys.conftest import HERE

IIN = "IIN900101350003"


@pytest.fixture(scope="module")
def issued(client: Any, officer: Any) -> dict[str, str]:
    """A key and a request made by the subscriber, a certificate issued by the CA."""
    client(
        f"cd {HERE} && openssl req -new -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -utf8"
        f' -subj "/C=KZ/CN=ҚАЙРАТОВ АСАН/serialNumber={IIN}" && chmod 600 key.pem'
    )
    status, body = officer.submit(client.get(f"{HERE}/request.pem"), "natural-person")
    assert status == 201, body
    client.put(f"{HERE}/answer.pem", body)
    client(f"cd {HERE} && openssl x509 -in answer.pem -out leaf.pem")
    serial = client(f"cd {HERE} && openssl x509 -in leaf.pem -noout -serial").strip().removeprefix("serial=")
    return {"serial": serial}


def ocsp(client: Any, domain: str, options: str = "", url: str | None = None) -> str:
    answer: str = client(
        f"cd {HERE} && openssl ocsp -issuer nca-rsa.pem -cert leaf.pem -CAfile chain.pem {options}"
        f" -url {url or f'http://ocsp.{domain}/'}"
    )
    return answer


@pytest.mark.clause("CP-7.1")
def test_the_chain_verifies(client: Any, issued: dict[str, str]) -> None:
    """OpenSSL and GnuTLS both accept the path from the root."""
    assert "OK" in client(
        f"cd {HERE} && openssl verify -x509_strict -CAfile krnca-rsa.pem -untrusted nca-rsa.pem leaf.pem"
    )
    assert "Verified" in client(
        f"cd {HERE} && cat leaf.pem nca-rsa.pem | certtool --verify --load-ca-certificate krnca-rsa.pem"
    )


@pytest.mark.clause("CP-2.2")
@pytest.mark.parametrize("options", ["-nonce", "-no_nonce"])
def test_ocsp_says_good_to_a_post(client: Any, domain: str, issued: dict[str, str], options: str) -> None:
    answer = ocsp_until(client, domain, "good", options)
    assert "Response verify OK" in answer
    assert ("WARNING: no nonce" in answer) is False


def ocsp_until(client: Any, domain: str, status: str, options: str = "", seconds: float = 15) -> str:
    """Ask until the answer holds the status: responders replicate, they do not look it up at the CA."""
    deadline = time.monotonic() + seconds
    while True:
        answer = ocsp(client, domain, options)
        if f"leaf.pem: {status}" in answer or time.monotonic() > deadline:
            assert f"leaf.pem: {status}" in answer
            return answer
        time.sleep(0.5)


@pytest.mark.clause("CP-2.2")
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_ocsp_says_good_to_a_get(client: Any, domain: str, issued: dict[str, str], nonce: str) -> None:
    """RFC 6960 A.1: the request rides in the path, base64 and percent-encoded."""
    client(
        f"cd {HERE} && openssl ocsp -issuer nca-rsa.pem -cert leaf.pem {nonce} -reqout get.der"
        " && base64 -w0 get.der | sed -e s,+,%2B,g -e s,/,%2F,g -e s,=,%3D,g > get.path"
        f' && curl -sSf -D get.headers -o get.answer "http://ocsp.{domain}/$(cat get.path)"'
    )
    headers = client(f"cat {HERE}/get.headers").lower()
    assert "content-type: application/ocsp-response" in headers
    assert ("max-age=" in headers) is (nonce == "-no_nonce")
    answer = client(
        f"cd {HERE} && openssl ocsp -respin get.answer -reqin get.der -no_nonce -issuer nca-rsa.pem -cert leaf.pem"
        " -CAfile chain.pem"
    )
    assert "Response verify OK" in answer
    assert "leaf.pem: good" in answer


@pytest.mark.clause("CP-2.2")
def test_gnutls_reads_the_same_status(client: Any, domain: str, issued: dict[str, str]) -> None:
    answer = client(
        f"cd {HERE} && ocsptool --ask=http://ocsp.{domain}/ --load-cert leaf.pem --load-issuer nca-rsa.pem"
        " --load-trust chain.pem --no-nonce"
    )
    assert "Certificate Status: good" in answer
    assert "Success" in answer


@pytest.mark.clause("CP-1.4.1")
def test_a_document_is_signed_and_stamped(client: Any, domain: str, issued: dict[str, str]) -> None:
    """CMS signature and RFC 3161 token, both verified against the root."""
    client(
        f"cd {HERE} && echo Кепіл > document && openssl cms -sign -binary -in document -signer leaf.pem -inkey key.pem"
        " -certfile nca-rsa.pem -outform DER -out document.p7s"
    )
    assert "Verification successful" in client(
        f"cd {HERE} && openssl cms -verify -binary -inform DER -in document.p7s -content document"
        " -CAfile krnca-rsa.pem -out /dev/null"
    )
    client(
        f"cd {HERE} && openssl ts -query -data document.p7s -sha256 -cert -out query.tsq && curl -sSf"
        f' -H "Content-Type: application/timestamp-query" --data-binary @query.tsq -o token.tsr http://tsp.{domain}/'
    )
    assert "Verification: OK" in client(
        f"cd {HERE} && openssl ts -verify -queryfile query.tsq -in token.tsr"
        " -CAfile krnca-rsa.pem -untrusted nca-rsa.pem"
    )


@pytest.mark.clause("CP-4.9")
def test_revocation_reaches_ocsp_and_crls(
    client: Any, officer: Any, on: Callable[[str], Any], domain: str, issuing: str, issued: dict[str, str]
) -> None:
    """Once revoked: refused by OCSP with the reason, by the delta CRL, and by the next full CRL."""
    fetch = f"cd {HERE} && curl -sSf -o %s http://pki.{domain}/%s"
    client(fetch % ("before.crl", f"{issuing}.crl"))
    client(fetch % ("root.crl", "krnca-rsa.crl"))
    status, body = officer.revoke(issued["serial"], "keyCompromise")
    assert status == 200, body

    answer = ocsp_until(client, domain, "revoked")
    assert "keyCompromise" in answer

    on("ca01")("systemctl start kepil-ca-crl@delta.service")
    client(fetch % ("delta.crl", f"{issuing}-delta.crl"))
    assert issued["serial"] not in crl_text(client, "before.crl")
    delta = crl_text(client, "delta.crl")
    assert issued["serial"] in delta
    assert "Delta CRL Indicator: critical" in delta
    verify = (
        f"cd {HERE} && for f in root before delta; do openssl crl -inform DER -in $f.crl -out $f.crl.pem; done"
        " && openssl verify -crl_check_all -extended_crl -CAfile krnca-rsa.pem -untrusted nca-rsa.pem"
        " -CRLfile root.crl.pem -CRLfile before.crl.pem"
    )
    assert "OK" in client(f"{verify} leaf.pem")  # the full CRL alone does not know yet
    assert "certificate revoked" in client(f"{verify} -use_deltas -CRLfile delta.crl.pem leaf.pem", fails=True)

    on("ca01")("systemctl start kepil-ca-crl@full.service")
    client(fetch % ("full.crl", f"{issuing}.crl"))
    assert issued["serial"] in crl_text(client, "full.crl")


@pytest.mark.clause("CP-2.3")
def test_the_crl_is_valid_for_25_hours(client: Any, issued: dict[str, str]) -> None:
    times = client(f"cd {HERE} && openssl crl -inform DER -in full.crl -noout -lastupdate -nextupdate")
    last, following = (
        datetime.strptime(value, "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        for value in re.findall(r"Update=(.*)", times)
    )
    assert following - last == timedelta(hours=25)


def crl_text(client: Any, name: str) -> str:
    text: str = client(f"cd {HERE} && openssl crl -inform DER -in {name} -noout -text")
    return text


@pytest.fixture
def nothing_issued(on: Callable[[str], Any], estate: Estate) -> Iterator[None]:
    """The CA's own count of certificates is the same after the test."""
    database = on(estate.members("database")[0].name)
    count = 'psql -U postgres -d kepil -Atc "select count(*) from certificate"'
    before = int(database(count))
    yield
    assert int(database(count)) == before > 0


@pytest.mark.usefixtures("nothing_issued")
@pytest.mark.clause("CP-3.2")
def test_a_damaged_request_is_refused(client: Any, officer: Any, issued: dict[str, str]) -> None:
    """One changed byte breaks the proof of possession; half a request is no request."""
    whole = client.get(f"{HERE}/request.pem")
    client(f"cd {HERE} && openssl req -in request.pem -outform DER -out request.der")
    der = bytearray(client.get(f"{HERE}/request.der"))
    der[-1] ^= 1
    status, body = officer.submit(bytes(der), "natural-person")
    assert (status, json.loads(body)["code"]) == (400, "proof-of-possession-failed")
    status, body = officer.submit(whole[: len(whole) // 2], "natural-person")
    assert (status, json.loads(body)["code"]) == (400, "malformed-request")


@pytest.mark.usefixtures("nothing_issued")
@pytest.mark.clause("CP-6.1")
def test_a_weak_key_is_refused(client: Any, officer: Any) -> None:
    client(
        f"cd {HERE} && openssl req -new -newkey rsa:1024 -nodes -keyout weak.key -out weak.pem -utf8"
        f' -subj "/C=KZ/CN=ҚАЙРАТОВ АСАН/serialNumber={IIN}"'
    )
    status, body = officer.submit(client.get(f"{HERE}/weak.pem"), "natural-person")
    assert (status, json.loads(body)["code"]) == (422, "weak-key")


@pytest.mark.usefixtures("nothing_issued")
@pytest.mark.clause("CP-3.3")
def test_a_key_seen_before_is_refused(client: Any, officer: Any, issued: dict[str, str]) -> None:
    client(
        f"cd {HERE} && openssl req -new -key key.pem -out again.pem -utf8"
        f' -subj "/C=KZ/CN=ҚАЙРАТОВ АСАН/serialNumber={IIN}"'
    )
    status, body = officer.submit(client.get(f"{HERE}/again.pem"), "natural-person")
    assert (status, json.loads(body)["code"]) == (409, "key-seen-before")


@pytest.mark.clause("CP-4.10")
def test_an_unknown_serial_is_never_good(client: Any, domain: str) -> None:
    answer = client(
        f"cd {HERE} && openssl ocsp -issuer nca-rsa.pem -serial 0x{secrets.token_hex(12)} -CAfile chain.pem"
        f" -url http://ocsp.{domain}/"
    )
    assert "Response verify OK" in answer
    assert ": unknown" in answer


@pytest.mark.clause("CP-7.2")
def test_malformed_requests_get_the_error_that_the_rfc_names(client: Any, domain: str, issued: dict[str, str]) -> None:
    """RFC 6960 section 4.2.1 malformedRequest; RFC 3161 section 2.4.2 badDataFormat; and the services go on."""
    post = (
        f"cd {HERE} && head -c 100 /dev/urandom > noise"
        f' && curl -sSf -H "Content-Type: application/%s" --data-binary @noise -o refusal http://%s.{domain}/'
    )
    client(post % ("ocsp-request", "ocsp"))
    assert "malformedrequest" in client(f"cd {HERE} && openssl ocsp -respin refusal 2>&1", fails=True)
    client(post % ("timestamp-query", "tsp"))
    refusal = client(f"cd {HERE} && openssl ts -reply -in refusal -text")
    assert "Rejected" in refusal
    assert "wrong format" in refusal
    assert "revoked" in ocsp(client, domain)
