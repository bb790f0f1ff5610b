"""Profiles are data, and wrong data stops with its place and what to write instead."""

import json
from pathlib import Path
from typing import Any

import pytest

from kepil.pki.name import DistinguishedName
from kepil.pki.profile import NameNotAllowedError, Profile, ProfileError, load_profiles, read_profiles
from tests.unit.pki.core.test_pkilint import SUBJECTS

PLAIN: dict[str, Any] = {"ca": False, "key_usage": ["digitalSignature"], "days": 365}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"days": 0}, "days: Input should be greater than 0"),
        ({"key_usage": []}, "key_usage: "),
        ({"key_usage": ["sign"]}, "key_usage.0: "),
        ({"extended_key_usage": ["serverAuth"]}, "extended_key_usage.0"),
        ({"policies": ["1.2.03"]}, "policies.0"),
        ({"policies": ["1.2.3", "1.2.3"]}, "names something twice"),
        ({"validity": 3}, "validity: Extra inputs"),
        ({"key_types": ["dsa"]}, "key_types.0"),
        ({"ca": True}, "keyCertSign go together"),
        ({"key_usage": ["keyCertSign"]}, "keyCertSign go together"),
        ({"key_usage": ["cRLSign"]}, "only a ca signs CRLs"),
        ({"path_length": 0}, "path_length is for a ca"),
        ({"ca": True, "key_usage": ["keyCertSign"], "subscriber": True}, "nobody but the state"),
        ({"subscriber": True}, "rules of its subject"),
        ({"extended_key_usage": ["id-kp-timeStamping"]}, "only purpose, and critical"),
        ({"extended_key_usage": ["id-kp-OCSPSigning"]}, "ocsp_no_check"),
        ({"ocsp_no_check": True}, "ocsp_no_check"),
        ({"status_urls": ["delta_crl"]}, "needs its crl"),
        ({"extended_key_usage": ["id-kp-serverAuth"], "subject_alt_names": ["dns"]}, "at most 200"),
        ({"extended_key_usage": ["id-kp-serverAuth"], "days": 90}, "subject_alt_names"),
        ({"subject": {"required": ["country"], "numbers": {"serial_number": "IIN"}}}, "must be among the required"),
        ({"subject": {"required": ["country"], "optional": ["country"]}}, "both required and optional"),
    ],
)
def test_a_wrong_profile_names_file_key_and_remedy(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "profiles.json").write_text(json.dumps({"fine": PLAIN, "wrong": PLAIN | change}), "utf-8")
    with pytest.raises(ProfileError) as stopped:
        read_profiles(tmp_path / "profiles.json")
    assert str(stopped.value).startswith(f"{tmp_path}/profiles.json: pki_profiles.wrong")
    assert message in str(stopped.value)
    assert "correct it in the inventory" in str(stopped.value)


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_a_file_that_is_none(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "profiles.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProfileError, match=r"profiles\.json: "):
        read_profiles(path)


def test_data_without_a_file() -> None:
    with pytest.raises(ProfileError, match=r"pki_profiles: .*dictionary"):
        load_profiles([])


@pytest.mark.clause("CP-3.2")
@pytest.mark.parametrize(
    ("profile", "change", "attribute"),
    [
        ("legal-entity-head", {"organizational_unit": "BIN970740000014"}, "organizational_unit"),
        ("legal-entity-head", {"organizational_unit": "IIN970908300017"}, "organizational_unit"),
        ("legal-entity-signatory", {"serial_number": "IIN970908300018"}, "serial_number"),
        ("legal-entity-employee", {"serial_number": None}, "serial_number"),
        ("treasury-client", {"organization": None}, "organization"),
        ("treasury-client", {"country": "DE"}, "country"),
        ("natural-person", {"country": "RU"}, "country"),
        ("non-resident-legal-entity", {"country": "KZ"}, "country"),
        ("non-resident-legal-entity", {"organizational_unit": "BIN1"}, "organizational_unit"),
        ("information-system", {"locality": None}, "locality"),
        ("information-system", {"serial_number": "IIN970908300017"}, "serial_number"),
    ],
)
def test_names_must_be_what_the_profile_says(
    profiles: dict[str, Profile], profile: str, change: dict[str, str | None], attribute: str
) -> None:
    rules = profiles[profile].subject
    assert rules
    rules.check(DistinguishedName(**SUBJECTS[profile]))
    with pytest.raises(NameNotAllowedError, match=attribute):
        rules.check(DistinguishedName(**(SUBJECTS[profile] | change)))


def test_roles_of_a_legal_entity_differ(profiles: dict[str, Profile]) -> None:
    roles = ("legal-entity-head", "legal-entity-signatory", "legal-entity-employee")
    purposes = [profiles[role].extended_key_usage for role in roles]
    assert len(set(purposes)) == len(roles)
    assert all("1.2.398.3.3.4.1.2" in each for each in purposes)


@pytest.mark.clause("CP-1.3.1")
def test_subscribers_get_no_ca(profiles: dict[str, Profile]) -> None:
    """No CA stands under the National CA, and its own certificates are not for officers to issue."""
    assert {name for name, profile in profiles.items() if not profile.subscriber} == {"root", "issuing", "ocsp", "tsp"}
    assert profiles["issuing"].path_length == 0


def test_status_is_pointed_at(profiles: dict[str, Profile]) -> None:
    """OCSP, issuer and CRL in all; the delta CRL in all that TLS clients do not read."""
    for name, profile in profiles.items():
        if profile.subscriber:
            assert {"issuer", "crl", "ocsp"} <= set(profile.status_urls)
            assert ("delta_crl" in profile.status_urls) == (name != "information-system")
