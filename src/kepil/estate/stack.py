"""A Pulumi stack as the command line `pulumi` runs it: its folder, its state's backend, its passphrase."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from kepil.errors import KepilError

LOCAL = frozenset({"dev"})
"""Stacks of this machine's own engine. What is theirs alone lies in `pulumi/.local`, nothing of it in git."""
_QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
_PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


class StackError(KepilError):
    """A stack cannot be run. The message names the file or the variable, and what to set."""


@dataclass(frozen=True)
class Stack:
    """Where `pulumi` runs for a stack; `variables` of its environment name the state's backend and the passphrase."""

    name: str
    folder: Path
    variables: Mapping[str, str]


def lacking() -> str | None:
    """What keeps Pulumi from being used on this machine; None where its engine and the docker plugin are as pinned."""
    engine, plugin = version("pulumi"), version("pulumi-docker")
    try:
        found = _ask("version").strip().removeprefix("v")
        if found != engine:
            return f"pulumi {engine} is needed, and {found or 'no version'} is installed"
        installed = json.loads(_ask("plugin", "ls", "--json") or "[]")
    except FileNotFoundError:
        return f"pulumi {engine} is not installed"
    if not any((each["name"], each.get("version")) == ("docker", plugin) for each in installed):
        return f"Pulumi's plugin docker {plugin} is not installed"
    return None


def open_stack(program: Path, name: str) -> Stack:
    """The stack that `Pulumi.<name>.yaml` beside the program configures.

    Raises StackError where that file is missing, or where a stack that is not this machine's own has no passphrase set.
    """
    settings = program / f"Pulumi.{name}.yaml"
    if not settings.exists():
        known = sorted(path.name.split(".")[1] for path in program.glob("Pulumi.*.yaml"))
        raise StackError(f"{settings}: there is no such file; the stacks are {', '.join(known)}")
    if name in LOCAL:
        return local_stack(program, name, program / ".local" / name)
    if not any(os.environ.get(variable) for variable in _PASSPHRASE):
        raise StackError(f"stack {name}: {_PASSPHRASE[1]} is not set; name the file that holds the stack's passphrase")
    backend = _read(settings)["config"].get("kepil:backend")
    return Stack(name, program, {"PULUMI_BACKEND_URL": backend} if backend else {})


def local_stack(program: Path, name: str, folder: Path, settings: Mapping[str, Any] | None = None) -> Stack:
    """A stack that keeps all of its own in a folder: settings, state, and a passphrase that is made once.

    The engine writes a salt into a stack's settings. Here it goes into a copy, which follows the committed file, or
    `settings`, in everything else.
    """
    state, passphrase = folder / "state", folder / "passphrase"
    state.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not passphrase.exists():
        passphrase.touch(mode=0o600)
        passphrase.write_text(secrets.token_urlsafe(32), encoding="ascii")
    project = _read(program / "Pulumi.yaml")
    options = project["runtime"]["options"]
    options["virtualenv"] = str((program / options["virtualenv"]).resolve())
    _write(folder / "Pulumi.yaml", project | {"main": str(program), "backend": {"url": f"file://{state}"}})
    copy = folder / f"Pulumi.{name}.yaml"
    kept = _read(copy) if copy.exists() else {}
    _write(copy, kept | dict(settings or _read(program / copy.name)))
    return Stack(
        name, folder, {"PULUMI_BACKEND_URL": f"file://{state}", "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)}
    )


def run(stack: Stack, *arguments: str) -> int:
    """Run `pulumi` for a stack, which is made if it is new. Prints each command; returns the exit status."""
    select = ("stack", "select", "--create", "--secrets-provider", "passphrase", stack.name)
    for words in (select, (*arguments, "--stack", stack.name)):
        command = ["pulumi", "--cwd", str(stack.folder), *words]
        shown = [f"{name}={value}" for name, value in stack.variables.items()]
        print(f"+ {shlex.join([*shown, *command])}", flush=True)
        status = subprocess.run(command, env=os.environ | _QUIET | dict(stack.variables), check=False).returncode
        if status:
            return status
    return 0


def _ask(*arguments: str) -> str:
    done = subprocess.run(["pulumi", *arguments], capture_output=True, text=True, check=False, env=os.environ | _QUIET)
    return done.stdout


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")
