"""What becomes of a connection: the rules, and what holds whatever is asked (GW-13, GW-15, GW-20)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kepil.gateway.category import EXEMPT, Categories
from kepil.gateway.decision import Action, Decision, Hidden, Reason, Standing, Target, decide
from kepil.gateway.organisation import Organisation
from kepil.gateway.policy import Policy, PolicyFile
from tests.unit.gateway.conftest import APPLICATION, STATED, organisation

CATEGORIES = Categories.load(STATED["gateway_categories"])
SOURCE = IPv4Address("198.18.10.11")
OPEN = datetime(2027, 1, 15, 12, tzinfo=UTC)
SITE = Target(IPv4Address("203.0.113.80"), "news.example.kz", frozenset({"news"}))
VPN = {
    "service": "VPN",
    "destinations": ["203.0.113.7"],
    "protocol": "udp",
    "port": 500,
    "application": APPLICATION,
}

ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
NAMES = st.sampled_from(sorted(CATEGORIES.by_name))
TARGETS = st.builds(
    Target,
    address=ADDRESSES,
    name=st.sampled_from(["a.example.kz"] * 4 + [*Hidden]),
    categories=st.frozensets(NAMES, min_size=1, max_size=3),
    name_at_address=st.sampled_from([True, True, False]),
    protocol=st.sampled_from(["tcp", "tcp", "tcp", "udp"]),
    port=st.sampled_from([443, 443, 80, 22, 500]),
)
ORGANISATIONS = st.builds(
    lambda networks, allowed, excepted: organisation(
        networks=networks, categories=sorted(allowed), exceptions=[VPN | {"destinations": [excepted]}]
    ),
    networks=st.lists(st.builds(lambda a: IPv4Network((a, 16), strict=False), ADDRESSES), min_size=1, max_size=2),
    allowed=st.frozensets(st.sampled_from(sorted(CATEGORIES.ordinary))),
    excepted=ADDRESSES.map(str),
)
OFTEN = settings(max_examples=500)
TIMES = st.just(OPEN) | st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))
STANDINGS = st.sampled_from(Standing)


def decision(target: Target = SITE, at: datetime = OPEN, enrolled: Organisation | None = None) -> Decision:
    return decide(SOURCE, Standing.CATALOGUED, enrolled or organisation(), target, CATEGORIES, at)


@pytest.mark.clause("GW-20")
@pytest.mark.parametrize("number", sorted(EXEMPT))
def test_each_of_the_seven_categories_is_passed_on_untouched(number: int) -> None:
    name = next(name for name, each in CATEGORIES.by_name.items() if each.exempt == number)
    allowed = organisation(categories=[name])
    assert decision(replace(SITE, categories=frozenset({name})), enrolled=allowed).action is Action.SPLICE


@pytest.mark.parametrize(
    ("changes", "action", "reason", "page"),
    [
        ({}, Action.INSPECT, Reason.INSPECTED, False),
        ({"name": Hidden.MISSING}, Action.TERMINATE, Reason.NAME_MISSING, False),
        ({"name": Hidden.ENCRYPTED}, Action.TERMINATE, Reason.NAME_ENCRYPTED, False),
        ({"categories": frozenset({"encrypted-names"})}, Action.TERMINATE, Reason.NAME_ENCRYPTED, False),
        ({"categories": frozenset({"finance", "encrypted-names"})}, Action.TERMINATE, Reason.NAME_ENCRYPTED, False),
        ({"name_at_address": False}, Action.TERMINATE, Reason.NAME_MISMATCH, False),
        (
            {"name_at_address": False, "categories": frozenset({"finance"})},
            Action.TERMINATE,
            Reason.NAME_MISMATCH,
            False,
        ),
        ({"categories": frozenset({"malware"})}, Action.TERMINATE, Reason.MALWARE, True),
        ({"categories": frozenset({"malware", "finance"})}, Action.TERMINATE, Reason.MALWARE, False),
        ({"categories": frozenset({"games"})}, Action.TERMINATE, Reason.CATEGORY_CLOSED, True),
        ({"categories": frozenset({"news", "games"})}, Action.TERMINATE, Reason.CATEGORY_CLOSED, True),
        ({"categories": frozenset({"health"})}, Action.TERMINATE, Reason.CATEGORY_CLOSED, False),
        ({"categories": frozenset({"uncategorised"})}, Action.INSPECT, Reason.INSPECTED, False),
        ({"protocol": "udp"}, Action.REFUSE, Reason.SERVICE_CLOSED, False),
        ({"port": 8443}, Action.REFUSE, Reason.SERVICE_CLOSED, False),
    ],
)
def test_the_stated_rules(changes: dict[str, object], action: Action, reason: Reason, page: bool) -> None:
    assert decision(replace(SITE, **changes)) == Decision(action, reason, page)  # type: ignore[arg-type]


@pytest.mark.clause("GW-15-2")
def test_an_exception_opens_its_own_address_and_port_only() -> None:
    enrolled = organisation(exceptions=[VPN])
    target = Target(IPv4Address("203.0.113.7"), Hidden.MISSING, protocol="udp", port=500)
    assert decision(target, enrolled=enrolled) == Decision(Action.SPLICE, Reason.EXCEPTION)
    for other in (
        replace(target, address=IPv4Address("203.0.113.8")),
        replace(target, port=4500),
        replace(target, protocol="tcp"),
    ):
        assert decision(other, enrolled=enrolled).action is Action.REFUSE


@pytest.mark.clause("GW-13")
@pytest.mark.parametrize(
    ("standing", "categories", "expected"),
    [
        (Standing.UNKNOWN, "news", Decision(Action.SPLICE, Reason.SOURCE_UNKNOWN)),
        (Standing.UNKNOWN, "malware", Decision(Action.TERMINATE, Reason.MALWARE)),
        (Standing.BLOCKED, "finance", Decision(Action.REFUSE, Reason.SOURCE_BLOCKED)),
        (Standing.CATALOGUED, "finance", Decision(Action.REFUSE, Reason.NOT_ENROLLED)),
    ],
)
def test_who_is_not_enrolled(standing: Standing, categories: str, expected: Decision) -> None:
    target = replace(SITE, categories=frozenset({categories}))
    assert decide(SOURCE, standing, None, target, CATEGORIES, OPEN) == expected
    other = decide(SOURCE, standing, None, replace(target, port=22), CATEGORIES, OPEN)
    assert other.action is Action.REFUSE


@pytest.mark.clause("GW-20")
def test_another_organisations_rules_are_not_taken_for_a_stranger() -> None:
    """Threat: whoever looks the organisation up errs, and a stranger's traffic is read by its rules."""
    stranger = IPv4Address("198.18.99.1")
    decided = decide(stranger, Standing.CATALOGUED, organisation(), SITE, CATEGORIES, OPEN)
    assert decided == Decision(Action.REFUSE, Reason.NOT_ENROLLED)


@pytest.mark.clause("GW-15-1")
@pytest.mark.parametrize(("seconds", "reason"), [(-1, Reason.NOT_YET_OPEN), (0, Reason.INSPECTED)])
def test_access_opens_at_its_moment(seconds: int, reason: Reason) -> None:
    assert decision(at=organisation().opens + timedelta(seconds=seconds)).reason is reason


@pytest.mark.clause("GW-20")
@OFTEN
@given(ADDRESSES, STANDINGS, st.none() | ORGANISATIONS, TARGETS, TIMES)
def test_nothing_is_decrypted_for_who_is_not_enrolled(
    source: IPv4Address, standing: Standing, enrolled: Organisation | None, target: Target, at: datetime
) -> None:
    """Threat: traffic of a stranger is read, because his address was taken for another's or his year was over."""
    decided = decide(source, standing, enrolled, target, CATEGORIES, at)
    if decided.decrypts:
        assert enrolled is not None
        assert any(source in network for network in enrolled.networks)
        assert enrolled.is_open(at)


@pytest.mark.clause("GW-20")
@OFTEN
@given(STANDINGS, ORGANISATIONS, TARGETS, TIMES, st.data())
def test_what_is_exempt_is_never_decrypted(
    standing: Standing, enrolled: Organisation, target: Target, at: datetime, data: st.DataObject
) -> None:
    """Not by inspection, and not to show a page either."""
    source = data.draw(st.sampled_from(enrolled.networks)).network_address
    if decide(source, standing, enrolled, target, CATEGORIES, at).decrypts:
        assert not target.categories & CATEGORIES.exempt
        assert isinstance(target.name, str)
        assert target.name_at_address


@pytest.mark.clause("GW-15-1")
@OFTEN
@given(STANDINGS, ORGANISATIONS, TARGETS, TIMES, st.data())
def test_nothing_is_open_before_and_after_the_year(
    standing: Standing, enrolled: Organisation, target: Target, at: datetime, data: st.DataObject
) -> None:
    source = data.draw(st.sampled_from(enrolled.networks)).network_address
    decided = decide(source, standing, enrolled, target, CATEGORIES, at)
    assert (decided.action is Action.REFUSE) or enrolled.is_open(at)


@OFTEN
@given(ORGANISATIONS, TARGETS, TIMES, st.data())
def test_what_was_not_applied_for_is_never_passed_on(
    enrolled: Organisation, target: Target, at: datetime, data: st.DataObject
) -> None:
    """GW-15: and malware never, whoever allows it."""
    source = data.draw(st.sampled_from(enrolled.networks)).network_address
    decided = decide(source, Standing.CATALOGUED, enrolled, target, CATEGORIES, at)
    if decided.action in (Action.SPLICE, Action.INSPECT) and decided.reason is not Reason.EXCEPTION:
        assert target.categories <= set(enrolled.categories)
        assert not target.categories & (CATEGORIES.malicious | CATEGORIES.cover)


def test_a_policy_knows_whose_address_it_is() -> None:
    stated = PolicyFile.model_validate(
        {
            "organisations": {"ministry": organisation().model_dump()},
            "catalogue": ["198.18.20.0/24", "198.18.10.0/23"],
            "categories": STATED["gateway_categories"],
        }
    )
    policy = Policy.of(stated)
    blocked = frozenset({IPv4Address("198.18.99.1"), IPv4Address("198.18.20.1")})
    reasons = {
        "198.18.10.255": Reason.INSPECTED,
        "198.18.11.0": Reason.NOT_ENROLLED,
        "198.18.20.1": Reason.NOT_ENROLLED,  # the catalogue was updated: the watch's block counts no more
        "198.18.99.1": Reason.SOURCE_BLOCKED,
        "198.18.99.2": Reason.SOURCE_UNKNOWN,
        "0.0.0.1": Reason.SOURCE_UNKNOWN,
    }
    assert {text: policy.decide(IPv4Address(text), SITE, OPEN, blocked).reason for text in reasons} == reasons
