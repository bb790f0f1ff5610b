"""The offline host's image holds what its bill lists, which is what roles and desk need, and nothing that speaks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from kepil.cli import main
from kepil.estate import bill, offline
from kepil.estate.bill import BillError, Component
from kepil.estate.inventory import environment_sources, host_groups, read_listing
from kepil.estate.offline import OfflineError

PROJECT = Path(__file__).parents[3]
AT = datetime(2020, 1, 1, tzinfo=UTC)
INSTALLED = (
    "libssl3t64\t3.5.4-1~deb13u1\tamd64\topenssl\t3.5.4-1~deb13u1\n"
    "libstdc++6\t14.2.0-19\tamd64\tgcc-14\t14.2.0-19\n"
    "tzdata\t2026a-0+deb13u1\tall\ttzdata\t2026a-0+deb13u1\n"
)
AVAILABLE = "\n".join(
    f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nSHA256: {sha256(name.encode()).hexdigest()}\n"
    f"Description: words\n more: of them\n"
    for name, version, architecture, *_ in (line.split("\t") for line in INSTALLED.splitlines())
)


@pytest.fixture
def found() -> list[Component]:
    return list(bill.debian(INSTALLED, AVAILABLE, "trixie"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "root01.img"
    path.write_bytes(b"image")
    return path


@pytest.fixture
def listed(tmp_path: Path, image: Path, found: list[Component]) -> Path:
    path = tmp_path / "root01.cdx.json"
    path.write_bytes(bill.cyclonedx(found, image, AT))
    return path


def changed(found: list[Component], **changes: Any) -> list[Component]:
    return [Component(**vars(found[0]) | changes), *found[1:]]


def test_the_bill_names_every_package_by_the_hash_of_the_signed_index(found: list[Component], listed: Path) -> None:
    read = json.loads(listed.read_bytes())
    assert (read["bomFormat"], read["specVersion"]) == ("CycloneDX", "1.6")
    assert [one["name"] for one in read["components"]] == ["libssl3t64", "libstdc++6", "tzdata"]
    first = read["components"][0]
    assert first["purl"] == "pkg:deb/debian/libssl3t64@3.5.4-1~deb13u1?arch=amd64&distro=trixie"
    assert first["hashes"] == [{"alg": "SHA-256", "content": sha256(b"libssl3t64").hexdigest()}]
    assert first["properties"] == [{"name": "kepil:source", "value": "openssl 3.5.4-1~deb13u1"}]
    assert read["components"][1]["purl"].startswith("pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?")
    described = read["metadata"]["component"]
    assert described["hashes"] == [{"alg": "SHA-256", "content": sha256(b"image").hexdigest()}]
    bill.compare(listed, found)


def test_the_same_makes_the_same_bytes_and_another_image_others(found: list[Component], image: Path) -> None:
    first = bill.cyclonedx(found, image, AT)
    assert bill.cyclonedx(reversed(found), image, AT) == first
    image.write_bytes(b"another")
    other = json.loads(bill.cyclonedx(found, image, AT))
    assert other["serialNumber"] != json.loads(first)["serialNumber"]


def test_a_package_without_an_entry_in_the_index_is_refused() -> None:
    """Built here, or brought by hand: nobody's signature covers it."""
    with pytest.raises(BillError, match=r"stranger 1 \(amd64\) is installed, and no index"):
        list(bill.debian(INSTALLED + "stranger\t1\tamd64\tstranger\t1\n", AVAILABLE, "trixie"))
    unsigned = AVAILABLE + "\nPackage: stranger\nVersion: 1\nArchitecture: amd64\nStatus: install ok installed\n"
    with pytest.raises(BillError, match=r"stranger 1 \(amd64\) is installed, and no index"):
        list(bill.debian(INSTALLED + "stranger\t1\tamd64\tstranger\t1\n", unsigned, "trixie"))


def test_whatever_differs_from_the_bill_is_refused(found: list[Component], listed: Path) -> None:
    with pytest.raises(BillError, match=r"tzdata@\S+ is missing"):
        bill.compare(listed, found[:-1])
    with pytest.raises(BillError, match=r"stranger@1 is not in the bill"):
        bill.compare(listed, [*found, Component("pkg:deb/debian/stranger@1", "stranger", "1", "0" * 64, "")])
    with pytest.raises(BillError, match=r"libssl3t64@\S+ has another SHA-256"):
        bill.compare(listed, changed(found, sha256="0" * 64))
    newer = changed(found, purl=found[0].purl.replace("3.5.4-1~deb13u1", "3.5.4-1~deb13u2"))
    with pytest.raises(BillError, match=r"deb13u1\S+ is missing; \S+deb13u2\S+ is not in the bill"):
        bill.compare(listed, newer)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"components": [{"purl": "x", "hashes": []}]}'])
def test_what_is_no_bill_is_said_to_be_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "bill").write_text(content)
    with pytest.raises(BillError, match="no bill of this project"):
        bill.compare(tmp_path / "bill", [])


def test_wheels_are_in_the_bill_by_their_own_hash(tmp_path: Path) -> None:
    (tmp_path / "ansible_core-2.19.14-py3-none-any.whl").write_bytes(b"wheel")
    assert list(bill.wheels(tmp_path)) == [
        Component(
            "pkg:pypi/ansible-core@2.19.14",
            "ansible_core",
            "2.19.14",
            sha256(b"wheel").hexdigest(),
            "ansible_core-2.19.14-py3-none-any.whl",
        )
    ]


@pytest.fixture(scope="module")
def production() -> dict[str, Any]:
    return read_listing(environment_sources(PROJECT / "inventories", "production"))


def chosen(listing: dict[str, Any], host: str) -> list[str]:
    return offline.packages(PROJECT, host, host_groups(listing), listing["_meta"]["hostvars"])


@pytest.mark.clause("CP-6.7")
def test_the_packages_are_those_of_the_roles_and_of_the_desk(production: dict[str, Any]) -> None:
    """The inventory says what a host is; the roles say what that takes. Nothing is listed twice."""
    found = chosen(production, "root01")
    assert {"pkcs11-provider", "python3-pydantic", "libengine-gost-openssl/forky"} <= set(found)
    assert {"python3-shamir-mnemonic", "weasyprint", "openssh-client"} <= set(found)
    assert "libsofthsm2" not in found, "production's modules are not software"
    assert offline.NETWORK.isdisjoint(found)


def test_a_host_with_an_address_or_none_of_that_name_gets_no_such_image(production: dict[str, Any]) -> None:
    with pytest.raises(OfflineError, match="ca01 has an address"):
        chosen(production, "ca01")
    with pytest.raises(OfflineError, match=r"no host 'nobody01'; there are .*root01"):
        chosen(production, "nobody01")


def test_a_package_that_brings_a_network_up_is_refused(found: list[Component]) -> None:
    offline.refuse_network(found)
    with pytest.raises(OfflineError, match="openssh-server: of no use"):
        offline.refuse_network(changed(found, name="openssh-server"))


def test_the_desk_has_what_the_page_asks_of_the_machine() -> None:
    """docs/ceremonies.md, Prepare: what the machine has at which a ceremony is held."""
    page = (PROJECT / "docs/ceremonies.md").read_text(encoding="utf-8")
    asked = page.split("The machine at which it is held has ")[1].split(" from Debian 13")[0].replace("\n", " ")
    assert {word.strip("`, ") for word in asked.replace(" and ", " ").split()} <= set(offline.DESK)


def test_wheels_come_by_the_hashes_of_the_lock() -> None:
    wanted = offline.locked_wheels(PROJECT / "uv.lock")
    assert {name.partition("==")[0] for name in wanted} >= {"ansible-core", "pkilint", "pyasn1-alt-modules"}
    assert all(len(digest) == 64 for digest in wanted.values())


LOCK = """[[package]]
name = "ansible-core"
version = "1"
dependencies = [{ name = "jinja2" }, { name = "native" }]
wheels = [{ url = "https://x/ansible_core-1-py3-none-any.whl", hash = "sha256:00" }]
[[package]]
name = "native"
version = "2"
wheels = [{ url = "https://x/native-2-cp313-cp313-win_amd64.whl", hash = "sha256:11" }]
[[package]]
name = "hatchling"
version = "1"
wheels = [{ url = "https://x/hatchling-1-py3-none-any.whl", hash = "sha256:00" }]
[[package]]
name = "pkilint"
version = "1"
wheels = [{ url = "https://x/pkilint-1-py3-none-any.whl", hash = "sha256:00" }]
"""


def test_a_wheel_that_the_host_cannot_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(LOCK)
    with pytest.raises(OfflineError, match="native 2 has 0 wheels for the offline host"):
        offline.locked_wheels(tmp_path / "uv.lock")


RECIPE = """#!/bin/sh
echo "$@" >{told}
printf '%s' "$IMAGE" >"$1/$2"
cp {given}/installed {given}/available "$1"
exit ${{STATUS:-0}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its recipe only says what it was told, and leaves an image."""
    folder = tmp_path / "project"
    (folder / "playbooks/offline").mkdir(parents=True)
    recipe = folder / "playbooks/offline/build.sh"
    recipe.write_text(RECIPE.format(told=tmp_path / "told", given=tmp_path))
    recipe.chmod(0o755)
    (tmp_path / "installed").write_text(INSTALLED)
    (tmp_path / "available").write_text(AVAILABLE)
    monkeypatch.setenv("IMAGE", "image")
    monkeypatch.setattr(
        offline, "_fetch_wheels", lambda _, wheels: (wheels / "kepil-1-py3-none-any.whl").write_text("")
    )
    return folder


def built(project: Path, **options: Any) -> Path:
    return offline.build(project, "root01", ["chrony"], "http://mirror", project.parent / "out", **options)


def test_a_build_leaves_image_bill_and_hashes_and_can_be_held_to_its_bill(project: Path, tmp_path: Path) -> None:
    made = built(project)
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["SHA256SUMS", "root01.cdx.json", "root01.img"]
    assert f"{sha256(b'image').hexdigest()}  root01.img" in (out / "SHA256SUMS").read_text()
    assert "pkg:pypi/kepil@1" in bill.read(made)
    assert (tmp_path / "told").read_text().endswith("root01.img chrony\n")
    with pytest.raises(OfflineError, match="never replaced"):
        built(project)
    out.rename(tmp_path / "first")
    made = built(project, wanted=tmp_path / "first/root01.cdx.json")
    assert made.read_bytes() == (tmp_path / "first/root01.cdx.json").read_bytes()


@pytest.mark.parametrize(
    ("installed", "reason"),
    [
        (INSTALLED.replace("14.2.0-19", "14.2.0-20"), "no index of the archive has it"),
        (INSTALLED.split("tzdata", maxsplit=1)[0], r"tzdata@\S+ is missing"),
        (None, "build.sh failed"),
    ],
)
def test_a_build_that_is_not_as_it_should_be_leaves_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str | None, reason: str
) -> None:
    built(project)
    (tmp_path / "out").rename(tmp_path / "first")
    if installed is None:
        monkeypatch.setenv("STATUS", "1")
    else:
        (tmp_path / "installed").write_text(installed)
    with pytest.raises((BillError, OfflineError), match=reason):
        built(project, wanted=tmp_path / "first/root01.cdx.json")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / ".out.new").exists()


def test_what_a_package_brings_along_is_looked_at(project: Path, tmp_path: Path) -> None:
    """Nobody asked for it; another package needs it."""
    for name in ("installed", "available"):
        path = tmp_path / name
        path.write_text(path.read_text().replace("tzdata", "wpasupplicant"))
    with pytest.raises(OfflineError, match="wpasupplicant: of no use"):
        built(project)
    assert not (tmp_path / "out").exists()


def test_the_command_names_what_it_cannot_build(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(PROJECT)
    assert main(["estate", "image", "tsp01"]) == 1
    assert "tsp01 has an address" in capsys.readouterr().err
