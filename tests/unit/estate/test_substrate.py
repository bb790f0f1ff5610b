"""Images follow the roles' package lists; networks and hosts follow the inventory."""

from __future__ import annotations

from pathlib import Path

import pytest

from kepil.estate.model import Estate, EstateError
from kepil.estate.substrate import describe, images, matches

GROUPS = {"zone_core": ["ca01", "db01"], "zone_vault": ["root01"], "ca": ["ca01"], "database": ["db01"]}
MIRROR = "http://deb.debian.org/debian"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    layers = tmp_path / "playbooks" / "layers"
    layers.mkdir(parents=True)
    (layers / "foundation.yml").write_text(
        "- {name: a, hosts: all, roles: [base]}\n- {name: b, hosts: 'ca:!root', roles: [signer]}\n"
    )
    for role, packages in {"base": "[chrony]", "signer": "[opensc, chrony]"}.items():
        path = tmp_path / "roles" / role / "vars"
        path.mkdir(parents=True)
        (path / "main.yml").write_text(f"__{role}_packages: {packages}\n")
    recipe = tmp_path / "playbooks" / "substrate"
    recipe.mkdir()
    for name in ("images.yml", "bake.sh"):
        (recipe / name).write_text(f"# {name}\n")
    suite = tmp_path / "roles" / "gost" / "files" / "suite.sh"
    suite.parent.mkdir(parents=True)
    suite.write_text("# suite.sh\n")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("all", "ca01", True),
        ("ca:database", "db01", True),
        ("all:!ca", "ca01", False),
        ("all:!ca", "db01", True),
        ("ca01", "ca01", True),
        ("ca", "db01", False),
    ],
)
def test_patterns(pattern: str, host: str, expected: bool) -> None:
    assert matches(pattern, host, GROUPS) is expected


def test_a_pattern_that_is_not_understood_is_refused() -> None:
    with pytest.raises(EstateError, match="ca:&database"):
        matches("ca:&database", "ca01", GROUPS)


def test_a_layer_holds_only_what_the_base_lacks(project: Path) -> None:
    built = images(project, GROUPS, MIRROR)
    assert "chrony" in built["base"]["packages"]
    assert [layer["packages"] for layer in built["layers"]] == [["opensc"]]
    assert built["of_host"]["db01"] == built["base"]["tag"]
    assert built["of_host"]["ca01"] == built["layers"][0]["tag"]


def test_every_environment_stands_on_one_base(project: Path) -> None:
    """Threat: where all hosts are of one kind, what the kind needs is in a base of its own, built for minutes."""
    built = images(project, {"zone_core": ["ca01"], "ca": ["ca01"]}, MIRROR)
    assert built["base"] == images(project, GROUPS, MIRROR)["base"]
    assert [layer["packages"] for layer in built["layers"]] == [["opensc"]]


def test_a_tag_changes_with_its_packages_and_with_nothing_else(project: Path) -> None:
    before = images(project, GROUPS, MIRROR)
    (project / "roles" / "signer" / "vars" / "main.yml").write_text("__signer_packages: [opensc, stunnel4]\n")
    after = images(project, GROUPS, MIRROR)
    assert after["base"] == before["base"]
    assert after["of_host"]["ca01"] != before["of_host"]["ca01"]
    assert images(project, GROUPS, MIRROR) == after


def test_packages_of_another_suite_say_so(project: Path) -> None:
    (project / "roles" / "signer" / "vars" / "main.yml").write_text(
        "__signer_packages: [libnew, libnewer]\n__signer_suite: forky\n"
    )
    assert images(project, GROUPS, MIRROR)["layers"][0]["packages"] == ["libnew/forky", "libnewer/forky"]


def test_the_base_is_of_one_suite(project: Path) -> None:
    """What every host takes from another suite is in every layer."""
    (project / "roles" / "base" / "vars" / "main.yml").write_text("__base_packages: [libnew]\n__base_suite: forky\n")
    built = images(project, GROUPS, MIRROR)
    assert "libnew/forky" not in built["base"]["packages"]
    assert all("libnew/forky" in layer["packages"] for layer in built["layers"])
    assert built["base"]["tag"] not in built["of_host"].values()


@pytest.mark.parametrize("file", ["playbooks/substrate/bake.sh", "roles/gost/files/suite.sh"])
def test_a_tag_changes_with_how_images_are_made(project: Path, file: str) -> None:
    before = images(project, GROUPS, MIRROR)
    (project / file).write_text("# another way\n")
    after = images(project, GROUPS, MIRROR)
    assert after["base"] == before["base"]
    assert after["of_host"]["ca01"] != before["of_host"]["ca01"]


def test_a_host_without_an_address_gets_no_network(project: Path) -> None:
    groups = {"zone_core": ["ca01"], "zone_vault": ["root01"], "ca": ["ca01"], "root": ["root01"]}
    estate = Estate.from_variables(
        {
            "estate_environment": "test",
            "estate_domain": "kepil.test",
            "estate_zones": {
                "core": {"purpose": "CA", "subnets": ["198.18.3.0/24"]},
                "vault": {"purpose": "root", "subnets": []},
            },
            "estate_flows": [],
            "estate_services": {},
        },
        groups,
        {"ca01": {"estate_hostnum": 11}, "root01": {}},
    )
    made = describe(project, estate, groups, MIRROR)
    by_name = {host["name"]: host for host in made["hosts"]}
    assert by_name["root01"]["network"] is None
    assert by_name["ca01"]["network"] == "kepil-test-core"
    assert [network["subnet"] for network in made["networks"]] == ["198.18.3.0/24"]
    assert "ip route" not in by_name["root01"]["command"][-1]
    assert "ip route replace default via 198.18.3.1;" in by_name["ca01"]["command"][-1]


def test_a_host_that_stands_in_further_zones_names_its_interfaces_by_them(project: Path) -> None:
    """Threat: an engine numbers interfaces as it likes, and rules about users' packets are about another network's."""
    groups = {"zone_core": ["ca01"], "zone_users": ["user01"], "ca": ["ca01"]}
    estate = Estate.from_variables(
        {
            "estate_environment": "test",
            "estate_domain": "kepil.test",
            "estate_zones": {
                "core": {"purpose": "CA", "subnets": ["198.18.3.0/24"]},
                "users": {"purpose": "users", "subnets": ["198.18.10.0/24"]},
            },
            "estate_flows": [],
            "estate_services": {},
        },
        groups,
        {
            "ca01": {"estate_hostnum": 11, "estate_links": {"users": 251}},
            "user01": {"estate_hostnum": 11, "estate_routes": {"core": 251}},
        },
    )
    by_name = {host["name"]: host for host in describe(project, estate, groups, MIRROR)["hosts"]}
    assert by_name["ca01"]["links"] == [{"name": "kepil-test-users", "ipv4_address": "198.18.10.251"}]
    assert "; named 198.18.10.251 users; named 198.18.3.11 eth0;" in by_name["ca01"]["command"][-1]
    assert "named" not in by_name["user01"]["command"][-1]
    assert "; ip route replace 198.18.3.0/24 via 198.18.10.251;" in by_name["user01"]["command"][-1]
