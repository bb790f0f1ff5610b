"""Which container engines an environment stands on, how they are reached, and what stands on each."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from kepil.estate import resources, substrate
from kepil.estate.inventory import all_variables, host_groups, read_estate, read_listing
from kepil.estate.model import Estate, EstateError, Host

_SSH_OPTIONS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
_CONNECTION = ("ansible_user", "ansible_port", "ansible_ssh_private_key_file", *_SSH_OPTIONS)


@dataclass(frozen=True)
class Engine:
    """One container engine; `address` is None for this machine's own."""

    ground: resources.Ground
    address: str | None = None
    """As the engine's clients spell it: `ssh://user@host:port`."""
    ssh_options: tuple[str, ...] = ()
    """Options of ssh(1), as Ansible uses them for the same host."""


def engines(project: Path, sources: Sequence[Path], mirror: str) -> list[Engine]:
    """The engines of the environment that inventory sources, as `environment_sources` gives them, describe.

    One on this machine where all hosts are containers, else one a container host that holds any. Hosts that are
    machines are on none. Raises EstateError, naming the host and the key, where an engine could not be told all.
    """
    listing = read_listing(sources)
    estate = read_estate(listing)
    image_of = substrate.images(project, host_groups(listing), mirror)["of_host"].__getitem__
    if all_variables(listing).get("ansible_connection") == "docker":
        return [Engine(resources.local(estate, image_of, "pulumi"))]
    used = {host.container_host for host in estate.hosts.values()}
    holders = [holder for holder in estate.members("container_host") if holder.name in used]
    variables = listing["_meta"]["hostvars"]
    return [_remote(estate, holder, variables[holder.name], sources, image_of) for holder in holders]


def cgroup_version() -> str:
    """The version of cgroups that this machine's engine uses; raises EstateError where no engine answers."""
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{.CgroupVersion}}"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise EstateError("no container engine is installed: run playbooks/substrate.yml, phase engine") from None
    if not (version := done.stdout.strip()):  # some engines' clients end with success all the same
        raise EstateError(f"the container engine does not answer; start it: {done.stderr.strip()}")
    return version


def _remote(
    estate: Estate,
    holder: Host,
    variables: dict[str, Any],
    sources: Sequence[Path],
    image_of: Callable[[str], str],
) -> Engine:
    if holder.address is None:
        raise EstateError(f"{holder.name}: a container host is reached by SSH; it needs an address", holder.name)
    parent = variables.get("estate_vlan_parent")
    ground = resources.on_container_host(estate, holder, parent, image_of, "pulumi")
    stated = _resolve(holder, variables | {"inventory_dir": str(sources[1])})
    user, port, key = (stated[name] for name in ("ansible_user", "ansible_port", "ansible_ssh_private_key_file"))
    address = f"ssh://{f'{user}@' if user else ''}{holder.address}{f':{port}' if port else ''}"
    options = [word for name in _SSH_OPTIONS for word in shlex.split(stated[name])]
    return Engine(ground, address, ("-o", "StrictHostKeyChecking=yes", *(("-i", key) if key else ()), *options))


def _resolve(holder: Host, variables: dict[str, Any]) -> dict[str, str]:
    """How Ansible connects to a host. A listing holds templates as they are written, and only Ansible resolves them."""
    _find_plugins()
    templar = Templar(loader=DataLoader(), variables=variables)
    try:
        return {name: str(templar.template(trust_as_template(str(variables.get(name, ""))))) for name in _CONNECTION}
    except AnsibleError as error:
        raise EstateError(f"{holder.name}: {error}", holder.name) from error


_find_plugins = cache(init_plugin_loader)  # a process may do it once
