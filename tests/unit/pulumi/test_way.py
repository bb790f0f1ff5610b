"""One way makes the networks, and it is said which: what stands goes on as it was made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from kepil.estate import way
from kepil.estate.way import Wish

LACKING = "pulumi 3 is not installed"
PULUMIS = {"kepil-development-core": "pulumi", "kepil-development-hsm": "pulumi"}
ANSIBLES = dict.fromkeys(PULUMIS, "ansible")


@pytest.mark.parametrize(
    ("wish", "networks", "lacking", "chosen"),
    [
        ("auto", {}, None, "pulumi"),
        ("auto", {}, LACKING, "ansible"),
        ("ansible", {}, None, "ansible"),
        ("pulumi", {}, None, "pulumi"),
        ("auto", ANSIBLES, None, "ansible"),
        ("auto", PULUMIS, None, "pulumi"),
        ("ansible", ANSIBLES, LACKING, "ansible"),
        ("pulumi", PULUMIS, None, "pulumi"),
    ],
)
def test_the_way(wish: Wish, networks: dict[str, str], lacking: str | None, chosen: str) -> None:
    assert way.choose(wish, networks, lacking)[0] == chosen


@pytest.mark.parametrize(
    ("wish", "networks", "lacking", "reason"),
    [
        ("pulumi", ANSIBLES, None, "made by ansible, which pulumi does not take over"),
        ("ansible", PULUMIS, None, "made by pulumi, which ansible does not take over"),
        ("auto", PULUMIS, LACKING, LACKING),
        ("pulumi", {}, LACKING, LACKING),
    ],
)
def test_a_take_over_and_a_missing_engine_are_refused_with_the_remedy(
    wish: Wish, networks: dict[str, str], lacking: str | None, reason: str
) -> None:
    with pytest.raises(way.WayError, match=reason) as refused:
        way.choose(wish, networks, lacking)
    assert "--network" in str(refused.value)


@pytest.mark.parametrize("wish", get_args(Wish))
def test_networks_of_both_are_nobodys(wish: Wish) -> None:
    with pytest.raises(way.WayError, match=r"both Ansible and Pulumi; \./estate down removes them"):
        way.choose(wish, PULUMIS | {"kepil-development-status": "ansible"}, None)


def test_why_ansible_was_chosen_is_what_pulumi_lacks() -> None:
    assert way.choose("auto", {}, LACKING)[1] == LACKING


def test_who_made_a_network_is_read_from_its_label(engine: Callable[..., None]) -> None:
    """One without the label comes from a playbook of before there was one."""
    engine(networks="kepil-development-core pulumi\nkepil-development-hsm ansible\nkepil-development-status \n")
    try:
        assert way.standing("development") == {
            "kepil-development-core": "pulumi",
            "kepil-development-hsm": "ansible",
            "kepil-development-status": "ansible",
        }
    finally:
        engine()


def test_nothing_stands_where_there_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert way.standing("development") == {}
