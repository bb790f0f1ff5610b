"""The rule set against the flows that the inventory declares."""

from __future__ import annotations

import json
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
    listed = peers["set"] if isinstance(peers, dict) else [peers]
    return Accepted(rule["chain"], protocol, port, frozenset(listed), rule.get("comment", ""))


def test_the_loaded_rules_are_the_declared_flows(host: Any, variables: dict[str, Any]) -> None:
    """CP-6.7: a connection that nobody declared is not possible, and one that is declared is."""
    expected = {
        Accepted(
            {"in": "input", "out": "output"}[rule["direction"]],
            rule["protocol"],
            rule["port"],
            frozenset(rule["peers"]),
            f"{rule['clause']}: {rule['why']}",
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


def test_nothing_else_is_accepted(host: Any) -> None:
    """Threat: a rule added by hand or by another program opens the host."""
    others = [
        entry["rule"]["expr"]
        for entry in rule_set(host)
        if "rule" in entry and "accept" in json.dumps(entry["rule"]["expr"]) and not accepted(entry["rule"])
    ]
    known = [expr for expr in others if '"lo"' in json.dumps(expr) or '"ct"' in json.dumps(expr)]
    assert len(known) == 4, "loopback and established connections, each way"
    assert others == known


def test_the_rules_come_back_with_the_host(host: Any) -> None:
    """Threat: a host that restarts is open."""
    assert host.service("nftables").is_enabled


def test_a_file_that_cannot_be_loaded_leaves_the_rules_in_force(host: Any) -> None:
    """Threat: a mistake in the rules opens the host."""
    before = host.check_output("nft --stateless list ruleset")
    broken = "flush ruleset\\ntable inet estate { chain input { tcp dport nowhere accept } }\\n"
    host.run_expect([1], f"printf '{broken}' | nft --file -")
    assert host.check_output("nft --stateless list ruleset") == before
