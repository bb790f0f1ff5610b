"""Generations of keys: names that are given once, and who serves, issues and certifies what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.pki.generation import (
    authorities,
    current,
    generation,
    in_service,
    issuers,
    members_named,
    published,
    refuse_unknown,
    succeeded,
)
from kepil.pki.profile import ProfileError, load_member

COMMON_DATA = Path(__file__).parents[4] / "inventories/common/group_vars/all"
OVERLAP: dict[str, Any] = {
    "issuing": 2,
    "ocsp": 3,
    "tsp": 2,
    "next": {"issuing": 3, "ocsp": 4, "tsp": 3},
    "former": [{"issuing": 1, "ocsp": 2, "next": {"ocsp": 5}}],
}


@pytest.fixture
def known() -> dict[str, Any]:
    """The estate's own hierarchies."""
    hierarchies: dict[str, Any] = yaml.safe_load((COMMON_DATA / "hierarchies.yml").read_text("utf-8"))
    return {family: hierarchies["pki_hierarchies_known"][family] for family in ("rsa", "gost")}


def test_where_nothing_is_stated_the_first_generation_is_the_only_one(known: dict[str, Any]) -> None:
    made = authorities(known, {})
    assert current(made) == known
    assert [each["stage"] for each in made] == ["current", "current"]
    assert published(known, made) == ["nca-rsa", "nca-gost"]


@pytest.mark.clause("CP-5.6")
def test_a_generation_has_a_name_and_a_distinguished_name_of_its_own(known: dict[str, Any]) -> None:
    """Threat: who keeps CRLs by the issuer's name takes one generation's for the other's."""
    again = generation(known["rsa"]["issuing"], "issuing", 3)
    assert again["name"] == "nca-rsa-3"
    assert again["subject"]["common_name"] == "ҚР ҰКО 3.0 (RSA) G3"
    load_member(again)
    assert generation(known["rsa"]["issuing"], "issuing", 1) == known["rsa"]["issuing"]


@pytest.mark.clause("CP-5.6")
def test_each_generation_is_served_and_one_issues(known: dict[str, Any], tmp_path: Path) -> None:
    made = authorities(known, {"rsa": OVERLAP})
    assert [(each["stage"], each["issuing"]["name"], each["ocsp"]["name"]) for each in made] == [
        ("current", "nca-rsa-2", "ocsp-rsa-3"),
        ("next", "nca-rsa-3", "ocsp-rsa-4"),
        ("former", "nca-rsa", "ocsp-rsa-2"),
        ("current", "nca-gost", "ocsp-gost"),
    ]
    assert current(made)["rsa"]["tsp"]["name"] == "tsp-rsa-2"
    assert succeeded(made) == {"nca-rsa": "nca-rsa-2"}
    assert published(known, made) == ["nca-rsa", "nca-rsa-2", "nca-rsa-3", "nca-gost"]
    served = [each["issuing"]["name"] for each in in_service(made, "issuing", tmp_path)]
    assert served == ["nca-rsa-2", "nca-rsa", "nca-gost"], "what no ceremony made is waited for"
    (tmp_path / "nca-rsa-3.json").touch()
    assert "nca-rsa-3" in [each["issuing"]["name"] for each in in_service(made, "issuing", tmp_path)]
    assert "nca-rsa-3" not in [each["issuing"]["name"] for each in in_service(made, "ocsp", tmp_path)]


def test_what_each_generation_certifies(known: dict[str, Any]) -> None:
    made = authorities({"rsa": known["rsa"]}, {"rsa": OVERLAP})
    assert issuers(made) == {
        **dict.fromkeys(("nca-rsa", "nca-rsa-2", "nca-rsa-3"), "krnca-rsa"),
        **dict.fromkeys(("ocsp-rsa-2", "ocsp-rsa-5"), "nca-rsa"),
        **dict.fromkeys(("ocsp-rsa-3", "tsp-rsa-2"), "nca-rsa-2"),
        **dict.fromkeys(("ocsp-rsa-4", "tsp-rsa-3"), "nca-rsa-3"),
    }


def test_a_member_is_found_by_the_name_of_any_generation(known: dict[str, Any]) -> None:
    names = ["nca-rsa-12", "nca-gost", "ocsp-rsa", "nca-rsa-1", "nca-rsa-x"]
    found = [member["name"] for member in members_named(known, "issuing", names)]
    assert found == ["nca-rsa-12", "nca-gost"]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"next": {"issuing": 2}}, "name next.ocsp and next.tsp too"),
        ({"next": {"ocsp": 1}}, "ocsp 1 is there twice"),
        ({"issuing": 2, "ocsp": 1, "former": [{"issuing": 1, "ocsp": 1}]}, "ocsp 1 is there twice"),
        ({"ocsp": 4, "next": {"ocsp": 3}}, "next ocsp 3: take one above 4"),
        ({"issuing": 2, "ocsp": 2, "former": [{"issuing": 3, "ocsp": 3}]}, "former issuing 3: it follows 2"),
        ({"issueing": 2}, "issueing"),
        ({"issuing": 0}, "issuing"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(known: dict[str, Any], stated: Any, said: str) -> None:
    with pytest.raises(ProfileError, match=f"pki_generations.rsa.*{said}"):
        authorities(known, {"rsa": stated})


def test_a_family_that_is_not_known_and_a_name_that_is_taken_are_refused(known: dict[str, Any]) -> None:
    with pytest.raises(ProfileError, match="no hierarchy dsa"):
        refuse_unknown(known, {"dsa": {}})
    known["gost"]["issuing"] = {**known["gost"]["issuing"], "name": "nca-rsa-2"}
    with pytest.raises(ProfileError, match="nca-rsa-2 is a name in rsa already"):
        authorities(known, {"rsa": {"issuing": 2}})
