"""How operators reach hosts by SSH: through the bastion, and only where the host's key is pinned."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

from kepil.estate.model import Estate, EstateError, Host

BASTION = "bastion"


def ssh_config(estate: Estate, folder: str, *options: str, to_bastion: tuple[str, ...] = ()) -> str:
    """The estate's ssh_config(5), with known_hosts in `folder`; the options hold for all hosts, or the bastion's alone.

    Raises EstateError where hosts are administered from no bastion.
    """
    hosts = [*administered(estate), *estate.members("container_host")]
    bastions = [host for host in hosts if BASTION in host.groups]
    if not bastions:
        raise EstateError("group bastion: holds no host; operators log in through one", BASTION)
    behind = [host for host in hosts if host not in bastions]
    lines = [
        "# How operators reach the estate: through the bastion, and only where the host's key is the pinned one.",
        "# Written by `kepil estate ssh-config` from the inventory.",
        "Host *",
        "    GlobalKnownHostsFile /dev/null",
        f"    UserKnownHostsFile {folder}/known_hosts",
        "    StrictHostKeyChecking yes",
        "    PasswordAuthentication no",
        "    ForwardAgent no",
        *(f"    {option}" for option in options),
        "",
        f"# {', '.join(host.name for host in bastions)}",
        f"Host {' '.join(str(host.address) for host in bastions)}",
        "    ControlMaster auto",
        "    ControlPath ~/.ssh/kepil-%C",
        "    ControlPersist 60s",
        *(f"    {option}" for option in to_bastion),
        "",
        f"# {', '.join(host.name for host in behind)}",
        f"Host {' '.join(str(host.address) for host in behind)}",
        f"    ProxyJump {bastions[0].address}",
        "",
    ]
    return "\n".join(lines)


def administered(estate: Estate) -> Iterator[Host]:
    """Hosts that Ansible reaches by SSH, by name."""
    for host in estate.members("all"):
        if "appliance" not in host.groups and estate.zones[host.zone].administered_from:
            yield host


def unpinned(estate: Estate, known_hosts: Path) -> list[Host]:
    """Hosts that operators reach and whose key the file does not pin by the host's address (sshd(8), known_hosts)."""
    lines = known_hosts.read_text(encoding="utf-8").splitlines() if known_hosts.exists() else []
    fields = [line.split() for line in lines if line.strip() and not line.startswith(("#", "@revoked"))]
    pinned = {name for words in fields if words[1:] for name in words[0].split(",")}
    return [host for host in administered(estate) if str(host.address or IPv4Address(0)) not in pinned]
