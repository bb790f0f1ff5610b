"""The command line `kepil NOUN VERB`. Exit status: 0 done, 1 refused or failed with the reason, 2 wrong usage."""

from __future__ import annotations

import argparse
import gc
import logging
import sys
from collections.abc import Sequence
from importlib import import_module

from kepil.commands import NOUNS
from kepil.errors import KepilError
from kepil.priority import prefix


def build_parser(known: Sequence[str] = NOUNS) -> argparse.ArgumentParser:
    """The parser with these nouns, whose modules are imported."""
    parser = argparse.ArgumentParser(prog="kepil", description="Estate, ceremonies, certificates and CA of Kepil.")
    nouns = parser.add_subparsers(dest="noun", metavar="NOUN", required=True)
    for noun in known:
        import_module(f"kepil.commands.{noun}").register(nouns)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Only the noun's own module is imported, as converges and ceremonies run many commands; a usage lists all nouns.
    """
    given = sys.argv[1:] if arguments is None else arguments
    parsed = build_parser([noun for noun in NOUNS if noun in given[:1]] or NOUNS).parse_args(given)
    if arguments is None:
        gc.freeze()  # what this process imported is never garbage: nobody looks, at its end neither
    try:
        return int(parsed.run(parsed))
    except _told() as error:
        print(f"{prefix(logging.ERROR, sys.stderr)}kepil: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


def _told() -> tuple[type[Exception], ...]:
    """Errors that are told in a line; those of the database's driver where a command imported it."""
    driver = sys.modules.get("psycopg")
    return (KepilError, OSError, driver.Error) if driver else (KepilError, OSError)


if __name__ == "__main__":
    sys.exit(main())
