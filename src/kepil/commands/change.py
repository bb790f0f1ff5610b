"""`kepil change`: propose, show, sign, verify and review changes of a guarded environment, and read its change log."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from kepil.change import record, review
from kepil.change.gate import VARIABLE, allowed_signers, approve, check_window, refuse_dirt
from kepil.change.invocation import command
from kepil.change.log import ChangeLog, Run
from kepil.change.record import TIME, Record, folder, parse_time, read_record
from kepil.change.review import Review, read_review
from kepil.change.tree import Tree
from kepil.errors import KepilError
from kepil.journal.chain import now
from kepil.signed import document
from kepil.signed.signatures import sign


class ChangeCommandError(KepilError):
    """A command did not do what was asked; the message says why."""


def register(nouns: Any) -> None:
    """Add the noun and its verbs to the command line."""
    verbs = nouns.add_parser("change", help="changes of a guarded environment").add_subparsers(
        metavar="VERB", required=True
    )
    propose = _verb(verbs, "propose", _propose, "write a record of what is to run, at the commit that is checked out")
    _add_run(propose)
    propose.add_argument(
        "--from", dest="since", type=_time, metavar="TIME", help="UTC, 2026-11-21T18:00:00Z (default: now)"
    )
    propose.add_argument("--until", required=True, type=_time, metavar="TIME", help="UTC; at most seven days later")

    glass = _verb(verbs, "break-glass", _break_glass, "write a record and sign it alone; the run is announced loudly")
    _add_run(glass)
    _add_key(glass)
    glass.add_argument("--hours", type=int, default=4, metavar="N", help="how long it holds, at most 12 (default 4)")

    _add_id(_verb(verbs, "show", _show, "print a record or review, its SHA-256 and the command that it allows"))

    sign_it = _verb(verbs, "sign", _sign, "sign a record or review with your SSH key, after showing it")
    _add_id(sign_it)
    _add_key(sign_it)
    sign_it.add_argument("--yes", action="store_true", help="do not ask: you have read it")

    _add_id(_verb(verbs, "verify", _verify, "exit 0 if enough people signed a record and its window is not over"))

    reviewing = _verb(verbs, "review", _review, "write a review of all break-glass runs that have none")
    reviewing.add_argument("--finding", required=True, metavar="TEXT", help="what was done, and what follows from it")
    reviewing.add_argument("--id", metavar="ID", help="default: made from the time")

    _verb(verbs, "log", _log, "verify the change log and print its runs")


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("environment", metavar="ENVIRONMENT", help="for example production")
    parser.set_defaults(run=run)
    return parser


def _add_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of the record or review")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key", required=True, type=Path, metavar="FILE", help="SSH private key, or the public key of one in the agent"
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--playbook", required=True, metavar="PATH", help="for example playbooks/site.yml")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="one line for those who sign and who audit")
    parser.add_argument("--id", metavar="ID", help="default: made from date and playbook")
    parser.add_argument("--limit", default="all", metavar="PATTERN", help="as ansible-playbook takes it (default all)")
    parser.add_argument("--start-at-task", metavar="NAME", help="as ansible-playbook takes it")
    for option, text in (
        ("tags", "as ansible-playbook takes it; may be repeated"),
        ("skip-tags", "as ansible-playbook takes it; may be repeated"),
        ("extra-vars", "as ansible-playbook takes it, never a secret; may be repeated"),
        ("inventory", "default: inventories/common, inventories/ENVIRONMENT, inventories/estate.kepil.yml"),
    ):
        parser.add_argument(f"--{option}", action="append", default=[], metavar="VALUE", help=text)


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _propose(arguments: argparse.Namespace) -> int:
    since = arguments.since or now().replace(microsecond=0)
    identity = arguments.id or f"{since.date()}-{Path(arguments.playbook).stem}"
    path = _write_record(arguments, identity, "ordinary", since, arguments.until)
    print(f"{path}\nNext, two people: kepil change sign {arguments.environment} {identity} --key FILE")
    return 0


def _break_glass(arguments: argparse.Namespace) -> int:
    since = now().replace(microsecond=0)
    identity = arguments.id or f"break-glass-{since:%Y%m%d-%H%M%S}"
    until = since + timedelta(hours=arguments.hours)
    path = _write_record(arguments, identity, "break-glass", since, until)
    made, content = read_record(path)
    try:
        person = sign(path, content, arguments.key, allowed_signers(_project(), made.environment), since)
    except KepilError:
        path.unlink()
        path.parent.rmdir()
        raise
    print(f"signed by {person} alone, until {until.strftime(TIME)}:\n{_command(made)}")
    print(f"Afterwards: kepil change review {made.environment} --finding '…', signed by two others.", file=sys.stderr)
    return 0


def _write_record(
    arguments: argparse.Namespace,
    identity: str,
    kind: Literal["ordinary", "break-glass"],
    since: datetime,
    until: datetime,
) -> Path:
    tree = Tree.around(Path.cwd())
    refuse_dirt(tree)
    environment = arguments.environment
    sources = ["inventories/common", f"inventories/{environment}", "inventories/estate.kepil.yml"]
    path = folder(tree.project, environment) / identity / record.FILE
    made = document.build(
        Record,
        {
            "id": identity,
            "kind": kind,
            "environment": environment,
            "commit": tree.head(),
            "playbook": arguments.playbook,
            "inventory": arguments.inventory or sources,
            "limit": arguments.limit,
            "tags": _split(arguments.tags),
            "skip_tags": _split(arguments.skip_tags),
            "start_at_task": arguments.start_at_task,
            "extra_vars": arguments.extra_vars,
            "window": {"from": since.strftime(TIME), "until": until.strftime(TIME)},
            "reason": arguments.reason,
        },
        path,
    )
    for source in (made.playbook, *made.inventory):
        if not (tree.project / source).exists():
            raise ChangeCommandError(f"{source} is not in {tree.project}")
    document.write(path, made)
    return path


def _split(tags: Sequence[str]) -> list[str]:
    return [tag for each in tags for tag in each.split(",")]


def _show(arguments: argparse.Namespace) -> int:
    path, content = _document(arguments)
    print(f"# {path}\n{content.decode()}# SHA-256 {sha256(content).hexdigest()}")
    if path.name == record.FILE:
        made, _ = read_record(path)
        tree = Tree.around(Path.cwd())
        about = tree.subject(made.commit) if tree.holds(made.commit) else "unknown here: git fetch brings it"
        print(f"# commit: {about}\n{_command(made)}")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    path, content = _document(arguments)
    if path.name == record.FILE and not Tree.around(Path.cwd()).holds(read_record(path)[0].commit):
        raise ChangeCommandError(
            f"{path}: its commit is unknown here, and nobody signs what they cannot read: git fetch"
        )
    _show(arguments)
    if not (arguments.yes or _confirmed()):
        raise ChangeCommandError(f"{path}: not signed; --yes signs without asking")
    person = sign(path, content, arguments.key, allowed_signers(_project(), arguments.environment), now())
    print(f"{path.with_name(f'{person}.sig')}: signed by {person}")
    return 0


def _confirmed() -> bool:
    try:
        return input("Sign exactly this? Type yes: ") == "yes"
    except EOFError:
        return False


def _verify(arguments: argparse.Namespace) -> int:
    project = _project()
    path = folder(project, arguments.environment) / arguments.id / record.FILE
    made, content = read_record(path)
    at = now()
    people = approve(made, path, content, allowed_signers(project, arguments.environment), at)
    print(f"{made.id}: {made.kind}, signed by {', '.join(people)}")
    check_window(made, max(at, made.window.since))
    print(
        f"may begin from {made.window.since.strftime(TIME)} until {made.window.until.strftime(TIME)}:\n{_command(made)}"
    )
    return 0


def _review(arguments: argparse.Namespace) -> int:
    project, environment, at = _project(), arguments.environment, now()
    starts = ChangeLog(project, environment).unreviewed()
    if not starts:
        raise ChangeCommandError(f"{environment}: no break-glass run is without a review")
    identity = arguments.id or f"review-{at:%Y%m%d-%H%M%S}"
    path = folder(project, environment) / identity / review.FILE
    stated = {
        "id": identity,
        "environment": environment,
        "starts": [start.sha256 for start in starts],
        "finding": arguments.finding,
    }
    document.write(path, document.build(Review, stated, path))
    print(f"{path}: of {', '.join(start.data['record'] for start in starts)}")
    print(f"Next, two people who did not break the glass: kepil change sign {environment} {identity} --key FILE")
    return 0


def _log(arguments: argparse.Namespace) -> int:
    log = ChangeLog(_project(), arguments.environment)
    entries = log.journal.entries()
    for run in log.runs():
        print(_line(run))
    head = entries[-1].sha256 if entries else "none"
    print(f"{len(entries)} entries, each chained to the one before; head {head}")
    return 0


def _line(run: Run) -> str:
    data = run.start.data
    who = data["runner"].get("sudo_user", data["runner"]["user"])
    parts = [
        f"{run.start.number:>4}  {run.start.time}  {data['record']}: {data['playbook']} at {data['commit'][:12]},",
        f"limit {data['limit']}, {'dry run, ' if data['check'] else ''}by {who}@{data['runner']['host']}:",
        _outcome(run),
    ]
    if run.broke_glass:
        parts.append(f"BREAK-GLASS, {'reviewed' if run.review else 'NOT REVIEWED'}")
    return " ".join(parts)


def _outcome(run: Run) -> str:
    if run.result is None:
        return "interrupted, or not over"
    data = run.result.data
    told = [
        f"{word} {', '.join(hosts)}"
        for key, word in (("changed", "changed"), ("failures", "FAILED"), ("unreachable", "UNREACHABLE"))
        if (hosts := [host for host, counts in data["hosts"].items() if counts[key]])
    ]
    moved = "" if data["as_committed"] else ", THE CHECKOUT CHANGED MEANWHILE"
    return f"exit {data['exit']}, {data['seconds']} s, {'; '.join(told) or 'nothing changed'}{moved}"


def _document(arguments: argparse.Namespace) -> tuple[Path, bytes]:
    """The record or the review of this id; parsed, so that nobody is shown what is not one."""
    place = folder(_project(), arguments.environment) / arguments.id
    if (place / review.FILE).exists():
        return place / review.FILE, read_review(place / review.FILE)[1]
    return place / record.FILE, read_record(place / record.FILE)[1]


def _project() -> Path:
    return Tree.around(Path.cwd()).project


def _command(made: Record) -> str:
    return f"{VARIABLE}={made.id} {shlex.join(command(made))}"
