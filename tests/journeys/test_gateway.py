"""State bodies reach the internet: what real clients see, of an organisation that is enrolled and of one that is not.

org01 is enrolled, org02 is in the catalogue and did not apply; web01 is the internet. The clients are OpenSSL, curl and
Chromium as Debian has them. What needs no client of its own is shown by the scenario of role gateway.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from kepil.estate.model import Estate
from kepil.gateway.located import read
from kepil.gateway.organisation import Organisation
from tests.conftest import PROJECT
from tests.gateway_users import INSPECTION, eventually

HERE = "/root/gateway"
BROWSER = (
    f"HOME={HERE} timeout {{}} chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
    " --disable-background-networking --disable-component-update --dump-dom"
)
CLOSED = (28, 35, 52, 56)
"""What curl says of a connection that nobody takes, or that is closed before it is answered."""


class Answer(NamedTuple):
    """What curl tells."""

    code: int
    """0, or why it has no answer."""
    status: int
    version: str
    body: str


@dataclass(frozen=True)
class User:
    """Someone at a host of an organisation."""

    shell: Any

    def shown(self, name: str, more: str = "") -> bytes | None:
        """The certificate that a site shows to OpenSSL, DER."""
        done = self.shell.machine.run(
            f"timeout 10 openssl s_client -connect {name}:443 -servername {name} {more} </dev/null 2>/dev/null"
            " | openssl x509 -outform DER 2>/dev/null | base64 -w0"
        )
        return base64.b64decode(done.stdout) or None

    def ask(self, url: str, more: str = "") -> Answer:
        """An answer to curl, which trusts the internet's authorities and those of the gateways."""
        done = self.shell.machine.run(
            f"cd {HERE} && rm -f body && curl -sS --max-time 8 --cacert trust.pem -o body"
            f" -w '%{{exitcode}} %{{http_code}} %{{http_version}}' {more} {url}; echo; cat body 2>/dev/null"
        )
        told, _, body = done.stdout.partition("\n")
        code, status, version = told.split()
        return Answer(int(code), int(status), version, body)

    def sees(self, url: str, seconds: int = 60) -> str:
        """What Chromium makes of a page, in so many seconds."""
        return str(self.shell.machine.run(f"{BROWSER.format(seconds)} {url} 2>/dev/null").stdout)


@pytest.fixture(scope="module")
def sites(everywhere: dict[str, Any]) -> dict[str, str]:
    """A site a category."""
    return dict(everywhere["outside_sites"])


@pytest.fixture(scope="module")
def exempt(listing: dict[str, Any], estate: Estate) -> list[str]:
    """The categories that GW-20 excepts."""
    gateway = estate.members("gateway")[0].name
    stated = listing["_meta"]["hostvars"][gateway]["gateway_categories"]
    return sorted(name for name, each in stated.items() if "exempt" in each)


@pytest.fixture(scope="module")
def authorities(on: Callable[[str], Any], estate: Estate) -> dict[str, str]:
    """Whose certificates workstations of an enrolled organisation trust, PEM."""
    found = {host.name: on(host.name)(f"cat {INSPECTION}") for host in estate.members("gateway")}
    return found | {"outside": on("web01")("cat /srv/tls/ca.crt")}


def at(shell: Any, authorities: dict[str, str]) -> User:
    """A user whose clients trust them."""
    shell(f"rm -rf {HERE} && mkdir -p {HERE}/.pki/nssdb && certutil -N -d sql:{HERE}/.pki/nssdb --empty-password")
    shell.put(f"{HERE}/trust.pem", "".join(authorities.values()).encode())
    for name, text in authorities.items():
        shell.put(f"{HERE}/{name}.pem", text.encode())
        shell(f"certutil -A -d sql:{HERE}/.pki/nssdb -n {name} -t C,, -i {HERE}/{name}.pem")
    return User(shell)


@pytest.fixture(scope="module")
def enrolled(on: Callable[[str], Any], authorities: dict[str, str]) -> User:
    """Someone whose organisation is enrolled."""
    stated = read(PROJECT / "inventories/development/organisations/org01.yml", Organisation)
    assert stated.value.is_open(datetime.now(UTC)), f"{stated.at('valid_until')}: its year is over; move both days on"
    return at(on("org01"), authorities)


@pytest.fixture(scope="module")
def stranger(on: Callable[[str], Any], authorities: dict[str, str]) -> User:
    """Someone whose organisation did not apply."""
    return at(on("org02"), authorities)


@pytest.fixture(scope="module")
def own(on: Callable[[str], Any]) -> Callable[[str], bytes]:
    """The certificate that a site really has, or one of the faulty ones."""
    return lambda name: base64.b64decode(on("web01")(f"openssl x509 -in /srv/tls/{name}.crt -outform DER | base64 -w0"))


@pytest.fixture(scope="module")
def gateways(enrolled: User, estate: Estate) -> Callable[[bytes | None], str | None]:
    """The gateway whose inspection CA issued a certificate."""

    def issuer(certificate: bytes | None) -> str | None:
        enrolled.shell.put(f"{HERE}/shown.der", certificate or b"")
        verify = f"cd {HERE} && openssl verify -no-CApath -no-CAstore -CAfile {{}}.pem shown.der"
        names = [host.name for host in estate.members("gateway")]
        return next((name for name in names if enrolled.shell.machine.run(verify.format(name)).rc == 0), None)

    return issuer


@pytest.mark.clause("GW-20")
def test_of_the_seven_exempt_categories_clients_see_the_origins_own_certificate(
    enrolled: User, sites: dict[str, str], exempt: list[str], own: Callable[[str], bytes]
) -> None:
    """Byte for byte, and the page behind it."""
    assert len(exempt) == 7
    for category in exempt:
        assert enrolled.shown(sites[category]) == own(sites[category]), category
        assert enrolled.ask(f"https://{sites[category]}/")[:2] == (0, 200), category


@pytest.mark.clause("GW-20")
@pytest.mark.parametrize("category", ["news", "uncategorised"])
def test_of_the_rest_clients_see_the_gateways(
    enrolled: User, sites: dict[str, str], gateways: Callable[[bytes | None], str | None], category: str
) -> None:
    """Which workstations trust: the page is there, in a browser too."""
    assert gateways(enrolled.shown(sites[category]))
    assert enrolled.ask(f"https://{sites[category]}/").body == "origin\n"
    assert '<p id="said">origin' in enrolled.sees(f"https://{sites[category]}/page")


@pytest.mark.clause("LQ-A3-6")
def test_malware_over_tls_is_stopped(enrolled: User, sites: dict[str, str]) -> None:
    stopped = enrolled.ask(f"https://{sites['news']}/eicar")
    assert (stopped.code, stopped.status) == (0, 403)
    assert "EICAR-STANDARD" not in stopped.body
    assert "EICAR-STANDARD" not in enrolled.sees(f"https://{sites['news']}/eicar")


@pytest.mark.clause("GW-15", "LQ-A3-6")
@pytest.mark.parametrize(("category", "reason"), [("games", "category-closed"), ("malware", "malware")])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_what_is_closed_says_why_in_three_languages(
    enrolled: User, sites: dict[str, str], category: str, reason: str, scheme: str
) -> None:
    """In a browser, without a warning before it."""
    page = enrolled.sees(f"{scheme}://{sites[category]}/page")
    assert re.findall(r'<section lang="(\w+)">', page) == ["kk", "ru", "en"]
    assert f"<code>{reason} " in page
    assert 'id="said"' not in page


@pytest.mark.clause("GW-20")
def test_an_exempt_site_keeps_http_2_and_websocket(enrolled: User, sites: dict[str, str]) -> None:
    """What is passed on untouched speaks what its origin speaks."""
    assert enrolled.ask(f"https://{sites['finance']}/", "--http2").version == "2"
    assert "origin echoed kepil" in enrolled.sees(f"https://{sites['finance']}/page")


@pytest.mark.clause("LQ-A3-6")
def test_an_inspected_site_has_neither(enrolled: User, sites: dict[str, str]) -> None:
    """HTTP/2 becomes HTTP/1.1 and the page is there; a WebSocket, which nobody could scan, does not open."""
    answer = enrolled.ask(f"https://{sites['news']}/", "--http2")
    assert answer == (0, 200, "1.1", "origin\n")
    assert "origin echoed nothing" in enrolled.sees(f"https://{sites['news']}/page")


@pytest.mark.clause("GW-20")
@pytest.mark.parametrize("fault", ["expired", "self-signed", "other-name", "revoked", "revoked-responder"])
def test_an_origins_bad_certificate_is_never_made_to_look_valid(
    enrolled: User, own: Callable[[str], bytes], fault: str
) -> None:
    """Threat: whoever stands between gateway and origin is believed, since users only see the gateway's certificate.
    They get the gateway's error instead, and nothing of the origin; even who trusts anything does."""
    name = f"{fault}.example.net"
    for more in ("", "--insecure"):
        answer = enrolled.ask(f"https://{name}/", more)
        assert (answer.status, "origin\n" in answer.body) == (503, False)
    assert 'id="said"' not in enrolled.sees(f"https://{name}/page")
    spliced = f"{fault}.bank.example.com"
    assert enrolled.shown(spliced) == own(fault), "of an exempt site the user judges herself"


@pytest.mark.clause("GW-15", "GW-20")
def test_who_is_not_enrolled_gets_nothing(stranger: User, sites: dict[str, str]) -> None:
    """No certificate, no page, no word why; neither over TLS nor in the clear, nor of the proxy by name."""
    everything = " ".join(f"{scheme}://{name}/" for name in sites.values() for scheme in ("https", "http"))
    ask = "curl -k -s --max-time 4 -o /dev/null -w '%{exitcode} %{http_code}\\n'"
    said = stranger.shell.machine.run(f"for url in {everything}; do {ask} $url & done; wait").stdout
    assert said.splitlines() == ["28 000"] * 2 * len(sites)
    assert stranger.shown(sites["finance"]) is None
    assert 'id="said"' not in stranger.sees(f"https://{sites['finance']}/page", seconds=15)


@pytest.mark.clause("GW-2")
def test_who_asks_the_proxy_by_name_is_decided_about_alike(
    enrolled: User,
    stranger: User,
    estate: Estate,
    sites: dict[str, str],
    own: Callable[[str], bytes],
    gateways: Callable[[bytes | None], str | None],
) -> None:
    (first, *_) = estate.members("gateway")
    proxy = f"{first.towards('organisations')}:3128"
    assert enrolled.shown(sites["finance"], f"-proxy {proxy}") == own(sites["finance"])
    assert gateways(enrolled.shown(sites["news"], f"-proxy {proxy}")) == first.name
    assert enrolled.ask(f"https://{sites['games']}/", f"--proxy http://{proxy}").status == 403
    assert stranger.ask(f"https://{sites['finance']}/", f"--proxy http://{proxy}").code == 28


@pytest.fixture
def way_round(enrolled: User, estate: Estate) -> Iterator[None]:
    """A route past the gateways, by the routers between the zones."""
    host = estate.hosts["org01"]
    subnets = {zone: estate.zones[zone].subnet for zone in (*host.routes, host.zone)}
    (zone,) = host.routes
    router = subnets[host.zone][1]  # type: ignore[index]
    enrolled.shell(f"ip route replace {subnets[zone]} via {router}")
    yield
    enrolled.shell(f"ip route replace {subnets[zone]} via {host.routes[zone]}")


@pytest.mark.clause("GW-2")
@pytest.mark.usefixtures("way_round")
def test_there_is_no_way_round(enrolled: User, sites: dict[str, str]) -> None:
    """Threat: a workstation that sends its packets elsewhere. The internet's answers come to the gateways, who know of
    no such connection."""
    assert enrolled.ask(f"https://{sites['finance']}/").code in CLOSED


@pytest.mark.clause("GW-2")
def test_when_a_gateway_goes_the_other_takes_its_place(
    enrolled: User,
    estate: Estate,
    on: Callable[[str], Any],
    sites: dict[str, str],
    gateways: Callable[[bytes | None], str | None],
) -> None:
    """Users' packets and the internet's answers both move, and back."""
    first, second = (host.name for host in estate.members("gateway"))
    eventually(lambda: gateways(enrolled.shown(sites["news"])) == first, 30)
    on(first)("systemctl kill --signal=KILL keepalived; systemctl stop keepalived")
    try:
        eventually(lambda: gateways(enrolled.shown(sites["news"])) == second, 30)
        assert enrolled.ask(f"https://{sites['finance']}/").body == "origin\n"
    finally:
        on(first)("systemctl start keepalived")
    eventually(lambda: gateways(enrolled.shown(sites["news"])) == first, 30)
