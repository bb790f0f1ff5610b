"""GW-15-1: the kernel itself closes access; a set is replaced whole, and what nft refuses changes nothing."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kepil.gateway.apply import apply
from kepil.gateway.located import GatewayError
from kepil.gateway.policy import Policy, PolicyFile
from kepil.gateway.rules import elements, script
from tests.unit.gateway.conftest import APPLICATION, STATED, organisation

ENROLLED = organisation(
    exceptions=[
        {
            "service": "VPN",
            "destinations": ["203.0.113.7", "203.0.113.64/26"],
            "protocol": "udp",
            "port": 500,
            "application": APPLICATION,
        }
    ]
)
POLICY = Policy.of(
    PolicyFile.model_validate(
        {
            "organisations": {"ministry": ENROLLED.model_dump()},
            "catalogue": ["198.18.20.0/24"],
            "categories": STATED["gateway_categories"],
        }
    )
)
OPEN = datetime(2027, 1, 15, 12, tzinfo=UTC)
BLOCKED = frozenset({IPv4Address("198.18.99.1"), IPv4Address("198.18.20.9")})


class Kernel:
    """Stands in for nft: whether the table is there, and what was loaded."""

    def __init__(self, *, stands: bool = False, refuses: bool = False) -> None:
        self.stands, self.refuses = stands, refuses
        self.loaded: list[str] = []

    def __call__(self, text: str, arguments: list[str]) -> str:
        if arguments == ["list", "tables"]:
            return "table inet estate\n" + ("table inet gateway\n" if self.stands else "")
        if self.refuses:
            raise GatewayError("nft --file: no")
        self.loaded.append(text)
        self.stands = True
        return ""


@given(st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC)))
def test_no_element_outlives_its_organisations_year(at: datetime) -> None:
    lines = [line for line in script(elements(POLICY, BLOCKED, at), at).splitlines() if "timeout" in line]
    left = [int(seconds) for line in lines for seconds in re.findall(r"timeout (\d+)s", line)]
    assert bool(left) is (ENROLLED.is_open(at) and ENROLLED.closes - at >= timedelta(seconds=1))
    assert all(at + timedelta(seconds=seconds) <= ENROLLED.closes for seconds in left)


def test_what_the_catalogue_lists_is_blocked_no_more() -> None:
    keys = {(each.set, each.key) for each in elements(POLICY, BLOCKED, OPEN)}
    assert ("blocked", "198.18.99.1") in keys
    assert ("blocked", "198.18.20.9") not in keys
    assert ("exceptions", "198.18.10.0/24 . udp . 500 . 203.0.113.64/26") in keys


def test_sets_are_replaced_in_one_transaction(tmp_path: Path) -> None:
    skeleton, state = tmp_path / "gateway.nft", tmp_path / "applied"
    skeleton.write_text("table inet gateway { }\n")
    kernel = Kernel()
    assert apply(POLICY, BLOCKED, OPEN, skeleton, state, kernel)
    assert kernel.loaded[0].startswith("table inet gateway { }\nflush set inet gateway enrolled\n")
    assert not apply(POLICY, BLOCKED, OPEN + timedelta(minutes=1), skeleton, state, kernel)
    assert apply(POLICY, frozenset(), OPEN, skeleton, state, kernel)
    assert kernel.loaded[1].startswith("flush set inet gateway enrolled\n")


def test_a_table_that_is_gone_is_made_anew(tmp_path: Path) -> None:
    """Threat: somebody loads other rules, and the gateway believes that its own are in force."""
    skeleton, state = tmp_path / "gateway.nft", tmp_path / "applied"
    skeleton.write_text("table inet gateway { }\n")
    kernel = Kernel()
    apply(POLICY, BLOCKED, OPEN, skeleton, state, kernel)
    kernel.stands = False
    assert apply(POLICY, BLOCKED, OPEN, skeleton, state, kernel)


@pytest.mark.clause("GW-15-1")
def test_a_clock_that_moved_on_closes_without_the_kernels_timers(tmp_path: Path) -> None:
    """Timeouts of elements run by the kernel's own time, which does not follow a clock that is set."""
    skeleton, state, kernel = tmp_path / "gateway.nft", tmp_path / "applied", Kernel(stands=True)
    apply(POLICY, BLOCKED, OPEN, skeleton, state, kernel)
    assert apply(POLICY, BLOCKED, ENROLLED.closes, skeleton, state, kernel)
    assert "198.18.10.0/24" not in kernel.loaded[-1].replace(
        "add element inet gateway catalogued { 198.18.10.0/24, 198.18.20.0/24 }", ""
    )


def test_what_nft_refuses_is_tried_again(tmp_path: Path) -> None:
    skeleton, state = tmp_path / "gateway.nft", tmp_path / "applied"
    skeleton.write_text("")
    with pytest.raises(GatewayError):
        apply(POLICY, BLOCKED, OPEN, skeleton, state, Kernel(refuses=True))
    assert not state.exists()


def test_nft_takes_it() -> None:
    sets = """table inet gateway {
  set enrolled { type ipv4_addr; flags interval, timeout; }
  set catalogued { type ipv4_addr; flags interval; }
  set blocked { type ipv4_addr; }
  set exceptions { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval, timeout; }
}
"""
    text = sets + script(elements(POLICY, BLOCKED, OPEN), OPEN)
    done = subprocess.run(
        ["unshare", "--net", "nft", "--check", "--file", "-"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
