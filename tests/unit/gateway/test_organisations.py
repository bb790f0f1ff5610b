"""GW-15: an organisation's file is right as a whole, or refused with file, line and remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from shutil import copytree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepil.gateway.category import Categories
from kepil.gateway.located import GatewayError
from kepil.gateway.organisation import last_day
from kepil.gateway.organisations import Ground, Links, read_organisations
from kepil.gateway.settings import read_policy_file
from tests.unit.gateway.conftest import BIN, OTHER_BIN, PROJECT, organisation

Write = Callable[..., Path]
GROUND = Ground({"telecom": Links([IPv4Network("198.18.0.0/15")], "gateway.yml:4")})


def refused(place: Path, categories: Categories, reason: str) -> None:
    with pytest.raises(GatewayError, match=reason):
        read_organisations(place, categories, GROUND)


def test_a_right_file_is_read(write: Write, categories: Categories) -> None:
    path = write()
    found = read_organisations(path.parent, categories, GROUND)["ministry"]
    assert found.holds(IPv4Address("198.18.12.1"))
    assert not found.holds(IPv4Address("198.18.12.128"))
    assert found.exceptions[0].covers(IPv4Address("203.0.113.7"), "udp", 500)
    assert not found.exceptions[0].covers(IPv4Address("203.0.113.7"), "tcp", 500)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            BIN,
            "180540012344",
            r"ministry.yml:2: bin: '180540012344' is no BIN: twelve digits, the last the check digit",
        ),
        (f'"{BIN}"', "180540", r"ministry.yml:2: bin: '180540' is no BIN"),
        ("198.18.12.0/25", "198.18.12.1/25", r"ministry.yml:7: networks.1: .*host bits"),
        ("198.18.12.0/25", "0.0.0.0/0", r"ministry.yml:7: networks.1: 0.0.0.0/0 is broader than /8"),
        ("198.18.12.0/25", "198.18.10.7", r"ministry.yml:7: 198.18.10.7/32 overlaps 198.18.10.0/24 at .*yml:6"),
        ("finance", "finanse", r"ministry.yml:8: 'finanse' is no category that can be allowed; there are adult,"),
        ("finance", "malware", r"ministry.yml:8: 'malware' is no category that can be allowed"),
        ("finance", "encrypted-names", r"ministry.yml:8: 'encrypted-names' is no category that can be allowed"),
        (
            "valid_until: 2027-11-20",
            "valid_until: 2026-11-20",
            r"ministry.yml:16: valid_until: 2026-11-20 is before valid_from 2026-11-21",
        ),
        (
            "valid_until: 2027-11-20",
            "valid_until: 2027-11-21",
            r"yml:16: .* is later than 2027-11-20: .* calendar year",
        ),
        (
            "valid_until: 2027-11-20",
            "valid_until: 20.11.2027",
            r"yml:16: valid_until: '20.11.2027' is no date",
        ),
        (
            "valid_until: 2027-11-20",
            "valid_until: 1800000000",
            r"yml:16: valid_until: '1800000000' is no date",
        ),
        ("operator: telecom", "operator: nobody", r"ministry.yml:3: 'nobody' is not in gateway_operators \(telecom\)"),
        (
            "198.18.12.0/25",
            "203.0.113.0/25",
            r"yml:7: 203.0.113.0/25 is not in .* of operator telecom at gateway.yml:4;",
        ),
        ("protocol: udp", "protocol: gre", r"ministry.yml:12: exceptions.0.protocol: Input should be 'tcp' or 'udp'"),
        ("port: 500", "ports: 500", r"ministry.yml:13: exceptions.0.ports: Extra inputs are not permitted"),
        ("operator: telecom\n", "operator: telecom\noperator: telecom\n", "key 'operator' is stated twice"),
        ("name: Ministry", "name: \u202eMinistry", "a character that cannot be seen"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    write: Write, categories: Categories, old: str, new: str, reason: str
) -> None:
    refused(write(words={old: new}).parent, categories, reason)


def test_two_organisations_share_no_address(write: Write, categories: Categories) -> None:
    """Threat: who enrols another's network has its traffic inspected, or opened."""
    write()
    other = write("academy", {BIN: OTHER_BIN, "198.18.10.0/24": "198.18.10.128/25", "198.18.12.0/25": "198.18.13.0/24"})
    refused(other.parent, categories, r"academy.yml:6: 198.18.10.128/25 overlaps 198.18.10.0/24 at .*ministry.yml:6")


def test_an_organisation_has_one_file(write: Write, categories: Categories) -> None:
    """Threat: of two files with one BIN the one that closes is overlooked."""
    write()
    other = write("again", {"198.18.10.0/24": "198.18.14.0/24", "198.18.12.0/25": "198.18.15.0/24"})
    refused(other.parent, categories, rf"ministry.yml:2: BIN {BIN} is also at .*again.yml:2")


def test_everything_wrong_is_named_at_once(write: Write, categories: Categories) -> None:
    write(words={BIN: "180540012344"})
    other = write("academy", {"finance": "finanse"})
    refused(other.parent, categories, "finanse.*|ministry.yml:2: bin")
    with pytest.raises(GatewayError) as caught:
        read_organisations(other.parent, categories)
    assert {"ministry.yml:2", "academy.yml:8"} <= set(re.findall(r"\w+\.yml:\d+", str(caught.value)))


@pytest.mark.clause("GW-15-1")
@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_access_is_open_for_one_calendar_year(first: date) -> None:
    """365 or 366 days, so that the day a year later is the first closed one."""
    enrolled = organisation(valid_from=first, valid_until=last_day(first))
    assert (last_day(first) + timedelta(days=1) - first).days in (365, 366)
    assert enrolled.is_open(enrolled.opens)
    assert not enrolled.is_open(enrolled.opens - timedelta(seconds=1))
    assert enrolled.is_open(enrolled.closes - timedelta(seconds=1))
    assert not enrolled.is_open(enrolled.closes)


def test_days_begin_in_kazakhstan() -> None:
    assert organisation().opens.astimezone(UTC) == datetime(2026, 11, 20, 19, tzinfo=UTC)
    assert last_day(date(2028, 2, 29)) == date(2029, 2, 28)


def test_the_developments_policy_holds() -> None:
    assert read_policy_file(PROJECT / "inventories", "development").organisations


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("198.18.10.0/24", "198.18.10.0/29", "networks of operator telecom at .*development/.*/gateway.yml:4"),
        (f"198.18.10.11/32,{BIN}", f"198.18.10.11/32,{OTHER_BIN}", "org01.yml:6: 198.18.10.11/32 .*telecom.csv:2"),
    ],
)
def test_a_policy_that_contradicts_itself_is_none(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """Threat: the catalogue changes after an enrolment, and one user's traffic is opened by another's policy."""
    for part in ("common", "development"):
        copytree(PROJECT / "inventories" / part, tmp_path / part)
    for path in (
        tmp_path / "development/group_vars/gateway/gateway.yml",
        tmp_path / "development/catalogue/telecom.csv",
    ):
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(GatewayError, match=reason):
        read_policy_file(tmp_path, "development")
