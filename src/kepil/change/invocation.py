"""What was typed: the options of `ansible-playbook` that change what happens, held against what the record names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kepil.errors import KepilError

if TYPE_CHECKING:  # a record brings what validates it, which takes longer than all else here, at each start of Ansible
    from kepil.change.record import Record

LISTS_ONLY = ("listhosts", "listtasks", "listtags", "syntax")
"""With one of these Ansible reads and prints; it reaches no host."""

NAMED = ("args", "inventory", "subset", "tags", "skip_tags", "start_at_task", "extra_vars")
"""What the record names."""

UNCHANGED = {
    "become": False,
    "become_method": "sudo",
    "become_user": None,
    "connection": "ssh",
    "module_path": None,
    "scp_extra_args": None,
    "sftp_extra_args": None,
    "ssh_common_args": None,
    "ssh_extra_args": None,
}
"""What only the inventory may say, and so the commit: each with its value when nobody types it."""

FREE = frozenset(
    {
        *("ask_pass", "ask_vault_pass", "become_ask_pass", "become_password_file", "connection_password_file"),
        *("private_key_file", "remote_user", "vault_ids", "vault_password_files"),
        *("check", "diff", "flush_cache", "force_handlers", "forks", "step", "timeout", "verbosity", "version"),
    }
)
"""Who connects, how fast, how much is shown, and less than the record allows. A dry run reaches hosts all the same."""

FREE_SETTINGS = frozenset(
    {
        *("ANSIBLE_BECOME_PASSWORD_FILE", "ANSIBLE_CONNECTION_PASSWORD_FILE", "ANSIBLE_PRIVATE_KEY_FILE"),
        *("ANSIBLE_REMOTE_USER", "ANSIBLE_VAULT_IDENTITY_LIST", "ANSIBLE_VAULT_PASSWORD_FILE"),
        *("ANSIBLE_CALLBACK_RESULT_FORMAT", "ANSIBLE_DEPRECATION_WARNINGS", "ANSIBLE_FORCE_COLOR", "ANSIBLE_NOCOLOR"),
        *("ANSIBLE_CONFIG", "ANSIBLE_FORKS", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_VERBOSITY"),
    }
)
"""Variables of the environment that change nothing but the above; ANSIBLE_CONFIG is held against the project's."""


CEREMONIES = "playbooks/ceremonies/"
ENGINE = frozenset(f"ceremony_{name}" for name in ("arrived", "hall", "keys", "left", "media", "step", "thing"))
"""What the engine of ceremonies tells their playbooks."""
SIDES = frozenset({"root", "!root"})
"""To which it limits them: the offline root's host, or those with a network."""
SPECIAL = frozenset({"all", "always", "never", "tagged", "untagged"})
"""Tags that are more than one act."""


class InvocationError(KepilError):
    """What was typed is not what the record names; the message says which option, and never a value of a variable."""


def touches_hosts(cliargs: Mapping[str, Any]) -> bool:
    """Whether the command that Ansible parsed would reach a host; what only lists does not."""
    lists_inventory = {"graph", "export"} <= set(cliargs)  # ansible-inventory
    return not lists_inventory and not any(cliargs.get(option) for option in LISTS_ONLY)


def compare(record: Record, cliargs: Mapping[str, Any], project: Path) -> None:
    """Raise InvocationError unless exactly what the record names is about to run."""
    if "start_at_task" not in cliargs:
        raise InvocationError(
            "only ansible-playbook runs here: what ansible and ansible-console are told is in no commit and in no "
            "record; put it into a playbook"
        )
    unknown = sorted(set(cliargs) - {*NAMED, *UNCHANGED, *FREE, *LISTS_ONLY})
    if unknown:
        raise InvocationError(f"this Ansible has options that the change gate does not know: {', '.join(unknown)}")
    for option, usual in UNCHANGED.items():
        if cliargs.get(option) != usual:
            raise InvocationError(f"--{option.replace('_', '-')}: no record can name it; the inventory states it")
    wanted = _run(
        args=[project / record.playbook],
        inventory=[project / source for source in record.inventory],
        subset=record.limit,
        tags=record.tags or ("all",),
        skip_tags=record.skip_tags,
        start_at_task=record.start_at_task,
        extra_vars=record.extra_vars,
        project=project,
    )
    typed = _run(**{option: cliargs[option] for option in NAMED}, project=project)
    if _is_an_act(record, typed):
        typed |= {option: wanted[option] for option in ("limit", "tags", "extra-vars")}
    for option, value in typed.items():
        if value != wanted[option]:
            raise InvocationError(f"{option}: {_difference(option, wanted[option], value)}")


def _is_an_act(record: Record, typed: Mapping[str, Any]) -> bool:
    """Whether the run is a ceremony's playbook as its engine runs it: one act, and what it tells the playbook.

    The record lets the whole playbook run; an act is a part of it, on one side of the air gap. Its step is in the plan,
    which people sign.
    """
    if not record.playbook.startswith(CEREMONIES) or record.tags or record.extra_vars:
        return False
    if typed["limit"] != record.limit and not (record.limit == "all" and typed["limit"] in SIDES):
        return False
    try:
        told = json.loads(typed["extra-vars"][0])
    except (ValueError, IndexError):
        return False
    return (
        len(typed["tags"]) == len(typed["extra-vars"]) == 1
        and not SPECIAL & set(typed["tags"])
        and isinstance(told, dict)
        and {"ceremony_hall"} <= told.keys() <= ENGINE
    )


def check_settings(environ: Mapping[str, str], config: str | None, project: Path) -> None:
    """Raise InvocationError where settings from outside the commit would steer the run."""
    if config is None or Path(config).resolve() != project / "ansible.cfg":
        raise InvocationError(f"Ansible's settings come from {config or 'nowhere'}: run from {project}")
    foreign = sorted(name for name in environ if name.startswith("ANSIBLE_") and name not in FREE_SETTINGS)
    if foreign:
        raise InvocationError(f"{', '.join(foreign)}: set in the environment, named by no record: unset it")


def _run(
    *,
    args: Sequence[str | Path],
    inventory: Sequence[str | Path],
    subset: str | None,
    tags: Sequence[str],
    skip_tags: Sequence[str],
    start_at_task: str | None,
    extra_vars: Sequence[str],
    project: Path,
) -> dict[str, Any]:
    """A run in one spelling, by the names that people know: order matters where Ansible heeds it."""
    return {
        "playbook": tuple(_inside(path, project) for path in args),
        "inventory": tuple(_inside(path, project) for path in inventory),
        "limit": subset or "all",
        "tags": tuple(sorted(set(tags))),
        "skip-tags": tuple(sorted(set(skip_tags))),
        "start-at-task": start_at_task,
        "extra-vars": tuple(extra_vars),
    }


def _inside(path: str | Path, project: Path) -> str:
    """Where a path leads, links followed: no link makes one file look like another."""
    return os.path.relpath(Path(path).resolve(), project)


def _difference(option: str, named: Any, value: Any) -> str:
    if option == "extra-vars":  # someone may have typed a secret
        return f"not the {len(named)} that the record names, in its order and spelling"
    return f"the record names {_show(named)}, not {_show(value)}"


def _show(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)


def command(record: Record) -> list[str]:
    """The command that the record allows, to be run in the project's folder."""
    options = [
        *(("-i", source) for source in record.inventory),
        *((("--limit", record.limit),) if record.limit != "all" else ()),
        *(("--tags", tag) for tag in record.tags),
        *(("--skip-tags", tag) for tag in record.skip_tags),
        *((("--start-at-task", record.start_at_task),) if record.start_at_task else ()),
        *(("--extra-vars", variables) for variables in record.extra_vars),
    ]
    return ["ansible-playbook", record.playbook, *(part for option in options for part in option)]
