"""`kepil network`: which way makes the networks, and Pulumi's stacks."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, get_args

from kepil.estate import stack, way
from kepil.estate.inventory import read_estate

PROGRAM = Path("pulumi").absolute()


def register(nouns: Any) -> None:
    """Add the noun and its verbs to the command line."""
    noun = nouns.add_parser("network", help="the networks that hosts stand in")
    verbs = noun.add_subparsers(dest="verb", required=True, metavar="VERB")
    choose = verbs.add_parser("choose", help="print which way makes them here, pulumi or ansible; refuse a take-over")
    choose.add_argument("wish", choices=get_args(way.Wish))
    choose.set_defaults(run=print_choice)
    engine = verbs.add_parser("pulumi", help="run Pulumi's engine for a stack, with its backend and passphrase")
    engine.add_argument("stack", help="dev or production")
    engine.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENT", help="as in `pulumi preview --diff`")
    engine.set_defaults(run=run_pulumi)


def print_choice(arguments: argparse.Namespace) -> int:
    """Print the way on standard output, for scripts, and why on standard error."""
    maker, why = way.choose(arguments.wish, way.standing(read_estate().environment), stack.lacking())
    print(f"networks by {maker}: {why}", file=sys.stderr)
    print(maker)
    return 0


def run_pulumi(arguments: argparse.Namespace) -> int:
    """Exit with the engine's own status."""
    if reason := stack.lacking():
        raise stack.StackError(f"{reason}; docs/networks.md says how to install it")
    return stack.run(stack.open_stack(PROGRAM, arguments.stack), *arguments.arguments)
