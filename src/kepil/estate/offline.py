"""The image of the offline root's host: what it holds, and how it is built so that anyone gets the same bytes.

What roles install comes from their own lists, as for every image; `DESK` is what holding a ceremony takes besides, and
`SYSTEM` what a machine needs to start. There is no address, no driver and no program that speaks to a network card.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any, Final

from kepil.errors import KepilError
from kepil.estate import bill
from kepil.estate.substrate import host_packages

SUITE: Final = "trixie"
EPOCH: Final = 1577836800
"""2020-01-01, as of the wheel: no file in the image is younger, so the day of a build leaves no trace."""

SYSTEM: Final = (
    "dbus",
    "kmod",
    "linux-image-amd64",
    "live-boot",
    "live-boot-initramfs-tools",
    "passwd",
    "systemd-boot-efi",
    "systemd-sysv",
    "udev",
    "zstd",
)
DESK: Final = (
    "fonts-dejavu-core",
    "git",
    "jq",
    "less",
    "openssh-client",
    "openssl",
    "python3-apt",
    "python3-asn1crypto",
    "python3-cryptography",
    "python3-installer",
    "python3-jinja2",
    "python3-packaging",
    "python3-pydantic",
    "python3-resolvelib",
    "python3-shamir-mnemonic",
    "python3-venv",
    "python3-yaml",
    "weasyprint",
)
WHEELS: Final = ("ansible-core", "hatchling", "pkilint")
"""What of the controller the desk has, in the versions of `uv.lock`; the rest of what they stand on is Debian's."""
_OF_DEBIAN: Final = frozenset({"cryptography", "jinja2", "packaging", "pyyaml", "resolvelib"})
_WHEEL_TAGS: Final = ("-none-any.whl", "-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")

NETWORK: Final = frozenset(
    {
        *("avahi-daemon", "bluez", "connman", "dhcpcd", "dhcpcd-base", "dnsmasq", "dropbear-bin", "ifupdown"),
        *("ifupdown2", "isc-dhcp-client", "iwd", "modemmanager", "netplan.io", "network-manager", "openssh-server"),
        *("ppp", "rpcbind", "systemd-resolved", "telnetd", "wireguard-tools", "wireless-tools", "wpasupplicant"),
    }
)
"""Packages that bring a network up or serve one: none of them may come in, not even as what another one needs."""


class OfflineError(KepilError):
    """The image cannot be built as it should be; the message says why, and nothing is left."""


def packages(project: Path, host: str, groups: Mapping[str, list[str]], hosts: Mapping[str, Any]) -> list[str]:
    """Debian packages for a host that has no network, `PACKAGE/SUITE` where it is another one. Raises OfflineError."""
    if host not in hosts:
        raise OfflineError(f"no host '{host}'; there are {', '.join(sorted(hosts))}")
    if "estate_address" in hosts[host]:
        raise OfflineError(f"{host} has an address: this image is for a host without a network")
    return sorted({*SYSTEM, *DESK, *host_packages(project, host, dict(groups))})


def locked_wheels(lock: Path) -> dict[str, str]:
    """SHA-256 of each wheel that the desk needs, by `NAME==VERSION`. Raises OfflineError."""
    known = {one["name"]: one for one in tomllib.loads(lock.read_text(encoding="utf-8"))["package"]}
    wanted: dict[str, str] = {}
    waiting = list(WHEELS)
    while waiting:
        one = known[waiting.pop()]
        fitting = [wheel for wheel in one.get("wheels", []) if wheel["url"].endswith(_WHEEL_TAGS)]
        if len(fitting) != 1:
            raise OfflineError(f"{lock}: {one['name']} {one['version']} has {len(fitting)} wheels for the offline host")
        wanted[f"{one['name']}=={one['version']}"] = fitting[0]["hash"].removeprefix("sha256:")
        needed = {dependency["name"] for dependency in one.get("dependencies", [])} - _OF_DEBIAN
        waiting += sorted(name for name in needed if f"{name}=={known[name]['version']}" not in wanted)
    return dict(sorted(wanted.items()))


def build(project: Path, host: str, chosen: list[str], mirror: str, out: Path, wanted: Path | None = None) -> Path:
    """Build the image and its bill into a new folder, and return the bill. Raises KepilError; nothing is replaced.

    With a `wanted` bill, what the mirror has must be what that one lists.
    """
    if out.exists():
        raise OfflineError(f"{out} is there already and is never replaced: choose another name")
    work = out.with_name(f".{out.name}.new")
    shutil.rmtree(work, ignore_errors=True)  # what an interrupted run left
    (work / "wheels").mkdir(parents=True)
    try:
        _fetch_wheels(project, work / "wheels")
        image = work / f"{host}.img"
        _run([str(project / "playbooks/offline/build.sh"), str(work), image.name, *chosen], mirror)
        found = [
            *bill.debian((work / "installed").read_text(), (work / "available").read_text(), SUITE),
            *bill.wheels(work / "wheels"),
        ]
        refuse_network(found)
        if wanted is not None:
            bill.compare(wanted, found)
        _leave(work, image, found)
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out / f"{host}.cdx.json"


def refuse_network(found: list[bill.Component]) -> None:
    """Raise OfflineError where a package is there that brings a network up or serves one."""
    if wrong := sorted(one.name for one in found if one.name in NETWORK):
        raise OfflineError(f"{', '.join(wrong)}: of no use to a host without a network: which package asks for it?")


def _leave(work: Path, image: Path, found: list[bill.Component]) -> None:
    """The image, its bill and their hashes; what they were made from goes."""
    listed = image.with_suffix(".cdx.json")
    listed.write_bytes(bill.cyclonedx(found, image, datetime.fromtimestamp(EPOCH, UTC)))
    with (work / "SHA256SUMS").open("w", encoding="ascii") as sums:
        for path in (listed, image):
            with path.open("rb") as file:
                sums.write(f"{file_digest(file, 'sha256').hexdigest()}  {path.name}\n")
    for path in work.iterdir():
        if path.name not in (listed.name, image.name, "SHA256SUMS"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _fetch_wheels(project: Path, folder: Path) -> None:
    """The desk's wheels, by the hashes of the lock, and the project's own."""
    lines = [f"{name} --hash=sha256:{digest}\n" for name, digest in locked_wheels(project / "uv.lock").items()]
    (folder / "requirements.txt").write_text("".join(lines), encoding="ascii")
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    kind = ["--require-hashes", "--only-binary=:all:", "--python-version=3.13", "--platform=manylinux_2_17_x86_64"]
    _run([*download, *kind, "--dest", str(folder), "--requirement", str(folder / "requirements.txt")])
    builder = project / "roles/package/files/build.py"
    made = subprocess.run([sys.executable, str(builder), str(project)], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode != 0:
        raise OfflineError(f"{builder} made no wheel (exit {made.returncode}); its own output is above")
    shutil.copy(json.loads(made.stdout)["wheel"], folder)


def _run(words: list[str], mirror: str | None = None) -> None:
    told = {"MIRROR": mirror, "SUITE": SUITE} if mirror else {}
    done = subprocess.run(words, env={**os.environ, **told, "SOURCE_DATE_EPOCH": str(EPOCH)}, check=False)
    if done.returncode != 0:
        raise OfflineError(f"{Path(words[0]).name} failed (exit {done.returncode}); its own output is above")
