"""What the development estate stands on: images, networks and containers, derived from inventory and roles."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from kepil.estate import resources
from kepil.estate.model import Estate, EstateError

# What a container needs before Ansible can speak to it as to a machine: by the container runtime or, in a rehearsal,
# by SSH. Everything else comes from the roles' lists.
BOOTSTRAP_PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)

Groups = dict[str, list[str]]


def mirror() -> str:
    """The Debian mirror that images are made from: KEPIL_DEBIAN_MIRROR, or Debian's own."""
    return os.environ.get("KEPIL_DEBIAN_MIRROR") or "http://deb.debian.org/debian"


def matches(pattern: str, host: str, groups: Groups) -> bool:
    """Whether an Ansible host pattern (names joined by `:`, `!` to exclude) takes in a host.

    Only what the layers' plays use is understood; anything else raises EstateError.
    """
    included = False
    for term in pattern.split(":"):
        name = term.removeprefix("!")
        if not name or not name.replace("_", "").isalnum():
            raise EstateError(f"hosts: {pattern}: a layer may only join group names with ':' and ':!'")
        if name in ("all", host) or host in groups.get(name, []):
            included = not term.startswith("!")
            if not included:
                return False
    return included


def read_plays(layers: Path) -> list[dict[str, Any]]:
    """All plays of the layers, in file order."""
    return [play for path in sorted(layers.glob("*.yml")) for play in yaml.safe_load(path.read_text(encoding="utf-8"))]


def play_roles(play: dict[str, Any]) -> list[str]:
    """Names of the roles that a play applies."""
    return [role if isinstance(role, str) else role["role"] for role in play.get("roles", [])]


def role_packages(roles: Path, role: str) -> list[str]:
    """Debian packages that a role installs: `__<role>_packages` in its vars, each with `/<suite>` if it names a
    `__<role>_suite`."""
    path = roles / role / "vars" / "main.yml"
    if not path.exists():
        return []
    variables = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    suite = variables.get(f"__{role}_suite")
    return [f"{package}/{suite}" if suite else package for package in variables.get(f"__{role}_packages", [])]


def host_packages(project: Path, host: str, groups: Groups) -> set[str]:
    """Debian packages of all roles that the layers apply to a host."""
    plays = read_plays(project / "playbooks" / "layers")
    applied = {role for play in plays if matches(play["hosts"], host, groups) for role in play_roles(play)}
    return {package for role in applied for package in role_packages(project / "roles", role)}


def _tag(kind: str, content: Iterable[str]) -> str:
    digest = hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]
    return f"kepil/{kind}:{digest}"


def images(project: Path, groups: Groups, mirror: str) -> dict[str, Any]:
    """The base image (what every host of any environment has) and, for each host, its kind's layer on top.

    A tag names the content, so that an image is built again only when a package list, or how images are made, changes.
    """
    recipe, roles = project / "playbooks" / "substrate", project / "roles"
    base_recipe, *layer_recipe = (
        path.read_text(encoding="utf-8")
        for path in (recipe / "images.yml", recipe / "bake.sh", roles / "gost" / "files" / "suite.sh")
    )
    plays = read_plays(project / "playbooks" / "layers")
    standing = sorted({name for members in groups.values() for name in members} - set(groups.get("appliance", [])))
    everywhere = [play for play in plays if set(play["hosts"].split(":")) in ({"all"}, {"all", "!appliance"})]
    common = {p for play in everywhere for role in play_roles(play) for p in role_packages(roles, role)}
    # The base is of one suite.
    base_packages = sorted({p for p in common if "/" not in p} | set(BOOTSTRAP_PACKAGES))
    base: dict[str, Any] = {"tag": _tag("base", [mirror, base_recipe, *base_packages]), "packages": base_packages}
    layers: dict[str, dict[str, Any]] = {}
    of_host: dict[str, str] = {}
    for host in standing:
        packages = sorted(host_packages(project, host, groups) - set(base_packages))
        if not packages:
            of_host[host] = base["tag"]
            continue
        tag = _tag("host", [base["tag"], *layer_recipe, *packages])
        layers[tag] = {"tag": tag, "packages": packages}
        of_host[host] = tag
    return {"base": base, "layers": list(layers.values()), "of_host": of_host}


def describe(project: Path, estate: Estate, groups: Groups, mirror: str) -> dict[str, Any]:
    """Images, networks and hosts of an environment as containers: the whole substrate as plain data."""
    built = images(project, groups, mirror)
    ground = resources.local(estate, built["of_host"].__getitem__, "ansible")
    # `wanted` is how the engine lists a host that runs as described.
    hosts = [{**host, "wanted": f"{host['container']} {host['spec']}"} for host in ground["hosts"]]
    return {"base": built["base"], "layers": built["layers"], "networks": ground["networks"], "hosts": hosts}
