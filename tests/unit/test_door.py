"""The door refuses what it cannot do, with the reason and an exit status that scripts can tell apart."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def door(*arguments: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / "estate", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        user=user,
    )


def test_help_is_no_error() -> None:
    done = door("help")
    assert done.returncode == 0
    assert "usage: ./estate" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "no command"),
        (("raise",), "there is no command 'raise'"),
        (("test", "everything"), "there is no test part 'everything'"),
        (("test", "role", "nobody"), "there is no role, and no scenario, 'nobody'"),
        (("shell",), "shell needs one HOST"),
        (("ceremony", "root"), "ceremony takes NAME --rehearse"),
        (("image",), "image takes HOST, and --bill FILE"),
        (("image", "root01", "--bill"), "image takes HOST, and --bill FILE"),
        (("up", "--network", "terraform"), "up takes --network pulumi, ansible or auto"),
    ],
)
def test_wrong_usage_is_said_and_ends_with_2(arguments: tuple[str, ...], reason: str) -> None:
    done = door(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "usage: ./estate" in done.stderr


def test_an_unknown_host_is_named() -> None:
    done = door("shell", "nobody01")
    assert done.returncode == 1
    assert "no host 'nobody01' in development" in done.stderr


def test_who_is_not_root_is_told() -> None:
    """The script comes by standard input: the checkout itself may be closed to others."""
    with (PROJECT / "estate").open("rb") as script:
        done = subprocess.run(
            ["bash", "-s", "up"], stdin=script, capture_output=True, text=True, check=False, user=65534, cwd="/"
        )
    assert done.returncode == 1
    assert "needs root (uid 65534)" in done.stderr
