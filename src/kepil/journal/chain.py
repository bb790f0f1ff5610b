"""A journal of JSON lines in which each entry holds the SHA-256 of the line before it, so that no entry changes unseen.

Beside the journal stands its head, the number and SHA-256 of the last entry, so that a lost end is seen too. Who can
write both files can still write both anew: what leaves the machine (the system log, an auditor's copy of the head)
shows that.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import ENOSPC
from hashlib import sha256
from pathlib import Path
from typing import Any

from kepil.errors import KepilError

GENESIS = "0" * 64
"""What stands for the entry before the first."""

_KEYS = {"number", "time", "event", "data", "previous"}


class JournalError(KepilError):
    """The journal is not what was written; the message names file, line and what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One line: the time is UTC (RFC 3339), `sha256` is over the line with its newline."""

    number: int
    time: str
    event: str
    data: Mapping[str, Any]
    previous: str
    sha256: str


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one line of JSON for a value: keys sorted, no spaces, UTF-8, a newline; no floats that are no numbers."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


class Journal:
    """Append-only; several processes may hold it. Nothing is added to a journal that does not verify."""

    def __init__(self, path: Path, clock: Callable[[], datetime] = now) -> None:
        self.path = path
        self.head = path.with_name(f"{path.name}.head")
        self._clock = clock

    def append(self, event: str, data: Mapping[str, Any], after: str | None = None) -> Entry:
        """Add an entry and return it when it is on the disk; raises JournalError where the journal is broken.

        With `after`, the SHA-256 of an entry, nothing is added unless that one is still the last.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(os.O_RDWR | os.O_CREAT | os.O_APPEND, fcntl.LOCK_EX) as file:
            content = _read(file)
            entries = self._verify(content)
            previous = entries[-1].sha256 if entries else GENESIS
            if after not in (None, previous):
                raise JournalError(f"{self.path}: another process has written to it meanwhile; read it again")
            fields: dict[str, Any] = {
                "number": len(entries) + 1,
                "time": self._clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
                "event": event,
                "data": dict(data),
                "previous": previous,
            }
            line = canonical(fields)
            try:
                if os.write(file, line) != len(line):
                    raise OSError(ENOSPC, "the entry does not fit", str(self.path))
                os.fsync(file)
            except OSError:
                os.ftruncate(file, len(content))
                raise
            entry = Entry(**fields, sha256=sha256(line).hexdigest())
            self._write_head(entry)
            return entry

    def recover(self) -> bytes:
        """Take off an entry that was cut off while it was written, and return what there was of it.

        Nobody was told that such an entry stands: `append` returns after the whole line is on the disk.
        """
        if not self.path.exists():
            return b""
        with self._locked(os.O_RDWR, fcntl.LOCK_EX) as file:
            content = _read(file)
            whole = content[: content.rfind(b"\n") + 1]
            self._verify(whole)
            if content != whole:
                os.ftruncate(file, len(whole))
                os.fsync(file)
            return content[len(whole) :]

    def entries(self) -> list[Entry]:
        """All entries, verified; raises JournalError that names the line where the chain breaks."""
        if not self.path.exists():
            return self._verify(b"")
        with self._locked(os.O_RDONLY, fcntl.LOCK_SH) as file:
            return self._verify(_read(file))

    @contextmanager
    def _locked(self, flags: int, lock: int) -> Iterator[int]:
        file = os.open(self.path, flags, 0o640)
        try:
            fcntl.flock(file, lock)
            yield file
        finally:
            os.close(file)

    def _verify(self, content: bytes) -> list[Entry]:
        entries: list[Entry] = []
        previous = GENESIS
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            entry = self._read_line(number, line)
            if entry.number != number:
                raise self._broken(number, f"it calls itself entry {entry.number}: entries are missing or moved")
            if entry.previous != previous:
                raise self._broken(number, "its 'previous' is not the SHA-256 of the line before: one of them changed")
            entries.append(entry)
            previous = entry.sha256
        self._compare_head(entries)
        return entries

    def _read_line(self, number: int, line: bytes) -> Entry:
        if not line.endswith(b"\n"):
            raise self._broken(
                number, "it was cut off while it was written: keep a copy, then remove what follows the last newline"
            )
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise self._broken(number, "it is not JSON") from error
        if not isinstance(fields, dict) or set(fields) != _KEYS or canonical(fields) != line:
            raise self._broken(number, f"it is not an entry as this journal writes it ({', '.join(sorted(_KEYS))})")
        return Entry(**fields, sha256=sha256(line).hexdigest())

    def _compare_head(self, entries: list[Entry]) -> None:
        """The head may be one entry behind: it is written after the entry, and the machine may stop in between."""
        heads = [f"{entry.number} {entry.sha256}\n" for entry in entries] or [""]
        head = self.head.read_text(encoding="ascii") if self.head.exists() else ""
        if head not in heads[-2:] and not (len(entries) == 1 and not head):
            raise JournalError(
                f"{self.path}: it ends with entry {len(entries)}, but {self.head.name} says "
                f"{head.strip() or 'nothing'!r}: the end was removed or changed; bring the journal back from a copy"
            )

    def _broken(self, number: int, reason: str) -> JournalError:
        return JournalError(f"{self.path}: line {number}: {reason}")

    def _write_head(self, entry: Entry) -> None:
        fresh = self.head.with_name(f"{self.head.name}.new")
        with fresh.open("w", encoding="ascii") as file:
            file.write(f"{entry.number} {entry.sha256}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.head)
        folder = os.open(self.head.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _read(file: int) -> bytes:
    with os.fdopen(os.dup(file), "rb") as copy:
        return copy.read()
