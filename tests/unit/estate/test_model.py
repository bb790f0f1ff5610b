"""The estate model refuses what cannot be: each invariant is broken once, and the message names what to mend."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from kepil.estate.model import Estate, EstateError


def variables(**changes: Any) -> dict[str, Any]:
    flow = {"from": "ca", "to": "hsm", "protocol": "tcp", "port": 2351, "why": "sign", "clause": "CP-6.2"}
    return {
        "estate_environment": "test",
        "estate_domain": "kepil.test",
        "estate_zones": {
            "vault": {"purpose": "root", "subnets": []},
            "core": {"purpose": "CA", "subnets": ["198.18.1.0/24"]},
            "hsm": {"purpose": "keys", "subnets": ["198.18.2.0/24"]},
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
HOSTS: dict[str, dict[str, Any]] = {
    "root01": {},
    "ca01": {"estate_hostnum": 11},
    "hsm01": {"estate_hostnum": 11},
    "hsm02": {"estate_hostnum": 12},
}


def estate(
    values: dict[str, Any] | None = None,
    groups: dict[str, list[str]] = GROUPS,
    hosts: dict[str, dict[str, Any]] = HOSTS,
) -> Estate:
    return Estate.from_variables(values or variables(), groups, hosts)


def test_each_end_of_a_flow_gets_its_rule() -> None:
    made = estate()
    (out,) = made.rules(made.hosts["ca01"])
    assert (out.direction, out.port, out.model_dump(mode="json")["peers"]) == (
        "out",
        2351,
        ["198.18.2.11", "198.18.2.12"],
    )
    (inward,) = made.rules(made.hosts["hsm02"])
    assert (inward.direction, inward.model_dump(mode="json")["peers"]) == ("in", ["198.18.1.11"])


def test_a_host_without_a_flow_has_no_rule() -> None:
    made = estate()
    assert made.rules(made.hosts["root01"]) == []


def test_all_reaches_every_host_with_a_network_and_not_itself() -> None:
    flow = {"from": "all", "to": "ca", "protocol": "udp", "port": 123, "why": "time", "clause": "CP-5.4"}
    made = estate(variables(estate_flows=[flow]))
    (rule,) = made.rules(made.hosts["ca01"])
    assert rule.model_dump(mode="json")["peers"] == ["198.18.2.11", "198.18.2.12"]
    assert made.rules(made.hosts["root01"]) == []


VRRP = {"from": "pair", "to": "pair", "protocol": "vrrp", "why": "One address", "clause": "GW-2"}
PAIR = GROUPS | {"zone_core": ["ca01", "gw01", "gw02"], "pair": ["gw01", "gw02"]}
WITH_PAIR = HOSTS | {"gw01": {"estate_hostnum": 21}, "gw02": {"estate_hostnum": 22}}


def test_vrrp_is_spoken_between_the_hosts_of_one_group() -> None:
    """RFC 5798: two gateways hold one address together; nobody else may take part."""
    made = estate(variables(estate_flows=[VRRP]), PAIR, WITH_PAIR)
    rules = [rule.model_dump(mode="json") for rule in made.rules(made.hosts["gw01"])]
    assert [(rule["direction"], rule["protocol"], rule["port"], rule["peers"]) for rule in rules] == [
        ("in", "vrrp", None, ["198.18.1.22"]),
        ("out", "vrrp", None, ["198.18.1.22"]),
    ]
    assert made.rules(made.hosts["ca01"]) == []


@pytest.mark.parametrize(
    "changes", [{"port": 112}, {"to": "ca"}, {"protocol": "udp"}, {"protocol": "tcp"}, {"protocol": "esp", "port": 50}]
)
def test_a_flow_that_is_half_vrrp_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EstateError, match="estate_flows"):
        estate(variables(estate_flows=[VRRP | changes]), PAIR, WITH_PAIR)


TAKEN = {
    "from": "user",
    "to": "gate",
    "on_the_way_to": "world",
    "protocol": "tcp",
    "port": 443,
    "why": "Out",
    "clause": "GW-2",
}
ONWARD = {"from": "gate", "to": "world", "protocol": "tcp", "port": 443, "why": "Fetches", "clause": "GW-2"}
BETWEEN = {
    "estate_zones": {
        "users": {"purpose": "users", "subnets": ["198.18.10.0/24"], "outsiders": "user"},
        "edge": {"purpose": "gates", "subnets": ["198.18.7.0/24"]},
        "world": {"purpose": "sites", "subnets": ["198.18.11.0/24"], "outsiders": "world"},
    },
    "estate_flows": [TAKEN, ONWARD],
    "estate_services": {},
}
BETWEEN_GROUPS = {
    **{"zone_users": ["user01"], "zone_edge": ["gate01"], "zone_world": ["web01"]},
    **{"user": ["user01"], "gate": ["gate01"], "world": ["web01"]},
}
LINKED = {"estate_hostnum": 11, "estate_links": {"users": 251, "world": 251}}
BETWEEN_HOSTS = {
    "user01": {"estate_hostnum": 11, "estate_routes": {"world": 251}},
    "gate01": LINKED,
    "web01": {"estate_hostnum": 11, "estate_routes": {"users": 251}},
}


def between(hosts: dict[str, dict[str, Any]] = BETWEEN_HOSTS, **changes: Any) -> Estate:
    """A gate between users and the world."""
    return estate(variables(**BETWEEN | changes), BETWEEN_GROUPS, hosts)


def test_packets_that_a_gate_takes_bear_the_addresses_of_those_at_both_ends() -> None:
    """The user's host lets them out to the world, the gate and the world's host let them in from the user."""
    made = between()
    rules = {
        name: [
            (each["direction"], each["peers"]) for each in (rule.model_dump(mode="json") for rule in made.rules(host))
        ]
        for name, host in made.hosts.items()
    }
    assert rules == {
        "user01": [("out", ["198.18.11.0/24"])],
        "gate01": [("in", ["198.18.10.0/24"]), ("out", ["198.18.11.0/24"])],
        "web01": [("in", ["198.18.10.0/24"]), ("in", ["198.18.11.251"])],
    }


def test_a_host_that_stands_in_further_zones_is_known_there_by_its_address_there() -> None:
    made = between(estate_flows=[ONWARD, ONWARD | {"from": "user", "to": "gate"}])
    assert [rule.model_dump(mode="json")["peers"] for rule in made.rules(made.hosts["user01"])] == [["198.18.10.251"]]
    assert [str(peer) for peer in made.peers("gate")] == ["198.18.7.11/32"]
    assert str(made.hosts["user01"].routes["world"]) == "198.18.10.251"


@pytest.mark.parametrize(
    ("host", "stated", "message"),
    [
        ("gate01", LINKED | {"estate_links": {"nowhere": 5}}, "gate01: estate_links: nowhere: 'nowhere' is no zone"),
        ("gate01", LINKED | {"estate_links": {"users": 11}}, "198.18.10.11 is already"),
        ("gate01", LINKED | {"estate_links": {"users": 255}}, "estate_links: users is 255; choose a free number"),
        ("user01", {"estate_hostnum": 11, "estate_routes": {"nowhere": 2}}, "user01: estate_routes: nowhere"),
    ],
)
def test_a_link_or_a_route_that_leads_nowhere_is_refused(host: str, stated: dict[str, Any], message: str) -> None:
    with pytest.raises(EstateError, match=message):
        between(BETWEEN_HOSTS | {host: stated})


def test_a_flow_on_the_way_to_nobody_is_refused() -> None:
    with pytest.raises(EstateError, match="on_the_way_to: 'nobody' is no group"):
        between(estate_flows=[TAKEN | {"on_the_way_to": "nobody"}])


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
            {"estate_zones": variables()["estate_zones"] | {"core": {"purpose": "CA", "subnets": ["198.18.2.0/25"]}}},
            "overlap",
        ),
        (
            {"estate_zones": variables()["estate_zones"] | {"core": {"purpose": "CA", "subnets": ["198.18.1.300/24"]}}},
            "core: subnets",
        ),
        (
            {"estate_zones": variables()["estate_zones"] | {"core": {"purpose": "CA", "subnet": ["198.18.1.0/24"]}}},
            "core: subnet",
        ),
    ],
)
def test_wrong_data_is_refused_with_the_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EstateError, match=message):
        estate(variables(**changes))


@pytest.mark.parametrize(
    ("host", "stated", "message"),
    [
        ("ca01", {}, "ca01: estate_hostnum is not set; choose a free number from 2 to 254 in 198.18.1.0/24"),
        ("ca01", {"estate_hostnum": 255}, "ca01: estate_hostnum is 255; choose"),
        ("ca01", {"estate_hostnum": 1}, "ca01: estate_hostnum: .*greater than or equal to 2"),
        ("ca01", {"estate_hostnum": "11"}, "ca01: estate_hostnum: .*valid integer .holds '11'"),
        ("hsm02", {"estate_hostnum": 11}, "hsm02: its address 198.18.2.11 is already hsm01's"),
        ("root01", {"estate_hostnum": 9}, "root01: estate_hostnum 9, but zone 'vault' has no network"),
        (
            "ca01",
            {"estate_hostnum": 11, "estate_container_host": "hsm01"},
            "'hsm01' is no host of group container_host",
        ),
    ],
)
def test_wrong_hosts_are_refused_by_name(host: str, stated: dict[str, Any], message: str) -> None:
    with pytest.raises(EstateError, match=message) as refusal:
        estate(hosts=HOSTS | {host: stated})
    assert refusal.value.subject == host


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


def zones(**changes: dict[str, Any]) -> dict[str, Any]:
    return variables()["estate_zones"] | changes  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ({"subnets": ["198.18.7.0/24", "198.18.8.0/24"]}, "more: .*has one subnet, or none"),
        ({"subnets": ["0.0.0.0/0"]}, "more: .*has one subnet, or none"),
        ({"subnets": [], "vlan": 7}, "more: .*without a subnet has no vlan"),
        ({"subnets": ["198.18.7.0/24"], "vlan": 4095}, "more: vlan"),
        ({"subnets": ["198.18.7.0/24"], "outsiders": "nobody"}, "more: 'nobody' is no group"),
        ({"subnets": ["198.18.7.0/24"], "administered_from": ["nobody"]}, "more: 'nobody' is no group"),
    ],
)
def test_wrong_zones_are_refused_by_name(zone: dict[str, Any], message: str) -> None:
    with pytest.raises(EstateError, match=message) as refusal:
        estate(variables(estate_zones=zones(more={"purpose": "more"} | zone)))
    assert refusal.value.subject == "estate_zones"


def test_a_vlan_is_one_zones() -> None:
    tagged = {name: zone | {"vlan": 7} for name, zone in zones().items() if zone["subnets"]}
    with pytest.raises(EstateError, match="vlan 7 is core's"):
        estate(variables(estate_zones=zones(**tagged)))


def test_whoever_stands_in_a_zone_with_outsiders_is_a_peer() -> None:
    flow = {"from": "anyone", "to": "ca", "protocol": "tcp", "port": 80, "why": "ask", "clause": "CP-2.1"}
    made = estate(
        variables(
            estate_zones=zones(world={"purpose": "all", "subnets": ["0.0.0.0/0"], "outsiders": "anyone"}),
            estate_flows=[flow],
        ),
        GROUPS | {"anyone": []},
    )
    (rule,) = made.rules(made.hosts["ca01"])
    assert rule.direction == "in"
    assert sum(peer.num_addresses for peer in rule.peers) == 2**32 - 2 * 256, "everyone but the estate's own zones"
    assert not any(
        peer.overlaps(ip_network(zone)) for peer in rule.peers for zone in ("198.18.1.0/24", "198.18.2.0/24")
    )


def test_a_host_inside_the_outsiders_network_is_named_once() -> None:
    flow = {"from": "ca", "to": "hsm", "protocol": "tcp", "port": 2351, "why": "sign", "clause": "CP-6.2"}
    core = zones()["core"] | {"outsiders": "ca"}
    made = estate(variables(estate_zones=zones(core=core), estate_flows=[flow]))
    (rule,) = made.rules(made.hosts["hsm01"])
    assert rule.model_dump(mode="json")["peers"] == ["198.18.1.0/24"]


def test_operators_come_by_ssh_from_the_groups_that_administer_a_zone() -> None:
    made = estate(variables(estate_zones=zones(hsm=zones()["hsm"] | {"administered_from": ["ca"]})))
    (_, administration) = made.rules(made.hosts["hsm01"])
    dumped = administration.model_dump(mode="json")
    assert (dumped["direction"], dumped["port"], dumped["peers"]) == ("in", 22, ["198.18.1.11"])


def test_networks_may_be_stated_beside_the_zones() -> None:
    made = estate(variables(estate_networks={"core": {"subnets": ["198.18.7.0/24"], "vlan": 7}}))
    assert str(made.hosts["ca01"].address) == "198.18.7.11"
    assert made.zones["core"].vlan == 7


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({"nowhere": {"subnets": []}}, "estate_networks: 'nowhere' is no zone; there are vault, core, hsm"),
        ({"core": ["198.18.7.0/24"]}, "estate_networks: core: holds"),
        ({"core": {"purpose": "another"}}, "estate_networks: core: holds"),
    ],
)
def test_wrong_networks_are_refused(networks: dict[str, Any], message: str) -> None:
    with pytest.raises(EstateError, match=message) as refusal:
        estate(variables(estate_networks=networks))
    assert refusal.value.subject == "estate_networks"
