"""What users see of each decision: whose certificate, which page, or nothing at all."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cryptography.x509 import DNSName, SubjectAlternativeName, load_der_x509_certificate

from tests.gateway_users import INSPECTION, Gateway

testinfra_hosts = ["ansible://gw01"]


@pytest.mark.clause("GW-20")
def test_of_the_seven_exempt_categories_users_see_the_origins_own_certificate(gateway: Gateway) -> None:
    """Byte for byte: what the gateway would decrypt shows another one."""
    assert len(gateway.exempt) == 7
    categories = sorted(gateway.exempt)
    answers = gateway.ask(*({"name": gateway.sites[each]} for each in categories))
    for category, answer in zip(categories, answers, strict=True):
        assert answer["status"] == 200, category
        assert answer["certificate"] == gateway.certificate(gateway.sites[category]), category


@pytest.mark.clause("GW-20")
def test_of_the_rest_users_see_the_gateways_which_they_can_check(gateway: Gateway) -> None:
    for answer in gateway.ask(
        *({"name": gateway.sites[each], "trusts": INSPECTION} for each in ("news", "uncategorised"))
    ):
        assert (answer["error"], answer["status"], answer["body"]) == (None, 200, "origin\n")
        assert gateway.issued(answer["certificate"])


@pytest.mark.clause("GW-15", "LQ-A3-6")
@pytest.mark.parametrize(("category", "reason"), [("games", "category-closed"), ("malware", "malware")])
def test_what_is_closed_says_why_in_three_languages(gateway: Gateway, category: str, reason: str) -> None:
    tls, plain = gateway.ask({"name": gateway.sites[category]}, {"name": gateway.sites[category], "port": 80})
    assert gateway.issued(tls["certificate"])
    for answer in (tls, plain):
        assert answer["status"] == 403
        assert re.findall(r'<section lang="(\w+)">', answer["body"]) == ["kk", "ru", "en"]
        assert f"<code>{reason} " in answer["body"]


@pytest.mark.clause("GW-20")
def test_what_cannot_be_told_is_closed(gateway: Gateway) -> None:
    """Threat: a pretext decides: no server name, one that covers another, one that leads elsewhere, one that
    the user did not ask the proxy for."""
    proxy = gateway.users["enrolled"].rpartition(".")[0] + ".1"
    elsewhere = gateway.origins["expired"]
    answers = gateway.ask(
        {},
        {"name": gateway.sites["encrypted-names"]},
        {"name": gateway.sites["finance"], "address": elsewhere},
        {"name": gateway.sites["news"], "address": elsewhere},
        {"name": gateway.sites["finance"], "address": gateway.sites["malware"], "proxy": proxy},
        {"name": gateway.sites["games"], "address": gateway.sites["finance"], "proxy": proxy},
    )
    assert [(answer["certificate"], answer["status"]) for answer in answers] == [(None, None)] * len(answers)


@pytest.mark.clause("GW-20")
def test_an_encrypted_server_name_opens_nothing_that_its_outer_one_does_not(gateway: Gateway) -> None:
    """Threat: a name that nobody can read behind one that is allowed (Encrypted Client Hello, RFC 9849). One that only
    covers others is closed; of one that is inspected the gateway answers for that name alone; of an exempt one the
    origin itself, as without the extension. Clients send such an extension to everybody, so it alone says nothing."""
    hidden, sites = {"encrypts": gateway.sites["games"]}, ("encrypted-names", "news", "finance", "games")
    covers, news, bank, games = gateway.ask(*({"name": gateway.sites[each], **hidden} for each in sites))
    assert covers["certificate"] is None
    assert bank["certificate"] == gateway.certificate(gateway.sites["finance"])
    for site, answer in (("news", news), ("games", games)):
        assert gateway.issued(answer["certificate"])
        assert names(answer["certificate"]) == [gateway.sites[site]]


def names(certificate: str) -> list[str]:
    """The names that a certificate (DER, hexadecimal) is for."""
    found = load_der_x509_certificate(bytes.fromhex(certificate)).extensions
    return found.get_extension_for_class(SubjectAlternativeName).value.get_values_for_type(DNSName)


@pytest.mark.clause("GW-20")
def test_who_asks_the_proxy_by_name_is_decided_about_alike(gateway: Gateway) -> None:
    proxy = gateway.users["enrolled"].rpartition(".")[0] + ".1"
    bank, news = gateway.ask(
        *({"name": gateway.sites[each], "address": gateway.sites[each], "proxy": proxy} for each in ("finance", "news"))
    )
    assert bank["certificate"] == gateway.certificate(gateway.sites["finance"])
    assert gateway.issued(news["certificate"])


@pytest.mark.clause("GW-15", "GW-20")
def test_for_who_is_not_enrolled_nothing_is_decrypted_and_nothing_passes(gateway: Gateway) -> None:
    source = gateway.users["listed"]
    ports: list[dict[str, Any]] = [
        {"port": 80},
        {"port": 8022},
        {"port": 3128, "address": source.rpartition(".")[0] + ".1"},
    ]
    answers = gateway.ask(
        *({"source": source, "name": name, "seconds": 2} for name in gateway.sites.values()),
        *({"source": source, "seconds": 2, **port} for port in ports),
    )
    assert [(answer["certificate"], answer["body"]) for answer in answers] == [(None, "")] * len(answers)


@pytest.mark.clause("GW-13", "GW-20")
def test_for_who_is_in_no_catalogue_nothing_is_decrypted(gateway: Gateway) -> None:
    """Five working days run; known malware is closed, and the kernel remembers who it was."""
    source = gateway.users["unknown"]
    open_ones = [gateway.sites[each] for each in ("finance", "news", "games")]
    *passed, malware = gateway.ask(
        *({"source": source, "name": name} for name in (*open_ones, gateway.sites["malware"]))
    )
    assert [answer["certificate"] for answer in passed] == [gateway.certificate(name) for name in open_ones]
    assert malware["certificate"] is None
    assert source in gateway.host.check_output("nft list set inet gateway unknown")


@pytest.mark.clause("GW-13")
def test_who_comes_from_no_operator_gets_nothing(gateway: Gateway) -> None:
    """Threat: nobody can be told of him, so his five working days never begin."""
    source = gateway.users["foreign"]
    names = [gateway.sites[each] for each in ("finance", "news")]
    answers = gateway.ask(
        *({"source": source, "name": name, "seconds": 2} for name in names),
        {"source": source, "port": 80, "seconds": 2},
    )
    assert [(answer["certificate"], answer["body"]) for answer in answers] == [(None, "")] * len(answers)
    assert source not in gateway.host.check_output("nft list set inet gateway unknown")


@pytest.mark.clause("GW-20")
def test_of_what_leads_into_the_estate_nobody_sees_a_certificate(gateway: Gateway, inventory: dict[str, Any]) -> None:
    """Threat: a refusal that is a page ends TLS: a stranger's, or of an exempt site. So it is closed without a word,
    whether the address says it or the name, and for each port but the web's."""
    inside = inventory["_meta"]["hostvars"]["ca01"]["estate_address"]
    proxy = gateway.users["enrolled"].rpartition(".")[0] + ".1"
    names = [gateway.sites["finance"], gateway.sites["news"], "inside.bank.example.com"]
    asked: list[dict[str, Any]] = [
        {"source": gateway.users[user], "address": inside, **name}
        for user in ("enrolled", "unknown")
        for name in ({}, *({"name": name} for name in names))
    ]
    asked += [{"name": names[-1], "address": names[-1], "proxy": proxy}, {"address": inside, "proxy": proxy}]
    asked += [{"name": name, "address": name, "proxy": proxy, "connects": 8443} for name in names]
    answers = gateway.ask(*asked)
    assert [(each["certificate"], each["status"]) for each in answers] == [(None, None)] * len(answers)


@pytest.mark.clause("GW-15-2")
def test_an_exception_opens_its_own_port_and_no_other(gateway: Gateway) -> None:
    opened, closed = gateway.ask({"port": 8022}, {"port": 8023, "seconds": 2})
    assert opened["body"] == "hello\n"
    assert closed["body"] == ""


@pytest.mark.clause("GW-20")
@pytest.mark.parametrize("origin", ["expired", "self-signed", "other-name", "revoked", "revoked-responder"])
def test_an_origins_bad_certificate_is_never_made_to_look_valid(gateway: Gateway, origin: str) -> None:
    """Threat: whoever stands between gateway and origin is believed, because users only see the gateway's."""
    address = gateway.origins[origin]
    inspected, spliced = gateway.ask(
        {"name": f"{origin}.example.net", "address": address},
        {"name": f"{origin}.bank.example.com", "address": address},
    )
    assert spliced["certificate"] == gateway.certificate(origin), "the user judges what is passed on untouched"
    assert inspected["status"] == 503
    assert "origin\n" not in inspected["body"]
    (checked,) = gateway.ask({"name": f"{origin}.example.net", "address": address, "trusts": INSPECTION})
    assert checked["status"] in (None, 503), checked
    assert "origin\n" not in checked["body"]


@pytest.mark.clause("LQ-A3-6")
def test_malware_over_tls_is_stopped(gateway: Gateway) -> None:
    """And an exempt site's is not looked at: untouched is untouched (GW-20)."""
    stopped, plain, whole, exempt = gateway.ask(
        {"name": gateway.sites["news"], "path": "/eicar"},
        {"name": gateway.sites["news"], "path": "/eicar", "port": 80},
        {"name": gateway.sites["news"], "path": "/large", "seconds": 20},
        {"name": gateway.sites["finance"], "path": "/eicar"},
    )
    for answer in (stopped, plain):
        assert answer["status"] == 403
        assert "EICAR-STANDARD" not in answer["body"]
    assert "EICAR-STANDARD" in exempt["body"]
    assert (whole["status"], whole["length"]) == (200, 256 * 16384)


@pytest.mark.clause("LQ-A3-6")
def test_malware_is_not_hidden_by_its_form(gateway: Gateway) -> None:
    """Threat: coded so that the scanner cannot read it, looking like what is not scanned, or fetched part by part. What
    it cannot decode is not taken; a part of something harmless is."""
    news = gateway.sites["news"]
    forms = ("postscript", "unknown", "gzip", "br", "zstd")
    parts = [(path, f"Range: bytes={part}") for path in ("/eicar", "/what-for") for part in ("0-3", "4-")]
    *coded, first, second, begins, ends, accepted = gateway.ask(
        *({"name": news, "path": f"/eicar-{form}", "headers": ["Accept-Encoding: zstd, br"]} for form in forms),
        *({"name": news, "path": path, "headers": [part]} for path, part in parts),
        {"name": news, "path": "/accepted", "headers": ["Accept-Encoding: zstd, br"]},
    )
    assert dict(zip(forms, (each["status"] for each in coded), strict=True)) == dict.fromkeys(forms, 403)
    assert [each["status"] for each in (first, second)] == [403, 403]
    assert (begins["body"], ends["body"]) == ("orig", "in\n")
    assert accepted["body"] == "gzip"
    assert all("EICAR-STANDARD" not in each["body"] for each in (*coded, first, second))


@pytest.mark.clause("GW-20", "CP-9.4", "LQ-A3-6")
def test_the_log_says_how_it_was_decided_and_never_what_for(gateway: Gateway) -> None:
    """Nor does any other log: of the proxy, of the scanner, of its door; of what passes, is found, or is forged."""
    news, elsewhere = gateway.sites["news"], "expired.example.net"
    began = gateway.host.check_output("date +%s")
    *_, forged, fronted, _ = gateway.ask(
        {"name": gateway.sites["finance"], "path": "/what-for"},
        {"name": news, "path": "/eicar", "headers": ["X-Why: what-for"]},
        {"name": news, "path": "/what-for"},
        {"name": news, "path": "/what-for", "port": 80, "address": gateway.origins["expired"]},
        {"name": news, "path": "/what-for", "host": elsewhere},
        {"name": gateway.sites["games"], "path": "/what-for"},
    )
    assert {forged["status"], fronted["status"]} <= {None, 409, 503}
    log = gateway.host.check_output("tail -n 20 /var/log/squid/access.log")
    assert re.search(rf"{gateway.sites['finance']} splice", log)
    assert re.search(rf"{gateway.users['enrolled']} .* {news} bump .*Kepil\.Test\.EICAR.* inspected", log), log
    closed = f"{gateway.sites['games']} bump GET TCP_DENIED/403"
    told = f"journalctl --since=@{began} --output=cat --unit=squid | grep -qF '{closed}'"
    gateway.host.run(f'timeout 20 sh -c "until {told}; do sleep 0.5; done"')
    clamd, *logs = (
        gateway.host.check_output(f"journalctl --since=@{began} --output=cat --unit={unit}")
        for unit in ("clamav-daemon", "squid", "c-icap", "suricata", "suricata-again")
    )
    assert "Kepil.Test.EICAR" in clamd
    assert closed in logs[0], gateway.host.check_output(f"journalctl --since=@{began} --lines=100")
    assert gateway.sites["finance"] not in logs[0], "where users go does not"
    path = "/(what-for|eicar)"
    assert not re.search(path, "".join([clamd, *logs]))
    assert gateway.host.run(f"grep --recursive --extended-regexp '{path}' /var/log/squid /var/log/c-icap").stdout == ""
    gateway.host.check_output("logrotate --force /etc/logrotate.d/c-icap")
