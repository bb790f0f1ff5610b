"""One service answers for every family, and the issuer's family signs the answer: OpenSSL and GnuTLS as judges."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest

testinfra_hosts = ["ansible://ra"]

GOST = "OPENSSL_CONF=/etc/ssl/openssl-gost.cnf"
TLS = (
    "--cacert /etc/ssl/kepil/internal-ca.crt"
    " --cert /etc/ssl/kepil/internal.crt --key /etc/ssl/private/kepil-internal.key"
)
KEYS = {"rsa": "rsa:2048", "gost": "gost2012_512 -pkeyopt paramset:A -md_gost12_512", "pq": "rsa:2048"}
PATIENCE_SECONDS = 15


@dataclass(frozen=True)
class Subscriber:
    """Someone with a certificate: `folder` holds leaf.pem, issuer.pem, root.pem and chain.pem, which is both CAs'."""

    folder: str
    authority: str
    ca: str
    ocsp: str


@pytest.fixture
def subscriber(host: Any, variables: dict[str, Any], request: pytest.FixtureRequest) -> Subscriber:
    """A natural person with a new key of the family named by the parameter, and the certificate for it."""
    domain, members = variables["estate_domain"], variables["pki_hierarchies"][request.param]
    folder, authority = f"/root/molecule-ocsp/{request.param}", members["issuing"]["name"]
    ca = f"https://ca01.{domain}:8443/v1/certificates"
    host.check_output(
        f"mkdir -p {folder} && cd {folder} && {GOST} openssl req -new -newkey {KEYS[request.param]} -nodes -utf8"
        " -keyout key.pem -out request.pem -subj '/C=KZ/CN=ҚАЙРАТОВ АСАН/serialNumber=IIN900101350003' 2>/dev/null"
        f" && curl -sSf {TLS} -H 'Content-Type: application/pkcs10' --data-binary @request.pem"
        f" '{ca}?authority={authority}&profile=natural-person' -o leaf.pem"
        f" && curl -sSf -o issuer.pem http://pki.{domain}/{authority}.pem"
        f" && curl -sSf -o root.pem http://pki.{domain}/{members['root']['name']}.pem"
        " && cat issuer.pem root.pem > chain.pem"
    )
    return Subscriber(folder, authority, ca, f"http://ocsp.{domain}/")


def ask(host: Any, who: Subscriber, expected: str) -> str:
    """What OpenSSL makes of the answer, its signature checked, once the replica has the news."""
    command = f"{GOST} openssl ocsp -issuer issuer.pem -cert leaf.pem -CAfile chain.pem -url {who.ocsp} -respout answer"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = str(host.run(f"cd {who.folder} && {command} -resp_text 2>&1").stdout)
        if f"leaf.pem: {expected}" in answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)


@pytest.mark.clause("CP-2.2", "CP-4.10")
@pytest.mark.parametrize("subscriber", KEYS, indirect=True)
def test_the_issuers_family_signs_the_answer(host: Any, subscriber: Subscriber) -> None:
    """Threat: an answer is signed by an algorithm that who relies on the certificate does not know."""
    answer = ask(host, subscriber, "good")
    assert "leaf.pem: good" in answer
    assert "Response verify OK" in answer
    printed = host.check_output(f"cd {subscriber.folder} && {GOST} openssl x509 -in issuer.pem -noout -text")
    algorithm = next(line.strip() for line in printed.splitlines() if "Signature Algorithm:" in line)
    assert algorithm in answer
    chain = f"{GOST} openssl verify -x509_strict -CAfile root.pem -untrusted issuer.pem leaf.pem"
    assert host.run(f"cd {subscriber.folder} && {chain}").rc == 0


@pytest.mark.clause("CP-4.9")
@pytest.mark.parametrize("subscriber", KEYS, indirect=True)
def test_a_revocation_shows_in_every_family(host: Any, subscriber: Subscriber) -> None:
    """Threat: one family's revocations are lost among the other's."""
    ask(host, subscriber, "good")
    serial = host.check_output(f"cd {subscriber.folder} && openssl x509 -in leaf.pem -noout -serial | cut -d= -f2")
    host.check_output(
        f"curl -sSf {TLS} -H 'Content-Type: application/json' -d '{json.dumps({'reason': 'keyCompromise'})}'"
        f" '{subscriber.ca}/{serial.strip()}/revocation?authority={subscriber.authority}'"
    )
    answer = ask(host, subscriber, "revoked")
    assert "leaf.pem: revoked" in answer
    assert "Response verify OK" in answer


@pytest.mark.parametrize("subscriber", ["rsa", "gost"], indirect=True)
def test_another_implementation_verifies_the_answer(host: Any, subscriber: Subscriber) -> None:
    """RFC 6960, RFC 9215: GnuTLS reads certificates and answer; Debian 13's knows no ML-DSA."""
    ask(host, subscriber, "good")
    chain = "openssl x509 -in leaf.pem | cat - issuer.pem root.pem >all.pem && certtool --verify-chain --infile all.pem"
    told = host.check_output(f"cd {subscriber.folder} && {chain}")
    assert told.count("Output: Verified. The certificate is trusted.") == len(("leaf", "issuer"))
    assert "Chain verification output: Verified." in told
    verify = f"cd {subscriber.folder} && ocsptool --verify-response --load-trust chain.pem --infile answer"
    assert "Verifying OCSP Response: Success" in host.check_output(f"{verify} 2>&1")
    host.check_output(f"cd {subscriber.folder} && printf 'xxxx' | dd of=answer bs=1 seek=100 conv=notrunc 2>/dev/null")
    assert host.run(verify).rc != 0
