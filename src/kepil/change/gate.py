"""The change gate: lets a run in a guarded environment begin only under an approved record, or says why not."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from syslog import LOG_WARNING
from typing import Any

from kepil.change import review
from kepil.change.invocation import check_settings, compare, touches_hosts
from kepil.change.log import ChangeLog, tell_system_log
from kepil.change.record import FILE, SIGNATURES, TIME, Record, folder, read_record
from kepil.change.tree import Tree
from kepil.errors import KepilError
from kepil.journal.chain import Entry, now
from kepil.signed.signatures import AllowedSigners, signers

NAMESPACE = "change@kepil"
"""What signatures under records and reviews are for."""

VARIABLE = "KEPIL_CHANGE"
"""The environment variable that names the record."""


MAIN = "refs/remotes/origin/main"
"""The branch whose commits others know, where the inventory names none."""


class GateError(KepilError):
    """The run may not begin; the message says why and what to do."""


@dataclass(frozen=True)
class Admission:
    """A run that was let in; `finish` writes how it ended."""

    log: ChangeLog
    start: Entry
    began: float
    tree: Tree

    def finish(self, hosts: Mapping[str, Mapping[str, int]]) -> None:
        """Write the result: Ansible's counts by host."""
        as_committed = self.tree.head() == self.start.data["commit"] and not self.tree.dirt()
        self.log.result(self.start, hosts, round(time.monotonic() - self.began), as_committed=as_committed)


_admitted: list[Admission] = []  # one process is one run, however often it reads its inventory


def admission() -> Admission | None:
    """The run that this process is, if the gate let it in."""
    return _admitted[0] if _admitted else None


def admit(
    environment: str,
    project: Path,
    cliargs: Mapping[str, Any],
    *,
    branch: str = MAIN,
    config: str | None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Let the run begin, and log that it does; or raise KepilError with the reason.

    `cliargs` is what Ansible parsed, `config` its settings file, `branch` the git branch whose commits are known.
    Commands that only list are no runs.
    """
    if not touches_hosts(cliargs) or _admitted:
        return
    project = project.resolve()
    try:
        record, content, people = examine(environment, project, cliargs, branch=branch, config=config, environ=environ)
    except KepilError as error:
        tell_system_log(f"{environment}: refused: {' '.join(str(error).split())}", LOG_WARNING)
        raise GateError(f"{environment}: the change gate refuses this run: {error}") from error
    log = ChangeLog(project, environment)
    start = log.start(record, content, people, check=bool(cliargs["check"]))
    if record.kind == "break-glass":
        _announce(record, people)
    _admitted.append(Admission(log, start, time.monotonic(), Tree(project)))


def examine(
    environment: str,
    project: Path,
    cliargs: Mapping[str, Any],
    *,
    branch: str,
    config: str | None,
    environ: Mapping[str, str],
) -> tuple[Record, bytes, Sequence[str]]:
    """The record that allows this run, its bytes and who signed it; raises KepilError where none does."""
    at = now()
    path = folder(project, environment) / named(environ) / FILE
    record, content = read_record(path)
    check_tree(record, project, branch)
    check_settings(environ, config, project)
    compare(record, cliargs, project)
    check_window(record, at)
    allowed = allowed_signers(project, environment)
    people = approve(record, path, content, allowed, at)
    if record.kind == "ordinary":
        review.settle(project, ChangeLog(project, environment), allowed, at)
    return record, content, people


def named(environ: Mapping[str, str]) -> str:
    """The id of the record that the run is to be under."""
    identity = environ.get(VARIABLE, "")
    if not identity:
        raise GateError(f"no change record is named: set {VARIABLE} to the id of an approved one (docs/changes.md)")
    if "/" in identity or identity.startswith("."):
        raise GateError(f"{VARIABLE}={identity!r} is no id of a record")
    return identity


def check_tree(record: Record, project: Path, branch: str) -> None:
    """Raise GateError unless the checkout is exactly the record's commit, and that a known one."""
    tree = Tree(project)
    if not tree.holds(record.commit):
        raise GateError(f"commit {record.commit} is unknown here: git fetch brings it if it exists")
    head = tree.head()
    if head != record.commit:
        raise GateError(f"the checkout stands at {head}, the record names {record.commit}: git checkout it")
    refuse_dirt(tree)
    if record.kind == "ordinary" and not tree.is_in(head, branch):
        raise GateError(f"commit {head} is unknown to {branch}: merge it first")


def refuse_dirt(tree: Tree) -> None:
    """Raise GateError unless the tree is exactly its commit."""
    dirt = tree.dirt()
    if dirt:
        more = f" and {len(dirt) - 5} more" if len(dirt) > 5 else ""  # noqa: PLR2004 -- enough to see what it is
        raise GateError(f"the checkout is not clean: {', '.join(dirt[:5])}{more}: commit, remove or restore them")


def check_window(record: Record, at: datetime) -> None:
    """Raise GateError outside the record's window."""
    window = record.window
    if not window.since <= at < window.until:
        raise GateError(
            f"it is {at.strftime(TIME)}, the window is {window.since.strftime(TIME)} to {window.until.strftime(TIME)}"
        )


def allowed_signers(project: Path, environment: str) -> AllowedSigners:
    """Who may sign for an environment."""
    return AllowedSigners(project / "inventories" / environment / "allowed_signers", NAMESPACE)


def approve(record: Record, path: Path, content: bytes, allowed: AllowedSigners, at: datetime) -> tuple[str, ...]:
    """Who signed; raises GateError where they are too few."""
    people = signers(path, content, allowed, at)
    if len(people) < SIGNATURES[record.kind]:
        raise GateError(
            f"record {record.id} needs {SIGNATURES[record.kind]} different signers and has "
            f"{', '.join(people) or 'none'}: kepil change sign {record.environment} {record.id}"
        )
    return people


def _announce(record: Record, people: Sequence[str]) -> None:
    print(
        f"\n*** BREAK GLASS *** {record.environment}: {record.playbook}, limit {record.limit}, on the signature of "
        f"{', '.join(people)} alone: {record.reason}\n*** It is in the change log and in the system log. Nothing else "
        f"runs in {record.environment} until two others have signed a review. ***\n",
        file=sys.stderr,
        flush=True,
    )
