"""Which way makes an environment's networks on this machine: Pulumi or Ansible. Neither takes over the other's work."""

from __future__ import annotations

import subprocess
from typing import Literal

from kepil.errors import KepilError
from kepil.estate.resources import MADE_BY, Maker

Wish = Literal["auto", "pulumi", "ansible"]


class WayError(KepilError):
    """The networks cannot be made in the way that was asked for. The message says why, and what can be done."""


def standing(environment: str) -> dict[str, str]:
    """The environment's networks on this machine's engine, each with who made it; none where no engine answers."""
    try:
        done = subprocess.run(
            [
                *("docker", "network", "ls", "--filter", f"label=kepil.environment={environment}"),
                *("--format", f'{{{{.Name}}}} {{{{.Label "{MADE_BY}"}}}}'),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return {}
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: maker[0] if maker else "ansible" for name, *maker in lines}


def choose(wish: Wish, networks: dict[str, str], lacking: str | None) -> tuple[Maker, str]:
    """The way to go, and why.

    `networks` is what stands, with who made it; `lacking` is what Pulumi lacks here, None if nothing. What stands goes
    on as it was made. Raises WayError where that contradicts the wish, or where Pulumi is needed and lacks something.
    """
    if networks:
        maker = _only_maker(networks)
        refuse_other(networks, maker if wish == "auto" else wish)
        return _usable(maker, lacking), "its networks stand, and were made so"
    if wish == "auto":
        return ("ansible", lacking) if lacking else ("pulumi", "its engine and the docker plugin are installed")
    return _usable(wish, lacking), "as asked"


def refuse_other(networks: dict[str, str], maker: Maker) -> None:
    """Raise WayError where any network was made by another than `maker`."""
    others = sorted(name for name, made_by in networks.items() if made_by != maker)
    if others:
        other = networks[others[0]]
        raise WayError(
            f"{', '.join(others)}: made by {other}, which {maker} does not take over. Go on with"
            f" ./estate up --network {other}, or take the environment down first (./estate down)"
        )


def _only_maker(networks: dict[str, str]) -> Maker:
    makers = set(networks.values())
    if len(makers) > 1:
        raise WayError(f"{', '.join(sorted(networks))}: made by both Ansible and Pulumi; ./estate down removes them")
    return "pulumi" if "pulumi" in makers else "ansible"


def _usable(maker: Maker, lacking: str | None) -> Maker:
    if maker == "pulumi" and lacking:
        raise WayError(f"{lacking}. docs/networks.md says how to install it; --network ansible needs neither")
    return maker
