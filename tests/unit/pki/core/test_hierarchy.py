"""The hierarchies of an environment, and where their keys are made and live."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from kepil.pki.algorithm import KEY_KINDS, key_types
from kepil.pki.hierarchy import chosen, key_place
from kepil.pki.profile import ProfileError, load_member

COMMON_DATA = Path(__file__).parents[4] / "inventories/common/group_vars/all"


@pytest.fixture
def known() -> dict[str, Any]:
    """The estate's own hierarchies."""
    hierarchies: dict[str, Any] = yaml.safe_load((COMMON_DATA / "hierarchies.yml").read_text("utf-8"))
    return deepcopy(hierarchies["pki_hierarchies_known"])


def member(**key: Any) -> Any:
    """A member with a key of this kind; a `digest` is not the key's."""
    digest = key.pop("digest", "sha256")
    subject = {"common_name": "x"}
    return load_member(
        {"name": "nca", "partition": "p", "subject": subject, "key": key, "digest": digest, "days": 1, "profile": "x"}
    )


@pytest.mark.clause("CP-2.1")
def test_there_are_both_families_and_post_quantum_is_switched_on(known: dict[str, Any]) -> None:
    families = yaml.safe_load((COMMON_DATA / "hierarchies.yml").read_text("utf-8"))["pki_families"]
    assert list(chosen(known, families)) == ["rsa", "gost"]
    assert list(chosen(known, ["pq", "rsa"])) == ["pq", "rsa"]


@pytest.mark.parametrize(
    ("families", "said"), [(["rsa", "dsa"], "dsa"), ([], "at least one"), (["rsa", "rsa"], "once")]
)
def test_a_family_that_is_not_known_is_refused(known: dict[str, Any], families: list[str], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        chosen(known, families)


@pytest.mark.parametrize("what", ["name", "policy"])
def test_no_two_members_share_what_tells_them_apart(known: dict[str, Any], what: str) -> None:
    """Threat: the second key or certificate of a name takes the first one's place; a policy has two answers."""
    known["gost"]["tsp"][what] = known["rsa"]["tsp"][what]
    with pytest.raises(ProfileError, match=known["rsa"]["tsp"][what]):
        chosen(known, ["rsa", "gost"])


def test_an_rsa_key_too_short_for_what_is_to_hold_is_refused(known: dict[str, Any]) -> None:
    known["rsa"]["tsp"]["key"]["bits"] = 2048
    with pytest.raises(ProfileError, match=r"rsa\.tsp\.key: bits: .* 3072 or more \(ADR 24\), not 2048.*inventory"):
        chosen(known, ["rsa", "gost"])


def test_every_algorithm_says_how_its_keys_are_made() -> None:
    assert KEY_KINDS.keys() == key_types()


def test_a_key_on_a_token() -> None:
    assert key_place(member(type="rsa", bits=4096), []) == {
        "uri": "pkcs11:token=p;object=nca;type=private",
        "in_file": False,
        "making": "rsa:4096",
        "digest": "SHA256",
    }


@pytest.mark.parametrize(
    ("key", "making", "digest"),
    [
        ({"type": "rsa", "bits": 3072}, "-algorithm RSA -pkeyopt rsa_keygen_bits:3072", "SHA256"),
        (
            {"type": "gost2012_512", "digest": "streebog512"},
            "-algorithm gost2012_512 -pkeyopt paramset:A",
            "md_gost12_512",
        ),
        ({"type": "ml_dsa_65", "digest": ""}, "-algorithm ML-DSA-65", ""),
    ],
)
def test_a_key_in_a_file(key: dict[str, Any], making: str, digest: str) -> None:
    place = key_place(member(**key), ["rsa", "gost2012_512", "ml_dsa_65"])
    assert place == {"uri": "/etc/kepil/keys/p/nca.pem", "in_file": True, "making": making, "digest": digest}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ({"type": "ml_dsa_65"}, "cannot be made on an HSM partition"),
        ({"type": "dsa"}, "'dsa' is not one of"),
        ({"type": "rsa"}, "key.bits is missing"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused(key: dict[str, Any], said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        key_place(member(**key), [])
