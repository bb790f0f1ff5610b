"""Each invariant is broken once: no inventory may bring strangers near a key."""

from __future__ import annotations

from typing import Any

import pytest

from kepil.estate.invariants import UNTRUSTED
from kepil.estate.model import Estate, EstateError

ZONES = {
    "vault": [],
    **{
        name: [f"198.18.{number}.0/24"]
        for number, name in enumerate(
            (
                "hsm",
                "core",
                "status",
                "registration",
                "branches",
                "edge",
                "mail",
                "management",
                "organisations",
                "internet",
            )
        )
    },
}
GROUPS = {f"zone_{name}": [f"{name}01"] for name in ZONES} | {f"{name}_kind": [f"{name}01"] for name in ZONES}


def estate(*flows: tuple[str, str], forwarding: tuple[str, ...] = (), **zones: dict[str, Any]) -> Estate:
    """An estate of one host a zone; a flow from and to `ZONE_kind`."""
    declared = [
        {"from": f"{a}_kind", "to": f"{b}_kind", "protocol": "tcp", "port": 1, "why": "test", "clause": "CP-6.7"}
        for a, b in flows
    ]
    variables: dict[str, Any] = {
        "estate_environment": "test",
        "estate_domain": "kepil.test",
        "estate_zones": {
            name: {"purpose": name, "subnets": subnets} | zones.get(name, {}) for name, subnets in ZONES.items()
        },
        "estate_flows": declared,
        "estate_services": {},
    }
    standing = {name: zone["subnets"] for name, zone in variables["estate_zones"].items()}
    hosts = {f"{name}01": ({"estate_hostnum": 11} if subnets else {}) for name, subnets in standing.items()}
    return Estate.from_variables(variables, GROUPS | {"forwarding": [f"{name}01" for name in forwarding]}, hosts)


def test_what_the_design_needs_is_possible() -> None:
    estate(("core", "hsm"), ("status", "hsm"), ("registration", "core"), ("organisations", "status"))


@pytest.mark.clause("CP-6.7")
def test_a_root_with_a_network() -> None:
    with pytest.raises(EstateError, match="vault: holds the root and has no network at all"):
        estate(vault={"subnets": ["198.18.99.0/24"]})


@pytest.mark.clause("CP-6.7")
def test_a_root_with_a_flow() -> None:
    with pytest.raises(EstateError, match="vault01, which has no network"):
        estate(("vault", "core"))


@pytest.mark.clause("CP-6.7")
@pytest.mark.parametrize("stranger", UNTRUSTED)
def test_a_stranger_that_reaches_the_core(stranger: str) -> None:
    with pytest.raises(EstateError, match=f"zone core is reached from {stranger};"):
        estate((stranger, "core"))


@pytest.mark.clause("CP-6.7")
def test_strangers_without_a_host_of_their_own() -> None:
    """In production nobody of the internet is in the inventory."""
    with pytest.raises(EstateError, match="zone core is reached from internet;"):
        estate(("registration", "core"), internet={"outsiders": "registration_kind"})


@pytest.mark.clause("CP-6.7")
def test_a_stranger_that_comes_through_hosts_that_forward() -> None:
    flows = (("internet", "edge"), ("edge", "management"), ("management", "core"))
    with pytest.raises(EstateError, match="zone core is reached from internet by edge by management;"):
        estate(*flows, forwarding=("edge", "management"))
    estate(*flows)


@pytest.mark.clause("CP-6.2")
@pytest.mark.parametrize("client", ["management", "registration"])
def test_only_who_needs_a_key_reaches_an_hsm(client: str) -> None:
    if client == "registration":
        estate((client, "hsm"))
        return
    with pytest.raises(EstateError, match="only hosts of status, core, registration that need a key reach zone hsm"):
        estate((client, "hsm"))


def test_operators_log_in_to_an_hsm_host_without_being_its_client() -> None:
    made = estate(hsm={"administered_from": ["management_kind"]})
    assert [rule.port for rule in made.rules(made.hosts["hsm01"])] == [22]
    with pytest.raises(EstateError, match="zone hsm is reached from mail"):
        estate(hsm={"administered_from": ["mail_kind"]})
