"""Commands on all hosts side by side."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kepil.estate.model import Estate, Host

T = TypeVar("T")


def run(estate: Estate, host: Host, *command: str, given: str = "") -> str:
    """Standard output of a command on a host, which must succeed."""
    done = subprocess.run(
        ["docker", "exec", "--interactive", estate.container(host), *command],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{host.name}: {' '.join(command)[:200]}\nexit {done.returncode}\n{done.stderr}"
    return done.stdout


def everywhere(hosts: list[Host], work: Callable[[Host], T]) -> dict[str, T]:
    """What the work gives for each host, by name."""
    with ThreadPoolExecutor(max(len(hosts), 1)) as pool:
        return dict(zip((host.name for host in hosts), pool.map(work, hosts), strict=True))
