"""`kepil ceremony medium`: write, sign and check what crosses to and from the offline root."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# What a verb needs is imported in it: hosts have this command and not all of what ceremonies are made with.
# ruff: noqa: PLC0415


def register(verbs: Any) -> None:
    """Add the verb, with verbs of its own."""
    text = "write, sign and check what crosses to and from the offline root"
    acts = verbs.add_parser("medium", help=text).add_subparsers(metavar="ACT", required=True)

    write = acts.add_parser("write", help="copy files to a new medium, with a manifest that two people then sign")
    write.add_argument("medium", type=Path, metavar="MEDIUM", help="a folder that is not there yet")
    write.add_argument("sources", nargs="+", type=Path, metavar="FILE", help="a folder goes with all that is in it")
    _add_crossing(write)
    write.add_argument("--step", metavar="ID", help="whose act writes it")
    write.set_defaults(run=_write)

    sign = acts.add_parser("sign", help="sign a medium: an operator who wrote it, a witness or auditor who looked on")
    sign.add_argument("medium", type=Path, metavar="MEDIUM")
    sign.add_argument("--person", required=True, metavar="ID")
    sign.add_argument("--key", required=True, type=Path, metavar="FILE")
    _add_people(sign)
    sign.set_defaults(run=_sign)

    check = acts.add_parser("check", help="copy what a medium holds to a new folder, if all of it is as it was signed")
    check.add_argument("medium", type=Path, metavar="MEDIUM")
    _add_people(check)
    _add_crossing(check)
    check.add_argument(
        "--since", type=time, metavar="TIME", help="refuse what was written before, as 2026-11-21T10:00:00Z"
    )
    check.add_argument("--step", metavar="ID", help="refuse what another step's act wrote")
    check.add_argument("--sha256", metavar="HEX", help="refuse every manifest but the one that the journal names")
    check.add_argument(
        "--out", required=True, type=Path, metavar="FOLDER", help="not there yet; use what is copied there"
    )
    check.set_defaults(run=_check)


def _add_crossing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ceremony", required=True, metavar="ID", help="as its journal names it")
    parser.add_argument("--environment", required=True, metavar="NAME")
    parser.add_argument("--direction", required=True, choices=("to-root", "from-root"))


def _add_people(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", required=True, type=Path, metavar="FILE", help="the participants, as you know them")


def time(text: str) -> datetime:
    """In UTC. Raises ValueError."""
    return datetime.strptime(f"{text}+0000", "%Y-%m-%dT%H:%M:%SZ%z")


def _write(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.medium import write_medium

    crossing = (arguments.ceremony, arguments.environment, arguments.direction)
    manifest = write_medium(arguments.medium, arguments.sources, *crossing, datetime.now(UTC), arguments.step)
    for place, one in manifest.files.items():
        print(f"{one.sha256}  {place}")
    print(f"Next, an operator and a witness: kepil ceremony medium sign {arguments.medium} --person ID --key FILE")
    return 0


def _sign(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.medium import sign_medium
    from kepil.ceremony.people import read_people

    print(sign_medium(arguments.medium, arguments.person, arguments.key, read_people(arguments.people)))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.medium import check_medium
    from kepil.ceremony.people import read_people

    crossing = (arguments.ceremony, arguments.environment, arguments.direction)
    people = read_people(arguments.people)
    crossed = check_medium(
        arguments.medium, people, *crossing, arguments.out, arguments.since, arguments.step, arguments.sha256
    )
    for place, sha256 in crossed.files.items():
        print(f"{sha256}  {place}")
    print(f"{arguments.out}: as {' and '.join(crossed.signed)} signed it, written {crossed.made_at}")
    return 0
