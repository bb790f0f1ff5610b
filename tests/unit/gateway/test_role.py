"""What role gateway renders: taken by nft itself, and in the order that decides what is closed."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from kepil.gateway import decision, helper, rules
from kepil.gateway.decision import Reason
from kepil.gateway.watch_host import WatchSettings
from tests.unit.gateway.conftest import PROJECT, STATED

ROLE = PROJECT / "roles/gateway"
GIVEN: dict[str, Any] = {
    "inventory_hostname": "gw01",
    "groups": {"gateway": ["gw01", "gw02"]},
    "hostvars": {"gw02": {"estate_address": "198.18.8.12"}},
    "role_path": str(ROLE),
    "estate_environment": "development",
    "estate_domain": "dev.kepil.test",
    "estate_address": "198.18.8.11",
    "estate_flows": [
        {"from": "gateway", "to": "gateway", "protocol": "tcp", "port": 8443},
        {"from": "gateway", "to": "gateway", "protocol": "udp", "port": 3780},
    ],
    "estate_zones": {
        "core": {"subnets": ["198.18.3.0/24"]},
        "organisations": {"subnets": ["198.18.10.0/24"], "outsiders": "organisation"},
    },
    "base_firewall_forward_mark": "0x2",
    "gateway_operators": {"telecom": {"email": "a@telecom.kz", "networks": ["198.18.10.0/24"]}},
    "gateway_user_interfaces": ["users0", "users1"],
    "gateway_resolvers": ["198.18.8.53"],
    "gateway_mail_sender": "gateway@dev.kepil.test",
    "gateway_virtual_address": "198.18.8.10/24",
}


def rendered(name: str, **changes: Any) -> str:
    """A template of the role, with its defaults and variables, by Ansible itself."""
    init_plugin_loader([])
    variables: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        variables |= yaml.safe_load((ROLE / part / "main.yml").read_text(encoding="utf-8"))
    trusted = _trusted(variables | STATED | GIVEN | changes)
    text = (ROLE / "templates" / f"{name}.j2").read_text(encoding="utf-8")
    return str(Templar(loader=DataLoader(), variables=trusted).template(trust_as_template(text)))


def _trusted(value: Any) -> Any:
    match value:
        case dict():
            return {key: _trusted(each) for key, each in value.items()}
        case list():
            return [_trusted(each) for each in value]
        case str():
            return trust_as_template(value)
        case _:
            return value


@pytest.mark.parametrize(
    "changes", [{}, {"gateway_intrusion_failure": "open"}, {"gateway_intrusion": False}], ids=["closed", "open", "none"]
)
def test_nft_takes_the_rules_and_the_elements(changes: dict[str, Any]) -> None:
    given = (
        rendered("gateway.nft", **changes)
        + "".join(f"flush set {rules.TABLE} {name}\n" for name in rules.SETS)
        + "add element inet gateway enrolled { 198.18.10.0/24 timeout 31535999s }\n"
        + ("add element inet gateway exceptions { 198.18.10.0/24 . udp . 500 . 203.0.113.64/26 timeout 60s }\n")
    )
    command = ["unshare", "--net", "nft", "--check", "--file", "-"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_set_that_is_filled_is_there() -> None:
    text = rendered("gateway.nft")
    assert set(rules.SETS) <= set(re.findall(r"set (\w+) \{", text))


def chain(name: str, **changes: Any) -> list[str]:
    """The rules of a chain of the gateway's own table, in order."""
    lines = rendered("gateway.nft", **changes).partition(f"  chain {name} {{\n")[2].partition("\n  }")[0].splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("type ")]


def test_whoever_is_looked_up_is_looked_up_before_anything_lets_through() -> None:
    """GW-15-1: a connection that is under way is cut off, since no rule before the look-up lets anything go on."""
    before = "\n".join(chain("users")).partition("@enrolled")[0].splitlines()
    onward = [line for line in before if "accept" in line or "goto limited" in line]
    assert onward == [line for line in before if "@exceptions" in line]
    assert not any("established" in line for line in chain("users") + chain("proxied") + chain("limited"))


@pytest.mark.clause("GW-15-2")
def test_what_is_forwarded_to_users_answers_an_exception() -> None:
    """Threat: the host's own rules let through what is established, for as long as the destination sends."""
    (line,) = chain("answered")
    assert "ip daddr . meta l4proto . th sport . ip saddr != @exceptions counter drop" in line


@pytest.mark.clause("GW-13")
def test_a_source_of_no_operator_gets_no_five_days() -> None:
    """Threat: nobody is told of it, so no working days run and none are over: it passes for ever."""
    *_, before, last = chain("users")
    assert before.startswith("ip saddr != @operated counter drop")
    assert last == "goto unlisted"
    assert "elements = { 198.18.10.0/24 }" in rendered("gateway.nft")


@pytest.mark.clause("GW-13")
def test_who_cannot_be_remembered_gets_nothing() -> None:
    """Threat: the kernel's set is full, its rule ends without a word, and the next one lets pass whom nobody will be
    told of. What is not passed on anyway is not remembered, nor who only began a handshake: that is easily made up."""
    closed, begun, remembered, full = chain("unlisted")
    assert (closed, begun) == ("jump web", "ct state new goto limited")
    assert remembered == "add @unknown { ip saddr } goto limited"
    assert full.startswith("counter drop ")
    *closed_at_once, strays = chain("web")
    assert all(" drop" in line for line in closed_at_once)
    assert strays == "ct state invalid goto strays"


@pytest.mark.clause("GW-2")
def test_what_is_in_no_connection_goes_no_further() -> None:
    """Threat: what belongs to no connection passes. Nothing of a connection that is here is reset: anyone could write
    its user's address and end it."""
    here, elsewhere = chain("strays")
    assert here.startswith("socket wildcard 0 counter drop ")
    assert elsewhere.startswith("counter reject with tcp reset ")


@pytest.mark.clause("GW-2")
def test_a_gateway_forgets_what_its_partner_marks_as_its_own() -> None:
    """Threat: both have one mark, so that one forgets its own connections or keeps the other's."""
    pair = ("gw01", "0x100", "0x200"), ("gw02", "0x200", "0x100")
    for name, own, others in pair:
        (partner,) = {"gw01", "gw02"} - {name}
        there = {"inventory_hostname": name, "hostvars": {partner: {"estate_address": "198.18.8.12"}}}
        marked = re.findall(r"ct mark set ct mark \| (\w+) comment .*carries", rendered("gateway.nft", **there))
        assert marked == [own, own], "what the proxy is asked, and what it asks"
        assert f'kepil-gateway-state 198.18.8.10 {others}"' in rendered("keepalived.conf", **there)


@pytest.mark.clause("LQ-A3-6", "GW-13")
def test_a_set_that_is_full_opens_nothing() -> None:
    """Threat: a full set ends its rule, so that limits count nobody more, or a release is not remembered: then nothing
    begins, for it may be what neither Suricata looks at. `routed` may be full: it only lets the SYN proxy stand in, and
    the limits of a source hold without it. `unremembered` holds no more than there are protocols."""
    text, met = rendered("gateway.nft"), set()
    for name in re.findall(r"chain (\w+) \{", text):
        lines = chain(name)
        for line, following in pairwise([*lines, ""]):
            if not (found := re.search(r"(.*)(?:add|update) @(\w+) \{ (.*?)(?: ct count.*| limit.*)? \}", line)):
                continue
            condition, filled, key = found.groups()
            met.add(filled)
            release = filled in ("released", "released_again")
            what_then = "update @unremembered { meta l4proto }" if release else "counter drop"
            if release or filled in ("held", "opening"):
                assert following.startswith(f"{condition}{key} != @{filled} {what_then}"), name
    assert met == set(re.findall(r"set (\w+) \{[^}]*flags dynamic", text))
    assert "ct state new meta l4proto @unremembered counter drop" in "\n".join(chain("limited"))
    assert re.search(r"set held \{ type ipv4_addr; size 1048576;", text)
    assert re.search(r"set opening \{ type ipv4_addr; size 1048576;", text)


@pytest.mark.clause("LQ-A3-6")
def test_nothing_passes_that_intrusion_prevention_did_not_look_at() -> None:
    """Threat: Suricata is down, or somebody took it out of the path, and packets go on without it. Before they are sent
    anywhere, and before an answer leaves, there is a mark that only it sets."""
    unseen = "meta mark & 0x10 == 0 counter drop"
    for name in ("onward", "answers"):
        first = next(line for line in chain(name) if "drop" in line or "mark set" in line)
        assert unseen in first, name
    assert "--queue-bypass" not in rendered("queue.rules")
    assert suricata()["nfq"]["fail-open"] is False


@pytest.mark.clause("LQ-A3-6")
def test_what_is_released_was_seen_first_and_only_suricata_releases() -> None:
    """Threat: who can make a packet look released goes past it. The bit comes from Suricata's verdict to the
    connection, and from there to packets as the mark that the firewall asks for; nothing else sets it."""
    lines = [line for line in rendered("queue.rules").splitlines() if "PREROUTING -i users0" in line]
    save, restore, seen, *_, again, queue = (line.partition("users0 ")[2] for line in lines)
    assert save == "-m mark --mark 0x20/0x20 -j CONNMARK --set-xmark 0x20/0x20"
    assert restore == "-m connmark --mark 0x20/0x20 -j MARK --set-xmark 0x10/0x10"
    assert seen == "-m mark --mark 0x10/0x10 -j RETURN"
    assert again == "-m connmark --mark 0x40/0x40 -j NFQUEUE --queue-num 2"
    assert queue == "-j NFQUEUE --queue-balance 0:1"
    assert suricata()["nfq"]["bypass-mark"] == suricata()["nfq"]["bypass-mask"] == 0x20
    assert suricata()["app-layer"]["protocols"]["tls"]["encryption-handling"] == "bypass"
    text = rendered("gateway.nft")
    assert "mark set 0x20" not in text
    set_at_all = re.findall(r"ct mark set (.*?)(?= comment)", text)
    assert set_at_all == ["ct mark | 0x40", "ct mark | 0x100", "ct mark | 0x100"]


@pytest.mark.clause("LQ-A3-6")
def test_nothing_begins_that_suricata_takes_for_what_it_released() -> None:
    """Threat: a handshake, then from the same port something else, which Suricata would not look at for 100 seconds.
    The second process does, and remembers for itself; what neither would look at is dropped. The partner may have told
    the mark, so the second one's memory counts wherever it is there."""
    ports = "ip saddr . th sport . ip daddr . th dport"
    first, second, *_ = chain("limited")
    assert first.startswith(f"ct state new {ports} @released ct mark set ct mark | 0x40")
    assert second.startswith(f"ct state new ct mark & 0x40 == 0x40 {ports} @released_again counter drop")
    for name, key in (
        ("onward", "ip saddr . th sport . ip daddr . th dport"),
        ("answers", "ip daddr . th dport . ip saddr . th sport"),
    ):
        lines = chain(name)
        for remembers, bit in (("released", "0x0"), ("released_again", "0x40")):
            (told,) = (line for line in lines if f"update @{remembers} " in line)
            assert f"& 0x20 == 0x20 ct mark & 0x40 == {bit} update @{remembers} {{ {key} }}" in told
            assert not any("accept" in line for line in lines[1 : lines.index(told)])
            assert "timeout 2m" in rendered("gateway.nft").partition(f"set {remembers} {{")[2].partition("}")[0]


@pytest.mark.clause("LQ-A3-6")
@pytest.mark.parametrize("threads", [1, 3])
def test_each_queue_has_one_process_and_each_process_what_is_its_own(threads: int) -> None:
    """Threat: a queue that nobody reads takes users' packets for good; two processes take each other's socket."""
    processes = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__gateway_intrusion_processes"]
    units = [rendered("suricata.service", item=_trusted(each), gateway_intrusion_threads=threads) for each in processes]
    read = [[int(number) for number in re.findall(r" -q (\d+)", each)] for each in units]
    assert read == [list(range(threads)), [threads]]
    filled = re.findall(
        r"-i users0 .*--queue-(?:num|balance) (\S+)", rendered("queue.rules", gateway_intrusion_threads=threads)
    )
    assert filled == [str(threads), "0" if threads == 1 else f"0:{threads - 1}"]
    for setting in ("User=", "RuntimeDirectory=", "-l ", "unix-command.filename=", "reload-rules "):
        first, second = (re.findall(rf"{setting}(\S+)", each) for each in units)
        assert first != second
        assert [each.replace("-again", "") for each in second] == first
    assert ["--set flow.memcap=" in each for each in units] == [False, True]


@pytest.mark.clause("LQ-A3-6")
def test_who_wants_the_gateway_to_fail_open_says_so() -> None:
    assert "--queue-bypass" in rendered("queue.rules", gateway_intrusion_failure="open")
    assert "& 0x10" not in rendered("gateway.nft", gateway_intrusion_failure="open")
    assert suricata(gateway_intrusion_failure="open")["exception-policy"] == "pass-flow"


def suricata(**changes: Any) -> dict[str, Any]:
    """Suricata's configuration, as it reads it (YAML 1.1)."""
    found: dict[str, Any] = yaml.safe_load(rendered("suricata.yaml", **changes))
    return found


def test_its_mark_disturbs_no_other() -> None:
    marks = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))
    divert, seen, released, again = (
        int(marks[f"__gateway_{name}_mark"], 16) for name in ("divert", "seen", "released", "again")
    )
    forward = int(GIVEN["base_firewall_forward_mark"], 16)
    assert divert & seen == forward & seen == seen & released == (divert | forward) & released == again & released == 0
    assert suricata()["nfq"]["repeat-mark"] == suricata()["nfq"]["repeat-mask"] == seen


@pytest.mark.clause("CP-9.4", "GW-20")
def test_what_intrusion_prevention_tells_has_no_content() -> None:
    (eve,) = (each["eve-log"] for each in suricata()["outputs"])
    (alert, drop) = eve["types"]
    assert set(alert["alert"].values()) == {False}
    assert drop["drop"]["alerts"] is False


def test_own_rules_drop_and_have_numbers_of_their_own() -> None:
    lines = (ROLE / "files/kepil.rules").read_text(encoding="utf-8").splitlines()
    stated = [line for line in lines if line and not line.startswith("#")]
    assert all(line.startswith("drop ") for line in stated)
    numbers = [int(number) for line in stated for number in re.findall(r"\bsid:(\d+);", line)]
    assert len(numbers) == len(set(numbers)) == len(stated)
    assert all(1000000 <= number < 1001000 for number in numbers)


@pytest.mark.clause("GW-2")
def test_the_pair_tells_the_partner_and_nobody_else() -> None:
    text = rendered("conntrackd.conf")
    assert re.findall(r"IPv4_Destination_Address (\S+)", text) == ["198.18.8.12"]
    assert "Port 3780" in text
    assert "Multicast" not in text


@pytest.mark.clause("GW-2")
def test_what_holds_the_pair_together_comes_back_and_takes_nothing_at_once() -> None:
    for unit in ("keepalived.service", "conntrackd.service"):
        assert "Restart=always" in rendered("pair-dropin.conf", item=unit)
    assert "preempt_delay 15\n" in rendered("keepalived.conf")


@pytest.mark.clause("GW-2")
def test_a_busy_gateway_is_none_that_is_down() -> None:
    """Threat: a check that ends after a second says no on both gateways at once, and nobody has the address. Two noes
    and VRRP's own silence are under the three seconds that a fail-over may take; but for the few connections of the
    second process of intrusion prevention nobody else's are given up in a hurry."""
    checks = re.findall(r"vrrp_script (\S+) \{(.*?)\}", rendered("keepalived.conf"), re.DOTALL)
    stated = {name: dict(re.findall(r"(interval|timeout|fall) (\d+)", each)) for name, each in checks}
    assert list(stated) == ["proxy", "suricata", "suricata-again"]
    for name, check in stated.items():
        interval, timeout, fall = (int(check[name]) for name in ("interval", "timeout", "fall"))
        assert timeout >= 5 * interval
        assert (fall * interval + 3 * 0.2 < 3) is (name != "suricata-again")


def test_further_addresses_move_with_the_pairs() -> None:
    text = rendered("keepalived.conf", gateway_virtual_beside={"users1": "198.18.10.1/24"})
    assert "198.18.10.1/24 dev users1" in text
    assert re.search(r"track_interface \{\s+users1\s+\}", text)


@pytest.mark.clause("GW-20")
def test_what_the_helper_does_not_answer_is_closed() -> None:
    """Threat: the helper dies, and the first rule that does not ask it decides. And a CONNECT is refused only where it
    is passed on and nobody said so: Squid would end TLS, whosever it is, to show a page."""
    lines = [line for line in rendered("squid.conf").splitlines() if line.startswith(("ssl_bump", "http_access"))]
    bump = [line for line in lines if line.startswith("ssl_bump")]
    assert bump == [
        "ssl_bump peek step1",
        "ssl_bump terminate inside",
        "ssl_bump terminate transparent_tls_port arrived_for_inside",
        "ssl_bump terminate !web_port",
        "ssl_bump splice passed_on",
        "ssl_bump bump ended_here",
        "ssl_bump terminate all",
    ]
    assert lines[lines.index("http_access allow open") + 1] == "http_access deny all"
    before = lines[: lines.index("http_access deny page_wanted")]
    assert [line for line in before if line.startswith("http_access")] == [
        "http_access deny !CONNECT inside",
        "http_access deny !CONNECT !web_port",
        "http_access deny CONNECT later !passed_on",
        "http_access allow CONNECT transparent_tls_port",
        "http_access allow CONNECT explicit_port",
    ]


@pytest.mark.clause("GW-20")
def test_a_connect_is_not_scanned() -> None:
    """Threat: the scanner is down, and Squid ends TLS of exempt sites too, in order to show that."""
    lines = [line for line in rendered("squid.conf").splitlines() if line.startswith("adaptation_access scan_requests")]
    assert lines == ["adaptation_access scan_requests deny CONNECT", "adaptation_access scan_requests allow all"]


@pytest.mark.clause("LQ-A3-6")
def test_what_the_scanner_cannot_read_is_refused() -> None:
    """Threat: content in a coding, a type or a part that passes unscanned. Where there is no scanner all is taken."""
    text = rendered("squid.conf")
    assert "http_reply_access deny coded !decodable" in text
    assert "request_header_access Range deny all" in text
    assert "force=on" in rendered("virus_scan.conf")
    assert "http_reply_access" not in rendered("squid.conf", gateway_antivirus=False)


@pytest.mark.clause("LQ-A3-6")
def test_no_process_of_the_scanners_door_is_ended_for_being_idle() -> None:
    """c-icap ends one when more threads are idle than that, and what it is doing with it: users see an error (500)."""
    stated = dict(re.findall(r"^(\w+) (\d+)$", rendered("c-icap.conf"), re.MULTILINE))
    assert int(stated["MaxSpareThreads"]) >= int(stated["MaxServers"]) * int(stated["ThreadsPerChild"])


@pytest.mark.clause("LQ-A3-6")
def test_with_a_mirror_the_scanner_waits_for_its_databases() -> None:
    """ClamAV's units ask for databases; the role takes that away only where there is no mirror to bring them. The door
    asks for none, and comes back like the scanner."""
    mirror = "https://clamav.example.kz"
    units = ("clamav-daemon.socket", "clamav-daemon.service", "c-icap.service")
    asks = {unit: "ConditionPathExistsGlob=\n" in rendered("antivirus-dropin.conf", item=unit) for unit in units}
    assert asks == {"clamav-daemon.socket": True, "clamav-daemon.service": True, "c-icap.service": False}
    for unit in units:
        text = rendered("antivirus-dropin.conf", item=unit, gateway_antivirus_mirror=mirror)
        assert "ConditionPathExistsGlob" not in text
        assert ("Restart=always" in text) == unit.endswith(".service")
    assert f"PrivateMirror {mirror}\n" in rendered("freshclam.conf", gateway_antivirus_mirror=mirror)
    assert not re.search("Mirror|DNSDatabaseInfo", rendered("freshclam.conf"))


def test_squid_asks_what_the_helper_answers() -> None:
    asked = re.findall(r"^acl \w+ external decision (\w+) (\w+)$", rendered("squid.conf"), re.MULTILINE)
    assert {question for _, question in asked} == set(helper.ANSWERS)
    assert {kind for kind, _ in asked} == {"tls", "http"}


def test_the_log_has_no_content() -> None:
    """GW-20, CP-9.4: what is spliced, and what is inspected, is logged without path, query or header."""
    (line,) = [line for line in rendered("squid.conf").splitlines() if line.startswith("logformat")]
    assert not re.search(r"%(>|<)?(ru|rp|rP|>h|<h|un)\b", line)
    assert "debug_options ALL,1 85,0\n" in rendered("squid.conf")
    assert "DebugLevel 0\n" in rendered("c-icap.conf")


@pytest.mark.clause("LQ-A3-6", "CP-9.4")
def test_the_collector_is_told_what_was_closed_and_not_where_users_went() -> None:
    """Threat: a decision that nobody hears of; or seven years of where everybody went."""
    lines = rendered("squid.conf").splitlines()
    (told,) = (line.split()[4:] for line in lines if line.startswith("acl closed note log "))
    passed = (Reason.EXEMPT, Reason.INSPECTED, Reason.EXCEPTION, Reason.SOURCE_UNKNOWN)
    assert set(told) == {reason.code for reason in Reason if reason not in passed}
    (line,) = (line for line in lines if line.startswith("access_log syslog:"))
    assert line.endswith(" logformat=kepil closed")


def test_the_inspection_ca_excludes_exempt_names() -> None:
    text = rendered("inspection.cnf")
    assert "excluded;DNS:gov.kz" in text
    assert "cloudflare-ech.com" not in text


def test_the_watch_reads_what_the_role_writes() -> None:
    settings = WatchSettings.model_validate_json(rendered("watch.json"))
    assert settings.peer_facts == (Path("/var/lib/kepil/gateway/facts-gw02"),)
    alone = json.loads(rendered("watch.json", gateway_virtual_address="", groups={"gateway": ["gw01"]}))
    assert alone["active"] == "/etc/kepil/gateway"  # which is always there


def test_the_page_is_in_three_languages_and_loads_nothing() -> None:
    page = rendered("ERR_KEPIL_CLOSED")
    assert re.findall(r'<section lang="(\w+)">', page) == ["kk", "ru", "en"]
    assert not re.search(r"https?://|<script|<img|<link", page)


def test_ports_are_those_that_decisions_know() -> None:
    assert f"{{ {decision.HTTP}, {decision.TLS} }}" in rendered("gateway.nft")
