"""The rule set against the flows that the inventory declares."""

from __future__ import annotations

import json
from ipaddress import collapse_addresses, ip_network
from typing import Any, NamedTuple


class Accepted(NamedTuple):
    """What one rule lets through."""

    chain: str
    protocol: str
    port: int
    peers: frozenset[str]
    comment: str


def rule_set(host: Any) -> list[dict[str, Any]]:
    """What the kernel has loaded, as nft tells it."""
    listed: list[dict[str, Any]] = json.loads(host.check_output("nft --json list ruleset"))["nftables"]
    return listed


def networks(value: Any) -> frozenset[str]:
    """Addresses and networks that a rule matches, as the inventory writes them."""
    listed = value["set"] if isinstance(value, dict) and "set" in value else [value]
    return frozenset(
        f"{each['prefix']['addr']}/{each['prefix']['len']}" if isinstance(each, dict) else each for each in listed
    )


def accepted(rule: dict[str, Any]) -> Accepted | None:
    """The rule's meaning if it accepts by address and port."""
    matches = {
        match["left"]["payload"]["field"]: (match["left"]["payload"]["protocol"], match["right"])
        for match in (part["match"] for part in rule["expr"] if "match" in part)
        if "payload" in match["left"]
    }
    if not any("accept" in part for part in rule["expr"]) or "dport" not in matches:
        return None
    protocol, port = matches["dport"]
    peers = matches.get("saddr", matches.get("daddr", (None, "anyone")))[1]
    return Accepted(rule["chain"], protocol, port, networks(peers), rule.get("comment", ""))


def test_the_loaded_rules_are_the_declared_flows(host: Any, variables: dict[str, Any]) -> None:
    """CP-6.7: a connection that nobody declared is not possible, and one that is declared is."""
    expected = {
        Accepted(
            {"in": "input", "out": "output"}[rule["direction"]],
            rule["protocol"],
            rule["port"],
            frozenset(rule["peers"]),
            f"{rule['clause']}: {rule['why']}"[:120],
        )
        for rule in variables["estate_rules"]
    }
    loaded = {found for entry in rule_set(host) if "rule" in entry and (found := accepted(entry["rule"]))}
    missing, surplus = expected - loaded, loaded - expected
    assert (missing, surplus) == (set(), set()), f"missing: {missing}\nsurplus: {surplus}"


def test_what_no_rule_accepts_is_dropped(host: Any) -> None:
    """Threat: a chain that ends without a verdict lets everything through."""
    policies = {entry["chain"]["hook"]: entry["chain"]["policy"] for entry in rule_set(host) if "chain" in entry}
    assert policies == {"input": "drop", "output": "drop", "forward": "drop"}


def test_nothing_else_is_accepted(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a rule that nobody asked for opens the host. Beside the flows, and only where there are any: what belongs
    to a connection, the errors of RFC 4890 section 4.4.1, and echo along the flows."""
    others = [
        f"{entry['rule']['chain']} {json.dumps(entry['rule']['expr'])}"
        for entry in rule_set(host)
        if "rule" in entry and "accept" in json.dumps(entry["rule"]["expr"]) and not accepted(entry["rule"])
    ]
    expected = []
    for chain, direction in (("input", "in"), ("output", "out")):
        expected.append((chain, '"lo"'))
        if variables["estate_rules"]:
            expected += [(chain, '"established"'), (chain, "parameter-problem")]
        if any(rule["direction"] == direction for rule in variables["estate_rules"]):
            expected.append((chain, "echo-request"))
    assert len(others) == len(expected), others
    for found, (chain, word) in zip(others, expected, strict=True):
        assert found.startswith(chain)
        assert word in found


def test_who_may_ask_for_an_echo_has_a_flow(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a host that was broken into finds its neighbours by asking all addresses."""
    for entry in rule_set(host):
        if "rule" not in entry or "echo-request" not in json.dumps(entry["rule"]):
            continue
        direction, field = {"input": ("in", "saddr"), "output": ("out", "daddr")}[entry["rule"]["chain"]]
        matches = [part["match"] for part in entry["rule"]["expr"] if "match" in part]
        asked = next(m["right"] for m in matches if m["left"].get("payload", {}).get("field") == field)
        peers = {peer for rule in variables["estate_rules"] if rule["direction"] == direction for peer in rule["peers"]}
        assert {ip_network(each) for each in networks(asked)} == set(collapse_addresses(map(ip_network, peers)))


def test_the_rules_come_back_with_the_host(host: Any) -> None:
    """Threat: a host that restarts is open."""
    assert host.service("nftables").is_enabled


def test_a_file_that_cannot_be_loaded_leaves_the_rules_in_force(host: Any) -> None:
    """Threat: a mistake in the rules opens the host."""
    before = host.check_output("nft --stateless list ruleset")
    broken = "flush ruleset\\ntable inet estate { chain input { tcp dport nowhere accept } }\\n"
    host.run_expect([1], f"printf '{broken}' | nft --file -")
    assert host.check_output("nft --stateless list ruleset") == before
