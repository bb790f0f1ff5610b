"""Priorities of what goes to systemd's journal (sd-daemon(3)): an alert is found by its priority, not by its words."""

import logging
import os
from typing import TextIO

_JOURNAL_VARIABLE = "JOURNAL_STREAM"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7


def prefix(level: int, stream: TextIO) -> str:
    """What a line of that level begins with: `<3>` for an error where the stream is the journal's, else nothing.

    `level` is one of module `logging`.
    """
    if not _is_journal(stream):
        return ""
    return f"<{next((priority for least, priority in _PRIORITIES if level >= least), _DEBUG)}>"


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd gave this very stream to the process, by its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return os.environ.get(_JOURNAL_VARIABLE) == f"{status.st_dev}:{status.st_ino}"
