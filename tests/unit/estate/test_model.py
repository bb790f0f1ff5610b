"""The estate model refuses what cannot be: each invariant is broken once, and the message names what to mend."""

from __future__ import annotations

from typing import Any

import pytest

from kepil.estate.model import Estate, EstateError


def variables(**changes: Any) -> dict[str, Any]:
    flow = {"from": "ca", "to": "hsm", "protocol": "tcp", "port": 2351, "why": "sign", "clause": "CP-6.2"}
    return {
        "estate_environment": "test",
        "estate_domain": "kepil.test",
        "estate_zones": {
            "vault": {"purpose": "root", "network": None},
            "core": {"purpose": "CA", "network": "198.18.1.0/24"},
            "hsm": {"purpose": "keys", "network": "198.18.2.0/24"},
        },
        "estate_flows": [flow],
        "estate_services": {"pki": "ca"},
    } | changes


GROUPS = {
    "zone_vault": ["root01"],
    "zone_core": ["ca01"],
    "zone_hsm": ["hsm01", "hsm02"],
    "root": ["root01"],
    "ca": ["ca01"],
    "hsm": ["hsm01", "hsm02"],
}
ADDRESSES: dict[str, str | None] = {
    "root01": None,
    "ca01": "198.18.1.11",
    "hsm01": "198.18.2.11",
    "hsm02": "198.18.2.12",
}


def estate(
    values: dict[str, Any] | None = None,
    groups: dict[str, list[str]] = GROUPS,
    addresses: dict[str, str | None] = ADDRESSES,
) -> Estate:
    return Estate.from_variables(values or variables(), groups, addresses)


def test_each_end_of_a_flow_gets_its_rule() -> None:
    made = estate()
    (out,) = made.rules(made.hosts["ca01"])
    assert (out.direction, out.port, [str(p) for p in out.peers]) == ("out", 2351, ["198.18.2.11", "198.18.2.12"])
    (inward,) = made.rules(made.hosts["hsm02"])
    assert (inward.direction, [str(p) for p in inward.peers]) == ("in", ["198.18.1.11"])


def test_a_host_without_a_flow_has_no_rule() -> None:
    made = estate()
    assert made.rules(made.hosts["root01"]) == []


def test_all_reaches_every_host_with_a_network_and_not_itself() -> None:
    flow = {"from": "all", "to": "ca", "protocol": "udp", "port": 123, "why": "time", "clause": "CP-5.4"}
    made = estate(variables(estate_flows=[flow]))
    (rule,) = made.rules(made.hosts["ca01"])
    assert [str(p) for p in rule.peers] == ["198.18.2.11", "198.18.2.12"]
    assert made.rules(made.hosts["root01"]) == []


def test_names_hold_services_on_each_host_that_answers_them() -> None:
    names = {entry["address"]: entry["names"] for entry in estate().names()}
    assert names["198.18.1.11"] == ["ca01.kepil.test", "ca01", "pki.kepil.test"]
    assert "root01" not in str(names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "estate_flows": [
                    {"from": "nobody", "to": "hsm", "protocol": "tcp", "port": 1, "why": "x", "clause": "CP-1"}
                ]
            },
            "nobody",
        ),
        (
            {
                "estate_flows": [
                    {"from": "ca", "to": "root", "protocol": "tcp", "port": 1, "why": "x", "clause": "CP-1"}
                ]
            },
            "root01, which has no network",
        ),
        (
            {"estate_flows": [{"from": "ca", "to": "hsm", "protocol": "tcp", "port": 0, "why": "x", "clause": "CP-1"}]},
            "port",
        ),
        (
            {
                "estate_flows": [
                    {"from": "ca", "to": "hsm", "protocol": "sctp", "port": 1, "why": "x", "clause": "CP-1"}
                ]
            },
            "protocol",
        ),
        (
            {"estate_flows": [{"from": "ca", "to": "hsm", "protocol": "tcp", "port": 1, "why": "", "clause": "CP-1"}]},
            "why",
        ),
        (
            {"estate_flows": [{"from": "ca", "to": "hsm", "protocol": "tcp", "port": 1, "why": "x", "clause": "law"}]},
            "clause",
        ),
        ({"estate_services": {"pki": "nobody"}}, "estate_services: pki: 'nobody'"),
        (
            {"estate_zones": variables()["estate_zones"] | {"core": {"purpose": "CA", "network": "198.18.2.0/25"}}},
            "overlap",
        ),
        (
            {"estate_zones": variables()["estate_zones"] | {"core": {"purpose": "CA", "network": "198.18.1.300/24"}}},
            "network",
        ),
        (
            {"estate_zones": variables()["estate_zones"] | {"core": {"purpose": "CA", "netwrok": "198.18.1.0/24"}}},
            "netwrok",
        ),
    ],
)
def test_wrong_data_is_refused_with_the_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EstateError, match=message):
        estate(variables(**changes))


@pytest.mark.parametrize(
    ("addresses", "message"),
    [
        ({"ca01": None}, "ca01: no estate_address"),
        ({"ca01": "198.18.9.1"}, "ca01: estate_address 198.18.9.1 lies outside"),
        ({"ca01": "198.18.1.1"}, "router"),
        ({"hsm02": "198.18.2.11"}, "already hsm01's"),
        ({"root01": "198.18.1.9"}, "zone 'vault' has no network"),
    ],
)
def test_wrong_addresses_are_refused_with_the_host(addresses: dict[str, str | None], message: str) -> None:
    with pytest.raises(EstateError, match=message):
        estate(addresses=ADDRESSES | addresses)


def test_a_host_stands_in_exactly_one_zone() -> None:
    with pytest.raises(EstateError, match=r"hsm02: stands in 2 zones"):
        estate(groups=GROUPS | {"zone_core": ["ca01", "hsm02"]})
    with pytest.raises(EstateError, match=r"hsm02: stands in 0 zones"):
        estate(groups=GROUPS | {"zone_hsm": ["hsm01"]})


def test_a_missing_key_is_named() -> None:
    values = variables()
    del values["estate_flows"]
    with pytest.raises(EstateError, match=r"estate_flows: not set"):
        estate(values)
