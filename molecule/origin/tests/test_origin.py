"""Sites that stand in for the internet: what journeys through the gateway count on, seen from another host."""

from __future__ import annotations

from typing import Any

import pytest
import testinfra

testinfra_hosts = ["ansible://web01"]
UPGRADE = (
    "--http1.1 --max-time 2 --header 'Connection: Upgrade' --header 'Upgrade: websocket'"
    " --header 'Sec-WebSocket-Version: 13' --header 'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg=='"
)


@pytest.fixture
def user() -> Any:
    """Who asks; she trusts the stand-ins' authority."""
    return testinfra.get_host("ansible://org01")


@pytest.fixture
def address(inventory: dict[str, Any]) -> str:
    """Where all sites are."""
    return str(inventory["_meta"]["hostvars"]["web01"]["estate_address"])


def ask(user: Any, address: str, url: str, what: str = "http_code", more: str = "") -> Any:
    """What curl tells of a site."""
    scheme, name = url.split("/")[0:3:2]
    where = f"--resolve {name}:{443 if scheme == 'https:' else 80}:{address}"
    return user.run(f"curl -sS --max-time 10 {where} -o /tmp/said -w '%{{{what}}}' {more} {url}")


@pytest.mark.parametrize("name", ["press.example.com", "bank.example.com"])
def test_a_site_is_trusted_and_speaks_http_2(user: Any, address: str, name: str) -> None:
    assert ask(user, address, f"https://{name}/").stdout == "200"
    assert ask(user, address, f"https://{name}/", "http_version", "--http2").stdout == "2"


@pytest.mark.parametrize("name", ["expired", "self-signed", "other-name"])
def test_a_faulty_certificate_is_refused_by_who_checks_it(user: Any, address: str, name: str) -> None:
    """Threat: a fault that is none shows nothing."""
    assert ask(user, address, f"https://{name}.example.net/").rc == 60
    assert ask(user, address, f"https://{name}.example.net/", more="--insecure").stdout == "200"


def test_one_certificate_is_revoked_by_its_authoritys_list(host: Any, user: Any, address: str) -> None:
    """It is in order otherwise. The list's type is the one that clients insist on (RFC 5280 section 4.2.1.13)."""
    assert ask(user, address, "https://revoked.example.net/").stdout == "200"
    assert ask(user, address, "http://crl.example.net/crl", "content_type").stdout == "application/pkix-crl"
    host.check_output("openssl crl -inform DER -in /srv/tls/ca.crl -out /tmp/crl.pem")
    verify = "openssl verify -crl_check -CRLfile /tmp/crl.pem -CAfile /srv/tls/ca.crt /srv/tls/{}.crt"
    assert "certificate revoked" in host.run(verify.format("revoked")).stderr
    assert host.run(verify.format("bank.example.com")).rc == 0


def test_another_is_revoked_by_its_authoritys_responder_alone(user: Any, address: str) -> None:
    """It names no list. The answer is signed, and comes to who asks as responders are asked (RFC 6960 appendix A.1)."""
    shown = f"openssl s_client -connect {address}:443 -servername revoked-responder.example.net </dev/null 2>/dev/null"
    user.check_output(f"cd && {shown} | openssl x509 -out leaf")
    # OpenSSL tells it by its words, and by its status in some versions only.
    assert "No extensions" in user.run("cd && openssl x509 -in leaf -noout -ext crlDistributionPoints 2>&1").stdout
    ca = "/usr/local/share/ca-certificates/origins.crt"
    asked = f"cd && openssl ocsp -issuer {ca} -CAfile {ca} -cert leaf -no_nonce -url http://{address}/ocsp"
    done = user.run(f"{asked} -header Host=ocsp.example.net")
    assert "leaf: revoked" in done.stdout
    assert "Response verify OK" in done.stderr


def test_the_test_file_is_the_one_that_scanners_know(host: Any) -> None:
    assert host.check_output("sha256sum < /srv/origin/eicar").split()[0] == (
        "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
    )


def test_the_echo_listens_for_the_web_server_alone(host: Any, user: Any, address: str) -> None:
    assert host.socket("tcp://127.0.0.1:8090").is_listening
    assert not host.socket("tcp://0.0.0.0:8090").is_listening
    assert ask(user, address, "https://press.example.com/echo", more=UPGRADE).stdout == "101"
