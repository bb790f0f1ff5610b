"""The offline host's disk image, built twice from Debian's archive: the same bytes, and what its bill lists."""

from __future__ import annotations

import json
import subprocess
from hashlib import file_digest
from pathlib import Path

import pytest

from kepil.estate import bill, offline, substrate
from kepil.estate.inventory import environment_sources, host_groups, read_listing

PROJECT = Path(__file__).parents[2]
HOST = "root01"


def build(out: Path, wanted: Path | None = None) -> Path:
    """Build the image of production's root host, and return its bill."""
    listing = read_listing(environment_sources(PROJECT / "inventories", "production"))
    chosen = offline.packages(PROJECT, HOST, host_groups(listing), listing["_meta"]["hostvars"])
    return offline.build(PROJECT, HOST, chosen, substrate.mirror(), out, wanted)


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bill of a build, which lies beside its image."""
    return build(tmp_path_factory.mktemp("image") / "first")


@pytest.mark.clause("CP-6.7")
def test_two_builds_give_the_same_bytes(first: Path, tmp_path: Path) -> None:
    """The second one is held to the bill of the first, as whoever approves an image would."""
    second = build(tmp_path / "second", wanted=first)
    image = first.with_name(f"{HOST}.img")
    assert digest(image) == digest(second.with_name(image.name))
    assert first.read_bytes() == second.read_bytes()
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=second.parent, check=True)
    described = json.loads(first.read_bytes())["metadata"]["component"]
    assert described["hashes"][0]["content"] == digest(image)
    listed = bill.read(first)
    assert not [purl for purl in listed if purl.split("@")[0].removeprefix("pkg:deb/debian/") in offline.NETWORK]
    assert {purl.split("@")[0] for purl in listed} >= {
        f"pkg:deb/debian/{package.partition('/')[0]}" for package in (*offline.SYSTEM, *offline.DESK)
    }


INSIDE = """
set -euo pipefail
mount --bind /dev "$ROOT/dev"
mount -t proc proc "$ROOT/proc"
mount -t tmpfs tmpfs "$ROOT/tmp"
mkdir "$ROOT/tmp/project"
mount --bind -o ro "$PROJECT" "$ROOT/tmp/project"
exec chroot "$ROOT" sh -euc "$ACT"
"""
ACT = """
. /etc/profile.d/kepil.sh
export PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
[ -z "$(find /usr/lib/modules -path '*/drivers/net/*' -name '*.ko*')" ]
command -v ansible-playbook lint_pkix_cert
ansible-playbook --version
cd /tmp/project
kepil ceremony rehearse root --folder /tmp/rehearsal --families rsa
kepil ceremony verify /tmp/rehearsal/bundle --signers /tmp/rehearsal/people/allowed_signers
"""


@pytest.fixture
def root(first: Path, tmp_path: Path) -> Path:
    """The system that the image starts, unpacked."""
    image, squashfs = first.with_name(f"{HOST}.img"), tmp_path / "filesystem.squashfs"
    subprocess.run(["mcopy", "-i", f"{image}@@1M", "::/live/filesystem.squashfs", str(squashfs)], check=True)
    words = ["rdsquashfs", "--quiet", "--chmod", "--chown", "--unpack-path", "/", "--unpack-root", f"{tmp_path}/root"]
    subprocess.run([*words, str(squashfs)], check=True, stdout=subprocess.DEVNULL)
    return tmp_path / "root"


@pytest.mark.clause("CP-6.1")
def test_a_ceremony_can_be_held_with_what_is_in_it_and_without_a_network(root: Path) -> None:
    """Script, journal, minutes as PDF and the proof: nothing is missing, and nothing is fetched."""
    environment = {"ROOT": str(root), "PROJECT": str(PROJECT), "ACT": ACT, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    alone = ["unshare", "--net", "--mount", "--uts", "--pid", "--fork", "bash", "-c", INSIDE]
    done = subprocess.run(alone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ansible-playbook [core" in done.stdout
    assert "vouches for krnca-rsa" in done.stdout


def test_nobody_has_a_password_and_nothing_listens(root: Path) -> None:
    """What would let somebody in whom nobody let in."""
    shadow = [line.split(":")[:2] for line in (root / "etc/shadow").read_text().splitlines()]
    assert [who for who, password in shadow if not password.startswith(("!", "*"))] == []
    enabled = {path.name for path in root.glob("etc/systemd/system/*.wants/*")}
    assert enabled.isdisjoint({"chrony.service", "ssh.service", "stunnel4.service", "systemd-networkd.service"})
    assert (root / "etc/hostname").read_text() == f"{HOST}\n"
    assert (root / "etc/machine-id").read_text() == "uninitialized\n"
