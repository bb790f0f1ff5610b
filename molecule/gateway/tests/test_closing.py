"""What ends on time, and what is gone, closes: never opens."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.gateway_users import Gateway, counted, digest, eventually, named, opened_during

SQUID = "/etc/squid/squid.conf"

testinfra_hosts = ["ansible://gw01"]


@pytest.mark.clause("GW-15-1")
@pytest.mark.usefixtures("restored")
def test_at_its_end_access_closes_in_the_middle_of_a_download(gateway: Gateway) -> None:
    """Threat: whoever holds a connection open keeps his access. The end is moved to five seconds from now, and
    the timer that compares policy and kernel rests: the kernel closes by itself. The destination of an exception that
    goes on sending, though the user is silent, is cut off with him."""
    source = gateway.users["enrolled"]
    ends = {"enrolled": source, "exceptions": f"{source} . udp . 8025 . {gateway.origins['good']}"}
    gateway.host.check_output(
        "systemctl stop kepil-gateway-apply.timer && nft '"
        + "; ".join(
            f"delete element inet gateway {name} {{ {key} }}; add element inet gateway {name} {{ {key} timeout 5s }}"
            for name, key in ends.items()
        )
        + "'"
    )
    try:
        slow, bank, exception = gateway.ask(
            {"name": gateway.sites["news"], "path": "/slow", "seconds": 4},
            {"name": gateway.sites["finance"], "path": "/slow", "seconds": 4},
            {"port": 8025, "protocol": "udp", "says": "go on", "seconds": 4, "lasts": 10},
        )
        after = gateway.ask(
            {"name": gateway.sites["finance"], "seconds": 1}, {"name": gateway.sites["news"], "seconds": 1}
        )
    finally:
        gateway.host.check_output("systemctl start kepil-gateway-apply.timer")
    assert bank["certificate"] == gateway.certificate(gateway.sites["finance"])
    assert 10 <= bank["length"] // len("drop\n") <= 65, "it went on while it was open, and no longer"
    assert 20 <= exception["length"] // len("tick\n") <= 130, "likewise"
    assert [str(each["error"]).partition(":")[0] for each in (slow, bank, exception)] == ["TimeoutError"] * 3
    assert [digest(each["certificate"]) for each in after] == ["none", "none"]


MOVED = """\
import sys
from datetime import datetime, timedelta
from kepil.cli import main
from kepil.commands import gateway
class Moved(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(days=400)
gateway.datetime = Moved
sys.exit(main(["gateway", "apply"]))
"""


@pytest.fixture
def moved(gateway: Gateway) -> Iterator[None]:
    """The clock of the command that the timer runs is past the year. Timer, unit and sandbox are as they are."""
    unit = "/run/systemd/system/kepil-gateway-apply.service.d"
    lines = "[Service]\nExecStart=\nExecStart=/opt/kepil/current/bin/python3 /srv/moved.py\n"
    gateway.host.check_output(
        f"mkdir -p {unit} && printf %s {shlex.quote(MOVED)} > /srv/moved.py"
        f" && printf %b {shlex.quote(lines)} > {unit}/moved.conf && systemctl daemon-reload"
    )
    yield
    gateway.host.check_output(f"rm -r {unit} && systemctl daemon-reload")


@pytest.mark.clause("GW-15-1")
@pytest.mark.usefixtures("restored", "moved")
def test_a_clock_that_moved_past_the_year_closes_at_the_timers_next_run(gateway: Gateway) -> None:
    """No converge, and nobody starts anything: within the minute that is stated, connections under way included."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gateway.ask, {"name": gateway.sites["finance"], "path": "/slow", "seconds": 4})
        took = eventually(lambda: "elements" not in gateway.host.check_output("nft list set inet gateway enrolled"), 60)
        print(f"closed {took:.1f} s after the clock moved")
        (slow,) = asked.result()
    answers = gateway.ask({"name": gateway.sites["finance"], "seconds": 1}, {"port": 8022, "seconds": 1})
    assert slow["error"].startswith("TimeoutError")
    assert [(each["certificate"], each["body"]) for each in answers] == [(None, "")] * 2


@pytest.mark.clause("GW-15-1")
def test_policy_and_kernel_are_compared_often_enough(gateway: Gateway) -> None:
    """Within a minute: the timer's step and its accuracy together."""
    said = gateway.host.check_output("systemctl show kepil-gateway-apply.timer --property=TimersMonotonic,AccuracyUSec")
    assert "OnUnitActiveUSec=30s" in said
    assert "AccuracyUSec=1s" in said
    assert gateway.host.service("kepil-gateway-apply.timer").is_running


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("table", ["inet gateway", "ip mangle"])
def test_without_a_table_of_the_gateways_nothing_passes(gateway: Gateway, table: str) -> None:
    """Threat: somebody loads another rule set. What is left of the host's rules is closed, and the timer's next run
    opens again what the policy says. `ip mangle` is what hands packets to intrusion prevention, or counts them as seen
    since it released their connection: without it what is under way is cut off, too."""
    bank = {"name": gateway.sites["finance"]}
    under_way = [{"path": "/slow", "seconds": 4, "lasts": 8, **bank, **port} for port in ({}, {"port": 8443})]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gateway.ask, *under_way)
        eventually(lambda: released(gateway) >= len(under_way))
        gateway.host.check_output(f"systemctl stop kepil-gateway-apply.timer && nft delete table {table}")
        try:
            answers = gateway.ask(*({"seconds": 1, **each} for each in (bank, {"port": 80}, {"port": 8022})))
            cut_off = asked.result()
        finally:
            gateway.host.check_output("systemctl start kepil-gateway-apply.timer kepil-gateway-apply.service")
    assert [(each["certificate"], each["body"]) for each in answers] == [(None, "")] * 3
    if table == "ip mangle":
        assert [str(each["error"]).partition(":")[0] for each in cut_off] == ["TimeoutError"] * 2
    assert gateway.users["enrolled"] in gateway.host.check_output("nft list set inet gateway enrolled")
    assert gateway.passes()


def released(gateway: Gateway) -> int:
    """Connections under way that intrusion prevention has seen all of that it could, and takes out of its queue."""
    lines = gateway.host.check_output("cat /proc/net/nf_conntrack").splitlines()
    marks = (re.search(r"mark=(\d+)", line) for line in lines if "ESTABLISHED" in line)
    return sum(int(mark[1]) & 0x20 > 0 for mark in marks if mark)


@pytest.mark.clause("LQ-A3-6")
@pytest.mark.usefixtures("restored")
def test_without_intrusion_prevention_what_it_released_goes_on_and_nothing_else(gateway: Gateway) -> None:
    """Threat: whatever goes past the queue goes past it for good. What was released is encrypted, and its handshake was
    seen; what is in the clear waits, though it began before, and whatever begins is closed."""
    bank, news = ({"name": gateway.sites[each]} for each in ("finance", "news"))
    flows: dict[str, dict[str, Any]] = {"spliced": bank, "inspected": news, "routed": {"port": 8443, **bank}}
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            gateway.ask,
            *({"path": "/brief", "seconds": 20, **each} for each in flows.values()),
            {"port": 8024, "says": "go on", "seconds": 2},
        )
        eventually(lambda: released(gateway) >= len(flows))
        gateway.host.check_output("systemctl stop suricata.service")
        try:
            began = gateway.ask(*({"seconds": 2, **each} for each in (*flows.values(), {"port": 80}, {"port": 8024})))
            *went_on, clear = asked.result()
        finally:
            gateway.host.check_output("systemctl start suricata.service")
    assert {name: each["error"] for name, each in zip(flows, went_on, strict=True)} == dict.fromkeys(flows)
    assert [each["length"] for each in went_on] == [90 * len("drop\n")] * len(flows)
    assert clear["error"].startswith("TimeoutError")
    assert [(each["certificate"], each["body"]) for each in began] == [(None, "")] * len(began)


@pytest.mark.clause("LQ-A3-6")
@pytest.mark.usefixtures("restored")
def test_what_is_the_second_processs_alone_does_not_begin_without_it(gateway: Gateway) -> None:
    """Threat: what the first process takes for a connection that it released falls back to it."""
    bank = {"name": gateway.sites["finance"], "port": 8443}
    same = bank | {"from": 20964, "resets": True}
    (released,) = gateway.ask(same)
    gateway.host.check_output("systemctl stop suricata-again.service")
    try:
        again, other = gateway.ask(same | {"seconds": 2}, bank)
    finally:
        gateway.host.check_output("systemctl start suricata-again.service")
    assert [each["status"] for each in (released, again, other)] == [200, None, 200]


@pytest.fixture
def full(gateway: Gateway, restored: None, request: pytest.FixtureRequest) -> Iterator[str]:
    """A set of the kernel's has room for one element, which somebody else has taken."""
    name, taken = request.param
    rules = "/etc/kepil/gateway/gateway.nft"
    smaller = rf"sed -E '/set {name} \{{/,/\}}/ s/size [0-9]+/size 1/' {rules}"
    gateway.host.check_output(f"systemctl stop kepil-gateway-apply.timer && {smaller} | nft -f -")
    gateway.apply_policy()
    gateway.host.check_output(f"nft 'add element inet gateway {name} {{ {taken} }}'")
    yield name
    gateway.host.check_output(f"nft -f {rules} && systemctl start kepil-gateway-apply.timer")


@pytest.mark.clause("GW-13")
@pytest.mark.parametrize("full", [("unknown", "198.19.41.77")], indirect=True, ids=["unknown"])
def test_a_source_that_cannot_be_remembered_gets_nothing(gateway: Gateway, full: str) -> None:
    """Threat: when the kernel remembers as many sources as it can, one more passes, and nobody is ever told of it."""
    source, bank = gateway.users["unknown"], {"name": gateway.sites["finance"], "seconds": 2}
    refused = counted(gateway, "GW-13: no room to remember it")
    *answers, other = gateway.ask({"source": source, **bank}, {"source": source, "port": 80, "seconds": 2}, bank)
    assert [(each["certificate"], each["body"]) for each in answers] == [(None, "")] * 2
    assert counted(gateway, "GW-13: no room to remember it") > refused
    assert other["status"] == 200, "who is enrolled is not concerned"
    gateway.host.check_output(f"nft 'flush set inet gateway {full}'")
    (answer,) = gateway.ask({"source": source, **bank})
    assert answer["certificate"] == gateway.certificate(gateway.sites["finance"])
    assert source in gateway.host.check_output(f"nft list set inet gateway {full}")


@pytest.mark.clause("LQ-A3-6")
@pytest.mark.parametrize("full", [(name, "198.19.41.77") for name in ("held", "opening")], indirect=True, ids=str)
@pytest.mark.usefixtures("full")
def test_a_source_that_cannot_be_counted_begins_nothing(gateway: Gateway) -> None:
    """Threat: who fills the kernel's sets by many addresses has no limits any more."""
    reason = "LQ-A3-6: no room to count it"
    before = counted(gateway, reason)
    (answer,) = gateway.ask({"name": gateway.sites["finance"], "seconds": 2})
    assert (answer["certificate"], answer["body"]) == (None, "")
    assert counted(gateway, reason) > before


@pytest.mark.clause("LQ-A3-6")
@pytest.mark.parametrize(
    "full",
    [(name, "198.19.41.77 . 1 . 198.19.41.77 . 1") for name in ("released", "released_again")],
    indirect=True,
    ids=["first", "second"],
)
def test_where_a_release_cannot_be_remembered_nothing_begins(gateway: Gateway, full: str) -> None:
    """Threat: who fills the set of either process then goes on from a port that it released, and does not look at."""
    bank = {"name": gateway.sites["finance"], "port": 8443}
    port = {"from": 20965 if full == "released" else 20966}
    if full == "released_again":
        assert gateway.ask({"resets": True, **bank, **port})[0]["status"] == 200
    under_way, began, *after = gateway.ask(
        {"path": "/short", "seconds": 8, **bank, **port},
        bank,
        *({"after": 2, "seconds": 2, **each} for each in (bank, {"port": 80}, {"port": 8022})),
    )
    assert (under_way["error"], began["status"]) == (None, 200)
    assert [(each["certificate"], each["body"]) for each in after] == [(None, "")] * 3
    assert counted(gateway, "LQ-A3-6: no room to remember a release") > 0


DAEMONS = {
    # what is killed, and while it is gone: what becomes of an exempt site, of an inspected one, and of an exception
    "squid.service": (None, None, "hello\n"),
    "clamav-daemon.service": (200, 500, "hello\n"),
    "c-icap.service": (200, 500, "hello\n"),
    "suricata.service": (None, None, ""),
    "suricata-again.service": (200, 403, "hello\n"),
}


@pytest.mark.clause("LQ-A3-6", "GW-20")
@pytest.mark.parametrize("unit", DAEMONS)
@pytest.mark.usefixtures("restored")
def test_a_daemon_that_is_killed_closes_and_comes_back(gateway: Gateway, unit: str) -> None:
    """Threat: a crash that somebody can cause opens what it guarded. First it is held down, to look; then it is killed,
    and systemd brings it back."""
    hold = unit.replace("clamav-daemon.service", "clamav-daemon.socket clamav-daemon.service")
    gateway.host.check_output(f"systemctl kill --signal=KILL {unit}; systemctl stop {hold}")
    bank, news, exception = gateway.ask(
        {"name": gateway.sites["finance"]},
        {"name": gateway.sites["news"], "path": "/eicar"},
        {"port": 8022, "seconds": 2},
    )
    gateway.host.check_output(f"systemctl start {hold}")
    eventually(gateway.passes)
    gateway.host.check_output(f"systemctl kill --signal=KILL {unit}")
    took = eventually(lambda: gateway.host.service(unit).is_running and gateway.passes())
    print(f"{unit}: users got through again {took:.1f} s after it was killed")
    assert (bank["status"], news["status"], exception["body"]) == DAEMONS[unit]
    assert bank["certificate"] in (None, gateway.certificate(gateway.sites["finance"])), "GW-20: never decrypted"
    assert "EICAR-STANDARD" not in news["body"]


@pytest.mark.clause("GW-2")
@pytest.mark.usefixtures("restored")
def test_what_is_killed_beside_the_path_takes_no_connection_away(gateway: Gateway) -> None:
    """And comes back: what tells the partner, what shows it who was seen, and what asks whether origins' certificates
    were revoked, without which none is believed."""
    flows: dict[str, dict[str, Any]] = {
        "routed": {"port": 8024, "says": "go on"},
        "spliced": {"name": gateway.sites["finance"], "path": "/short"},
        "inspected": {"name": gateway.sites["news"], "path": "/short"},
    }
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gateway.ask, *({"lasts": 4, "seconds": 10, **each} for each in flows.values()))
        eventually(lambda: "8024" in gateway.host.check_output("ip netns exec origins ss -Htn state established"))
        for unit in ("conntrackd.service", "nginx.service"):
            gone = {"0", main_process(gateway, unit)}
            gateway.host.check_output(f"systemctl kill --signal=KILL {unit}")
            took = eventually(partial(runs_anew, gateway, unit, gone), 30)
            print(f"{unit}: there again {took:.1f} s after it was killed")
        gateway.host.check_output("pkill --signal KILL --full '[k]epil.gateway.revocation'")
        opened = gateway.ask(*[{"name": gateway.sites["news"], "seconds": 8}] * 20)
        answers = asked.result()
    print(f"revocation: {sum(each['status'] != 200 for each in opened)} of {len(opened)} new connections failed")
    assert all(each["certificate"] is None or gateway.issued(each["certificate"]) for each in opened)
    for name, each in zip(flows, answers, strict=True):
        print(f"{name}: the longest silence lasted {each['silence']} s")
        assert each["error"] is None, name


def main_process(gateway: Gateway, unit: str) -> str:
    """The number of a unit's process; 0 where there is none that is ready."""
    said = gateway.host.check_output(f"systemctl show {unit} --property=ActiveState,MainPID")
    found = dict(line.split("=") for line in said.splitlines())
    return found["MainPID"] if found["ActiveState"] == "active" else "0"


def runs_anew(gateway: Gateway, unit: str, gone: set[str]) -> bool:
    """Whether a unit has another process than those that are gone."""
    return main_process(gateway, unit) not in gone


KILLED: dict[str, tuple[str, set[str], set[str]]] = {
    # what is killed, which downloads may end with it, and of which kinds what begins may fail until it is back.
    # Where helpers end that were not asked yet Squid ends itself.
    "squid": ("systemctl kill --signal=KILL squid.service", {"spliced", "inspected"}, {"spliced", "inspected"}),
    "clamd": ("systemctl kill --signal=KILL clamav-daemon.service", set(), {"inspected"}),
    "c-icap": ("systemctl kill --signal=KILL c-icap.service", {"inspected"}, {"inspected"}),
    "what decides": ("pkill --signal KILL --full '[k]epil.gateway.helper'", *[{"spliced", "inspected"}] * 2),
    "what makes certificates": (
        "pkill --signal KILL --full '[s]ecurity_file_certgen'",
        *[{"spliced", "inspected"}] * 2,
    ),
}


@pytest.mark.clause("GW-2", "GW-20", "LQ-A3-6")
@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("what", KILLED)
def test_what_is_lost_when_something_in_the_path_is_killed(gateway: Gateway, what: str) -> None:
    """In the midst of downloads, and while others begin. Threats: a question that nobody answers is taken for a yes;
    what cannot be scanned passes; what is exempt is ended to show an error."""
    kill, end, fail = KILLED[what]
    flows: dict[str, dict[str, Any]] = {
        "routed": {"port": 8024, "says": "go on", "lasts": 9},
        "spliced": {"name": gateway.sites["finance"], "path": "/brief"},
        "inspected": {"name": gateway.sites["news"], "path": "/brief"},
    }
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gateway.ask, *({"seconds": 15, **each} for each in flows.values()))
        eventually(lambda: "8024" in gateway.host.check_output("ip netns exec origins ss -Htn state established"))
        harmful = {"name": gateway.sites["news"], "path": "/eicar"}
        began = opened_during(gateway, f"{kill} && sleep 4", harmful=harmful, closed={"name": gateway.sites["games"]})
        under_way = dict(zip(flows, asked.result(), strict=True))
    took = eventually(gateway.passes)
    lost = {kind: [each["error"] or each["status"] for each in began[kind] if each["status"] != 200] for kind in flows}
    lost["routed"] = [each["error"] for each in began["routed"] if each["body"] != "hello\n"]
    of = {kind: len(began[kind]) for kind in flows}
    print(f"{what}, killed: of {of} that began failed {lost}; there again {took:.1f} s after")
    print({kind: (each["error"], each["status"], each["length"], each["silence"]) for kind, each in under_way.items()})
    assert under_way["routed"]["error"] is None
    assert {kind for kind in ("spliced", "inspected") if under_way[kind]["length"] < 90 * len("drop\n")} <= end
    assert {kind for kind, each in lost.items() if each} <= fail
    assert {each["certificate"] for each in began["spliced"]} <= {None, gateway.certificate(gateway.sites["finance"])}
    shown = {each["certificate"] for kind in ("inspected", "harmful", "closed") for each in began[kind]}
    assert [named(each) for each in shown - {None} if not gateway.issued(each)] == []
    assert not [each for each in began["harmful"] if each["status"] == 200]
    assert {each["status"] for each in began["closed"]} <= {None, 403}


@pytest.fixture
def undecided(gateway: Gateway) -> Iterator[None]:
    """What decides takes each question and answers none."""
    script, path = "while read -r channel rest; do echo $channel BH; done", "/usr/local/bin/undecided"
    settle = "squid -k reconfigure && sleep 2"
    gateway.host.check_output(f"printf '#!/bin/sh\n%s\n' {shlex.quote(script)} > {path} && chmod 0755 {path}")
    gateway.host.check_output(
        f"cp -p {SQUID} {SQUID}.kept && sed -i '/^external_acl_type/s|/usr/bin/env .*|{path}|' {SQUID} && {settle}"
    )
    yield
    gateway.host.check_output(f"mv {SQUID}.kept {SQUID} && rm {path} && {settle}")


@pytest.mark.clause("GW-2", "GW-20")
@pytest.mark.usefixtures("restored", "undecided")
def test_a_question_without_an_answer_opens_nothing(gateway: Gateway) -> None:
    """Threat: what decides dies over a question, or is asked too much at once. Squid passes on what no rule of ssl_bump
    holds for, and none holds then."""
    names = [gateway.sites[category] for category in ("news", "games", "finance")]
    for answer in gateway.ask(*({"name": name} for name in names), {"name": names[0], "port": 80}):
        assert (answer["certificate"], answer["status"] == 200) == (None, False)


def test_a_policy_that_is_cut_off_is_not_taken(gateway: Gateway) -> None:
    """Threat: a full disk leaves half a policy; helpers go on with the one before."""
    path = "/etc/kepil/gateway/policy.json"
    policy: dict[str, Any] = json.loads(gateway.host.check_output(f"cat {path}"))
    assert policy["organisations"]
    gateway.host.check_output(f"cp {path} /tmp/policy.json && head -c 500 /tmp/policy.json > {path}")
    try:
        time.sleep(2)
        assert gateway.passes()
        assert gateway.host.run("kepil gateway apply").rc == 1
        assert gateway.users["enrolled"] in gateway.host.check_output("nft list set inet gateway enrolled")
    finally:
        gateway.host.check_output(f"cp /tmp/policy.json {path}")
