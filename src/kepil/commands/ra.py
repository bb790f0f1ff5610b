"""`kepil ra`: what registration officers do at a branch, over the registration authority's API."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from kepil.ra.client import Client, ClientSettings, TryLaterError
from kepil.ra.https import UnreachableError, sender
from kepil.ra.messages import RejectionReason, RevocationReason, State
from kepil.ra.openapi import description

TRY_LATER = 3
"""Exit status where the same command may succeed later; nothing is done twice by that."""

_EPILOG = (
    "Answers are JSON on standard output. Exit status: 0 done; 1 refused, with code, reason and remedy on standard "
    "error; 2 wrong usage; 3 not now: run the same command again later, nothing is done twice."
)
_SETTINGS = "~/.config/kepil/ra.json"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the noun and its verbs to the command line."""
    noun = subparsers.add_parser(
        "ra",
        help="applications and revocations at a branch",
        description="Work of registration officers.",
        epilog=_EPILOG,
    )
    verbs = noun.add_subparsers(metavar="VERB", required=True)

    apply = _verb(verbs, "apply", _apply, "enter a subscriber's application (registrar)")
    apply.add_argument("--profile", required=True, metavar="NAME", help="for example natural-person")
    apply.add_argument("--authority", required=True, metavar="NAME", help="for example nca-rsa")
    apply.add_argument("--request", required=True, type=Path, metavar="FILE", help="PKCS #10 request, PEM")
    apply.add_argument("--email", required=True, metavar="ADDRESS", help="where the subscriber is told of the issue")
    apply.add_argument(
        "--document", required=True, type=Path, metavar="FILE", help="the signed application; its SHA-256 is sent"
    )

    lists = _verb(verbs, "list", _list, "list the branch's applications, oldest first")
    lists.add_argument("--state", choices=get_args(State))
    lists.add_argument("--cursor", metavar="NEXT", help="`next` of the page before")
    lists.add_argument("--limit", type=int, metavar="N", help="items at most, 1 to 200")

    _identified(verbs, "show", _show, "show an application")
    _identified(verbs, "check", _check, "see what a request asks for, to compare with the documents (approver)")
    approve = _identified(verbs, "approve", _approve, "approve an application that was checked (approver)")
    approve.add_argument("--request-sha256", required=True, metavar="HEX", help="the digest that `check` printed")
    reject = _identified(verbs, "reject", _reject, "reject an application for good (approver)")
    reject.add_argument("--reason", required=True, choices=get_args(RejectionReason))
    fetch = _identified(verbs, "fetch", _fetch, "fetch the certificate (registrar, approver)")
    fetch.add_argument("--out", type=Path, metavar="FILE", help="where it goes, PEM (default: standard output)")

    revoke = _verb(verbs, "revoke", _revoke, "revoke a certificate for good (revoker)")
    revoke.add_argument("serial", metavar="SERIAL", help="its serial number, hexadecimal")
    revoke.add_argument("--reason", required=True, choices=get_args(RevocationReason), help="RFC 5280 section 5.3.1")
    revoke.add_argument(
        "--document", required=True, type=Path, metavar="FILE", help="the application to revoke; its SHA-256 is sent"
    )

    journal = _verb(verbs, "journal", _journal, "read the journal of officers' acts, oldest first (auditor)")
    journal.add_argument("--cursor", metavar="NEXT", help="`next` of the page before")

    verbs.add_parser("describe", help="print the API's description, OpenAPI 3.1").set_defaults(run=_describe)


def _verb(
    verbs: Any, name: str, act: Callable[[Client, argparse.Namespace], Any], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=_EPILOG
    )
    parser.add_argument(
        "--settings",
        type=Path,
        default=Path(os.environ.get("KEPIL_RA_SETTINGS", _SETTINGS)),
        metavar="FILE",
        help=f"JSON: url, certificate, key, ca (default: $KEPIL_RA_SETTINGS, or {_SETTINGS})",
    )
    parser.set_defaults(run=lambda arguments: _run(act, arguments))
    return parser


def _identified(
    verbs: Any, name: str, act: Callable[[Client, argparse.Namespace], Any], text: str
) -> argparse.ArgumentParser:
    parser = _verb(verbs, name, act, text)
    parser.add_argument(
        "id", metavar="ID", type=lambda given: quote(given, safe=""), help="the application's identifier"
    )
    return parser


def _run(act: Callable[[Client, argparse.Namespace], Any], arguments: argparse.Namespace) -> int:
    client = Client(sender(ClientSettings.load(arguments.settings.expanduser())))
    try:
        found = act(client, arguments)
    except (TryLaterError, UnreachableError) as error:
        print(f"kepil: {' '.join(str(error).split())}", file=sys.stderr)
        return TRY_LATER
    if found is not None:
        print(json.dumps(found, ensure_ascii=False))
    return 0


def _apply(client: Client, arguments: argparse.Namespace) -> Any:
    return client.apply(arguments.profile, arguments.authority, arguments.request, arguments.email, arguments.document)


def _list(client: Client, arguments: argparse.Namespace) -> Any:
    return client.list(arguments.state, arguments.cursor, arguments.limit)


def _show(client: Client, arguments: argparse.Namespace) -> Any:
    return client.show(arguments.id)


def _check(client: Client, arguments: argparse.Namespace) -> Any:
    return client.check(arguments.id)


def _approve(client: Client, arguments: argparse.Namespace) -> Any:
    return client.approve(arguments.id, arguments.request_sha256)


def _reject(client: Client, arguments: argparse.Namespace) -> Any:
    return client.reject(arguments.id, arguments.reason)


def _fetch(client: Client, arguments: argparse.Namespace) -> Any:
    chain = client.fetch(arguments.id)
    if arguments.out is None:
        sys.stdout.write(chain.decode("ascii"))
    else:
        arguments.out.write_bytes(chain)
    return None


def _revoke(client: Client, arguments: argparse.Namespace) -> Any:
    return client.revoke(quote(arguments.serial, safe=""), arguments.reason, arguments.document)


def _journal(client: Client, arguments: argparse.Namespace) -> Any:
    return client.journal(arguments.cursor)


def _describe(_arguments: argparse.Namespace) -> int:
    print(json.dumps(description(), indent=2, ensure_ascii=False))
    return 0
