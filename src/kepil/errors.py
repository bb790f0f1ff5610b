"""The root of what goes wrong in ways that this package foresees."""


class KepilError(Exception):
    """Refused or failed for a reason that the message names, with the file, key, host or serial and the remedy."""
