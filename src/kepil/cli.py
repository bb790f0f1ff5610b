"""The command line `kepil NOUN VERB`. Exit status: 0 done, 1 refused or failed with the reason, 2 wrong usage."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

import psycopg

from kepil.commands import NOUNS
from kepil.errors import KepilError
from kepil.priority import prefix


def build_parser() -> argparse.ArgumentParser:
    """The parser with every noun that `kepil.commands` lists."""
    parser = argparse.ArgumentParser(prog="kepil", description="Estate, ceremonies, certificates and CA of Kepil.")
    nouns = parser.add_subparsers(dest="noun", metavar="NOUN", required=True)
    for register in NOUNS:
        register(nouns)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except (KepilError, psycopg.Error, OSError) as error:
        print(f"{prefix(logging.ERROR, sys.stderr)}kepil: {' '.join(str(error).split())}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
