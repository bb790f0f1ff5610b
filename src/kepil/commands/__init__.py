"""What the command line knows: one module a noun, each with `register(subparsers)`."""

from importlib import import_module

_NOUNS = ("ca", "ceremony", "certificate", "change", "database", "estate", "gateway", "network", "ra")
NOUNS = tuple(import_module(f"{__name__}.{noun}").register for noun in _NOUNS)
