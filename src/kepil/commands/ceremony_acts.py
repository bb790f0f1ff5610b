"""Verbs of `kepil ceremony` that its playbooks use in their acts; people need them rarely."""

from __future__ import annotations

import argparse
import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from kepil.errors import KepilError

# What a verb needs is imported in it: hosts have this command and not all of what ceremonies are made with.
# ruff: noqa: PLC0415


class ActError(KepilError):
    """Activation data are not as they were made, or a share has no key that opens it."""


def register(verbs: Any) -> None:
    """Add the verbs to the noun."""
    split = verbs.add_parser("split", help="split activation data; threshold and certificates come as JSON on stdin")
    _add_pin(split)
    split.set_defaults(run=_split)
    opened = verbs.add_parser("open-shares", help="print the shares of a folder, each opened with its custodian's key")
    opened.add_argument("shares", type=Path, metavar="FOLDER", help="PERSON.pem is a share")
    opened.add_argument("--keys", required=True, type=Path, metavar="FOLDER", help="PERSON.pem, or PERSON.uri")
    opened.add_argument("--enough", type=int, metavar="N", help="go on without custodians who have no key there")
    opened.add_argument(
        "--person", action="append", metavar="ID", help="open the shares of these people and of nobody else"
    )
    opened.add_argument("--record", type=Path, metavar="FILE", help="write there who gave a share, and how many open")
    opened.set_defaults(run=_open_shares)
    tried = verbs.add_parser("try-shares", help="try every set of the shares (JSON on stdin); exit 0 if they do")
    _add_pin(tried)
    _add_threshold(tried)
    tried.set_defaults(run=_try_shares)
    recovered = verbs.add_parser("recover", help="write the activation data that shares (JSON on stdin) give, once")
    _add_pin(recovered)
    _add_threshold(recovered)
    recovered.set_defaults(run=_recover)


def _add_pin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pin", required=True, type=Path, metavar="FILE", help="the partition's activation data")


def _add_threshold(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threshold", required=True, type=int, metavar="N", help="how many shares open it")


def _split(arguments: argparse.Namespace) -> int:
    """Print the encrypted shares (PEM) and the SHA-256 of each in DER, by custodian."""
    from asn1crypto import pem

    from kepil.ceremony.activation import encrypt, split

    asked = json.load(sys.stdin)
    certificates: dict[str, str] = asked["certificates"]
    shares = split(_secret(arguments.pin), int(asked["threshold"]), len(certificates))
    encrypted = {
        person: encrypt(share, certificate)
        for (person, certificate), share in zip(certificates.items(), shares, strict=True)
    }
    print(
        json.dumps(
            {
                "threshold": int(asked["threshold"]),
                "holders": {person: sha256(share).hexdigest() for person, share in encrypted.items()},
                "shares": {person: pem.armor("CMS", share).decode("ascii") for person, share in encrypted.items()},
            }
        )
    )
    return 0


def _open_shares(arguments: argparse.Namespace) -> int:
    from asn1crypto import pem

    from kepil.ceremony.activation import decrypt

    files = sorted(arguments.shares.glob("*.pem"))
    if not files:
        raise ActError(f"{arguments.shares}: no share lies there: hold the step that hands them out")
    here = [file for file in files if arguments.person is None or file.stem in arguments.person]
    keys = {file: _key(arguments.keys, file.stem) for file in here}
    absent = [file.stem for file, key in keys.items() if key is None]
    enough = arguments.enough or len(files)
    if absent and len(here) - len(absent) < enough:
        raise ActError(f"{arguments.keys}: no key, and no card's URI, of {', '.join(absent)} (PERSON.pem, PERSON.uri)")
    if len(here) < enough:
        held = ", ".join(file.stem for file in here) or "nobody"
        raise ActError(f"{arguments.shares}: {enough} shares are needed, and of those who are here {held} holds one")
    opened = {file.stem: decrypt(pem.unarmor(file.read_bytes())[2], key) for file, key in keys.items() if key}
    if arguments.record:
        arguments.record.parent.mkdir(exist_ok=True)
        arguments.record.write_text(json.dumps({"threshold": enough, "holders": list(opened)}), encoding="utf-8")
    print(json.dumps(list(opened.values())))
    return 0


def _key(folder: Path, person: str) -> str | None:
    file, card = folder / f"{person}.pem", folder / f"{person}.uri"
    if card.exists():
        return card.read_text(encoding="utf-8").strip()
    return str(file) if file.exists() else None


def _try_shares(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.activation import rehearse

    rehearse(json.load(sys.stdin), arguments.threshold, _secret(arguments.pin))
    return 0


def _recover(arguments: argparse.Namespace) -> int:
    from kepil.ceremony.activation import pin, recover

    secret = recover(json.load(sys.stdin)[: arguments.threshold])
    try:
        file = os.open(arguments.pin, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ActError(f"{arguments.pin}: is there already: nothing was written") from None
    with os.fdopen(file, "w", encoding="ascii") as opened:
        opened.write(f"{pin(secret)}\n")
    return 0


def _secret(path: Path) -> bytes:
    """Activation data, as `pin` writes them. Raises ActError that does not say what they are."""
    try:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except ValueError:
        raise ActError(f"{path}: not activation data in hexadecimal digits") from None
    except FileNotFoundError:
        raise ActError(f"{path}: there are none (any more): what lay in memory alone is gone: abort") from None
