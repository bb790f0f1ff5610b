"""What would fail half-way is refused before anything is made, and the message names the remedy."""

from __future__ import annotations

import json
import os
import subprocess

from tests.conftest import PROJECT

# Runs a command where another program's bridge is in the development subnets. In a network namespace of its own: on the
# machine itself it would also stop whatever hosts are being made at the same time.
BESIDE_A_FOREIGN_NETWORK = (
    *("unshare", "--net", "sh", "-euc"),
    """ip link add foreign0 type bridge
    ip address add 198.18.250.1/24 dev foreign0
    ip link set foreign0 up
    exec "$@" """,
    "sh",
)


def preflight(*within: str, **variables: object) -> str:
    """Output of the substrate's first phase alone, which must refuse; WITHIN is what runs the command."""
    done = subprocess.run(
        [
            *(*within, "ansible-playbook", "playbooks/substrate.yml"),
            *("--extra-vars", json.dumps({"substrate_phases": ["preflight"], **variables})),
        ],
        cwd=PROJECT,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "kepil_progress"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return " ".join(done.stdout.split())


def test_a_subnet_in_use() -> None:
    said = preflight(*BESIDE_A_FOREIGN_NETWORK)
    assert "198.18.250.0/24 on foreign0 overlaps with 198.18.0.0/15" in said
    assert "Take that interface down" in said


def test_a_full_disk() -> None:
    said = preflight(substrate_minimum_disk_gib=10**6)
    assert "GiB free and 1000000 are needed" in said
