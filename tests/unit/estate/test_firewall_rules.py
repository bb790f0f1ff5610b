"""How rules are loaded and confirmed, by the commands that the module runs, and what the template makes of flows."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.firewall_template import rendered

TABLE = "table inet estate { }\n"
WANTED = f"flush ruleset\n{TABLE}"
RESET = "table inet estate\ndelete table inet estate\n"
RESOLVER = 'table ip nat { chain DOCKER_OUTPUT { ip daddr 127.0.0.11 xt target "DNAT" } }\n'
FOREIGN = 'table ip filter { chain INPUT { type filter hook input priority 0; xt match "comment" accept } }\n'
OLD = "table inet old { }\n"
ONE = {"nft list tables": (0, "table inet estate", "")}


Answer = tuple[int, str, str]


class RefusedError(Exception):
    """What the module's fail_json ends with."""


class Host:
    """Stands for AnsibleModule: answers commands from a table, by the beginning of their text, and remembers them."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.params: dict[str, Any] = {"rules": WANTED}
        self.answers = {"systemctl is-active": (3, "inactive", "")} | answers
        self.commands: list[str] = []
        self.given: dict[str, str] = {}

    def run_command(self, command: str, data: str = "", check_rc: bool = False) -> Answer:
        self.commands.append(command)
        self.given[command] = data
        answer = next((self.answers[begins] for begins in self.answers if command.startswith(begins)), (0, "", ""))
        if check_rc and answer[0]:
            self.fail_json(answer[2])
        return answer

    def get_bin_path(self, name: str) -> str | None:
        return None if name in self.params.get("missing", ()) else f"/usr/sbin/{name}"

    def atomic_move(self, source: str, destination: str) -> None:
        Path(source).replace(destination)

    def fail_json(self, msg: str) -> None:
        raise RefusedError(msg)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, with its files in a folder of the test."""
    specification = importlib.util.spec_from_file_location("rules", PROJECT / "roles/base/library/firewall_rules.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "CONFIRMED", tmp_path / "nftables.conf")
    monkeypatch.setattr(module, "PREVIOUS", tmp_path / "previous.nft")
    return module


@pytest.fixture
def firewall(library: ModuleType) -> Callable[[dict[str, Answer]], tuple[Any, Host]]:
    """A host that answers commands as told, and the rules wanted there."""

    def make(answers: dict[str, Answer]) -> tuple[Any, Host]:
        host = Host(answers)
        return library.Firewall(host), host

    return make


def test_the_way_back_is_set_before_the_rules_are_loaded(firewall: Any, library: ModuleType) -> None:
    made, host = firewall({"nft list tables": (0, "table inet old", ""), "nft list table inet old": (0, OLD, "")})
    made.load(60)
    timer = next(at for at, command in enumerate(host.commands) if command.startswith("systemd-run"))
    assert timer < host.commands.index("nft --file -")
    assert "--on-active=60" in host.commands[timer]
    assert library.PREVIOUS.read_text() == f"{RESET}{OLD}"
    assert host.given["nft --file -"] == f"table inet old\ndelete table inet old\n{TABLE}"
    assert f"nft --check --file {library.PREVIOUS}" in host.commands[:timer]
    assert not library.CONFIRMED.exists()


def test_rules_that_cannot_be_loaded_leave_no_timer(firewall: Any) -> None:
    made, host = firewall({"nft --file": (1, "", "no such thing")})
    with pytest.raises(RefusedError, match=r"rules in force stay: .* no such thing"):
        made.load(60)
    assert host.commands[-1] == "systemctl stop kepil-firewall-rollback.timer"


def test_rules_that_wait_for_confirmation_are_not_what_others_go_back_to(firewall: Any, library: ModuleType) -> None:
    made, host = firewall({"systemctl is-active": (0, "active", "")})
    with pytest.raises(RefusedError, match="wait for their confirmation"):
        made.load(60)
    assert not library.PREVIOUS.exists()
    assert "nft --file -" not in host.commands


def test_a_container_engines_resolver_is_not_restored(firewall: Any, library: ModuleType) -> None:
    made, _ = firewall({"nft list tables": (0, "table ip nat", ""), "nft list table ip nat": (0, RESOLVER, "")})
    made.load(60)
    assert library.PREVIOUS.read_text() == RESET


def test_a_filter_that_could_not_be_restored_stays(firewall: Any) -> None:
    made, host = firewall({"nft list tables": (0, "table ip filter", ""), "nft list table ip filter": (0, FOREIGN, "")})
    with pytest.raises(RefusedError, match="table ip filter was made by iptables"):
        made.load(60)
    assert "nft --file -" not in host.commands


def test_only_rules_in_force_are_confirmed(firewall: Any, library: ModuleType) -> None:
    made, host = firewall({**ONE, "nft --stateless": (0, OLD, ""), "unshare": (0, WANTED, "")})
    with pytest.raises(RefusedError, match="no longer in force"):
        made.confirm()
    assert not library.CONFIRMED.exists()
    host.answers["nft --stateless"] = (0, WANTED, "")
    made.confirm()
    assert library.CONFIRMED.read_text() == WANTED
    assert library.CONFIRMED.stat().st_mode & 0o777 == 0o600
    assert host.commands[-4].startswith("systemctl stop"), "the timer cannot run out between the look and the writing"


def test_what_differs_is_shown_for_the_file_and_for_the_kernel(firewall: Any, library: ModuleType) -> None:
    made, host = firewall({**ONE, "nft --stateless": (0, WANTED, ""), "unshare": (0, WANTED, "")})
    library.CONFIRMED.write_text(WANTED)
    assert made.compare() == []
    host.answers["nft --stateless"] = (0, OLD, "")
    assert [(found["before_header"], found["before"]) for found in made.compare()] == [("the rules in force", OLD)]
    library.CONFIRMED.write_text(OLD)
    assert len(made.compare()) == 2


def test_a_host_without_nft_has_no_rules_yet(firewall: Any) -> None:
    made, host = firewall({})
    host.params["missing"] = ["nft"]
    assert [(found["before"], found["after"]) for found in made.compare()] == [("", WANTED)]


def rule(**changes: Any) -> dict[str, Any]:
    stated = {"direction": "in", "protocol": "tcp", "port": 80, "peers": ["198.18.10.0/24", "198.18.3.11"]}
    return {**stated, "why": "Anyone asks", "clause": "CP-2.2", **changes}


def test_peers_are_addresses_and_networks() -> None:
    text = rendered({"estate_rules": [rule(), rule(port=81, peers=["198.18.3.11"])]})
    assert "ip saddr { 198.18.10.0/24, 198.18.3.11 } tcp dport 80 ct state new counter accept" in text
    assert "ip saddr { 198.18.10.0/24, 198.18.3.11 } icmp type echo-request" in text
    assert "daddr" not in text


def test_hosts_that_hold_an_address_together_hear_each_other() -> None:
    """RFC 5798: VRRP is an IP protocol of its own, without ports."""
    text = rendered({"estate_rules": [rule(protocol="vrrp", port=None, peers=["198.18.8.12"])]})
    assert "ip saddr { 198.18.8.12 } meta l4proto 112 ct state new counter accept" in text
    assert "None" not in text


def test_a_reason_cannot_become_a_rule() -> None:
    """nft ends a comment at a quotation mark or a line's end, and takes 127 bytes."""
    text = rendered({"estate_rules": [rule(why='out"\n    accept # ' + "Ұлттық " * 40)]})
    comment = re.search(r'tcp dport 80 .* comment "(.*)"\n', text)
    assert comment
    assert comment[1].startswith("CP-2.2: out' accept # Ұлттық")
    assert len(comment[1].encode()) <= 120


def test_a_host_without_flows_has_loopback_alone() -> None:
    lines = [line.strip() for line in rendered({"estate_rules": []}).splitlines()]
    assert [line for line in lines if "accept" in line] == ['iifname "lo" accept', 'oifname "lo" accept']
    assert sum("policy drop" in line for line in lines) == 3


def test_a_table_that_another_role_keeps_is_left_alone(firewall: Any, library: ModuleType) -> None:
    """Threat: a load takes the gateway's table away, or its way back renews elements whose time is over. And whatever
    else stands beside it is found, and goes."""
    library.CONFIRMED.write_text(WANTED)
    for beside, touches in ((["inet gateway"], False), ([], True), (["inet gate"], True)):
        made, host = firewall(
            {
                "nft list tables": (0, "table inet gateway\ntable inet estate", ""),
                "nft --stateless list table inet gateway": (0, "table inet gateway { }\n", ""),
                "nft --stateless list table inet estate": (0, WANTED, ""),
                "nft list table inet gateway": (0, "table inet gateway { old }\n", ""),
                "unshare": (0, WANTED, ""),
            }
        )
        host.params["beside"] = beside
        assert bool(made.compare()) is touches
        made.load(60)
        assert ("delete table inet gateway" in host.given["nft --file -"]) is touches
        assert ("inet gateway" in library.PREVIOUS.read_text()) is touches
        assert "flush" not in host.given["nft --file -"] + library.PREVIOUS.read_text()


def test_a_text_that_would_flush_others_twice_or_nothing_is_refused(firewall: Any) -> None:
    """Threat: rules that are added to those before, and not put in their place."""
    for text in (TABLE, f"flush ruleset\n{WANTED}"):
        made, host = firewall({})
        made.wanted = text
        with pytest.raises(RefusedError, match="must hold 'flush ruleset' once"):
            made.load(60)
        assert "nft --file -" not in host.commands


def test_a_start_flushes_everything() -> None:
    """Threat: a container engine's table stays after a restart."""
    assert rendered({"estate_rules": []}).count("flush ruleset\n") == 1


def test_only_marked_packets_are_let_through() -> None:
    assert "mark" not in rendered({"estate_rules": []})
    chain = rendered({"estate_rules": [], "base_firewall_forward_mark": "0x2"}).partition("chain forward")[2]
    assert "policy drop" in chain
    assert "meta mark 0x2 ct state new counter accept" in chain
