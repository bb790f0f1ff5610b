"""`kepil ca`: what timers, ceremonies and operators do with the issuing CA, on its own host."""

import argparse
import json
import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from asn1crypto import pem

from kepil.errors import KepilError
from kepil.pki.authority import REASONS, CertificateAuthority, CrlKind, parse_serial
from kepil.pki.profile import load_member
from kepil.pki.publish import publish
from kepil.pki.settings import CaSettings
from kepil.pki.store import SESSION_OPTIONS, Store
from kepil.pki.web.log import configure_logging


class CommandError(KepilError):
    """A command did not do all it should; the message says what it left undone."""


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the noun and its verbs to the command line."""
    verbs = subparsers.add_parser("ca", help="the issuing CA").add_subparsers(metavar="VERB", required=True)

    issue = _verb(verbs, "issue", _issue, "issue a certificate, by any profile; the same request gives the same one")
    issue.add_argument("--authority", required=True, metavar="NAME", help="for example nca-rsa")
    issue.add_argument("--profile", required=True, metavar="NAME", help="for example ocsp")
    issue.add_argument("--request", required=True, type=Path, metavar="FILE", help="PKCS #10, DER or PEM")
    issue.add_argument(
        "--member", type=Path, metavar="FILE", help="JSON of a hierarchy's member: its subject and days override"
    )
    issue.add_argument("--out", required=True, type=Path, metavar="FILE", help="where the certificate goes, as PEM")

    crl = _verb(verbs, "crl", _crl, "make CRLs of every authority and publish them; print their numbers as JSON")
    crl.add_argument(
        "--kind",
        required=True,
        choices=["full", "delta"],
        help="full: a complete CRL and a delta on top of it; delta: a delta, and where a complete CRL is due both",
    )

    _verb(verbs, "publish", _publish, "put the certificates and the last CRLs on every repository host again")

    revoke = _verb(verbs, "revoke", _revoke, "revoke a certificate; it appears in the next CRL")
    revoke.add_argument("--authority", required=True, metavar="NAME", help="for example nca-rsa")
    revoke.add_argument("--serial", required=True, metavar="HEX", help="its serial number, hexadecimal")
    revoke.add_argument("--reason", required=True, choices=list(REASONS), help="RFC 5280 section 5.3.1")


def _verb(verbs: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--settings", type=Path, default=Path("/etc/kepil/ca.json"), metavar="FILE")
    parser.add_argument("--actor", default=_caller(), metavar="NAME", help="who acts, for the journal")
    parser.set_defaults(run=run)
    return parser


def _caller() -> str:
    return f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"


@contextmanager
def _authority(settings: CaSettings) -> Iterator[CertificateAuthority]:
    try:
        yield CertificateAuthority(settings, partial(psycopg.connect, settings.database, options=SESSION_OPTIONS))
    except psycopg.Error as error:
        raise CommandError(
            f"database: {str(error).strip()}; nothing more was done: check the database host, then run this again"
        ) from error


def _issue(arguments: argparse.Namespace) -> int:
    settings = CaSettings.load(arguments.settings)
    request = arguments.request.read_bytes()
    subject, days = None, None
    if arguments.member:
        member = load_member(json.loads(arguments.member.read_bytes()))
        subject, days = member.subject, member.days
    with _authority(settings) as authority:
        issued = authority.issue(
            request,
            arguments.profile,
            arguments.authority,
            arguments.actor,
            subject=subject,
            days=days,
            # A ceremony that broke off after the issue gets its certificate when it resumes.
            idempotency_key=sha256(request).hexdigest(),
        )
    arguments.out.write_bytes(pem.armor("CERTIFICATE", issued.der))
    print(json.dumps({"authority": issued.issuer, "serial": issued.serial.hex()}))
    return 0


def _crl(arguments: argparse.Namespace) -> int:
    configure_logging()
    settings = CaSettings.load(arguments.settings)
    numbers: dict[str, dict[str, int]] = {}
    failures = []
    with _authority(settings) as authority:
        for name in authority.names:
            numbers[name] = {}
            try:
                for kind in _kinds(authority, name, arguments.kind):
                    numbers[name][kind] = authority.make_crl(name, kind, arguments.actor).number
            except KepilError as error:  # the other authorities' CRLs are due all the same
                failures.append(str(error))
        print(json.dumps(numbers))
        _put(settings, authority)
    if failures:
        raise CommandError("; ".join(failures))
    return 0


def _kinds(authority: CertificateAuthority, name: str, asked: CrlKind) -> tuple[CrlKind, ...]:
    """What a run makes for an authority.

    A complete CRL is followed by a delta, so that the published delta never precedes the published complete CRL. A run
    for deltas makes up for a complete CRL that its own run could not make: it would end before the next day's run.
    """
    return ("full", "delta") if asked == "full" or authority.complete_crl_due(name) else ("delta",)


def _publish(arguments: argparse.Namespace) -> int:
    settings = CaSettings.load(arguments.settings)
    with _authority(settings) as authority:
        _put(settings, authority)
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    settings = CaSettings.load(arguments.settings)
    with _authority(settings) as authority:
        status = authority.revoke(
            parse_serial(arguments.serial), arguments.reason, arguments.authority, arguments.actor
        )
    assert status.revoked_at is not None  # noqa: S101 -- what `revoke` returns
    print(json.dumps({"serial": status.serial.hex(), "revoked_at": status.revoked_at.isoformat()}))
    return 0


def _put(settings: CaSettings, authority: CertificateAuthority) -> None:
    target = settings.publish
    with psycopg.connect(settings.database, autocommit=True) as turn, tempfile.TemporaryDirectory() as folder:
        Store(turn).lock_publication()
        files = authority.publications(Path(folder))
        publish(files, target.urls, certificate=target.certificate, key=target.key, ca=target.ca)
