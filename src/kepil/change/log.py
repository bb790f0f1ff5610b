"""The change log: what ran in an environment, by whose leave, and how it ended; one hash-chained journal each."""

from __future__ import annotations

import os
import pwd
import socket
import syslog
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from kepil.change.record import Record, folder
from kepil.journal.chain import Entry, Journal

FILE = "log.jsonl"


@dataclass(frozen=True)
class Run:
    """A run as the log tells it; without a result it was interrupted, or is not over yet."""

    start: Entry
    result: Entry | None
    review: Entry | None

    @property
    def broke_glass(self) -> bool:
        """Whether one signature was enough."""
        return bool(self.start.data["kind"] == "break-glass")


class ChangeLog:
    """Start, result and review of runs. Values of variables are never written: the record's SHA-256 stands for them."""

    def __init__(self, project: Path, environment: str) -> None:
        self.environment = environment
        self.journal = Journal(folder(project, environment) / FILE)

    def start(self, record: Record, content: bytes, people: Sequence[str], *, check: bool) -> Entry:
        """A run that was let in is about to begin."""
        return self._append(
            "start",
            {
                "record": record.id,
                "record_sha256": sha256(content).hexdigest(),
                "kind": record.kind,
                "commit": record.commit,
                "playbook": record.playbook,
                "limit": record.limit,
                "check": check,
                "signers": list(people),
                "runner": runner(),
            },
            syslog.LOG_ALERT if record.kind == "break-glass" else syslog.LOG_NOTICE,
        )

    def result(
        self, start: Entry, hosts: Mapping[str, Mapping[str, int]], seconds: int, *, as_committed: bool
    ) -> Entry:
        """How a run ended: counts by host, the exit status that follows, whether the checkout stayed as it was."""
        return self._append(
            "result",
            {
                "start": start.sha256,
                "record": start.data["record"],
                "hosts": {host: dict(counts) for host, counts in hosts.items()},
                "seconds": seconds,
                "exit": exit_status(hosts),
                "as_committed": as_committed,
            },
        )

    def review(self, start: Entry, review: str, content: bytes, people: Sequence[str]) -> Entry:
        """A break-glass run has been reviewed."""
        return self._append(
            "review",
            {
                "start": start.sha256,
                "record": start.data["record"],
                "review": review,
                "review_sha256": sha256(content).hexdigest(),
                "signers": list(people),
            },
        )

    def runs(self) -> list[Run]:
        """All runs, oldest first, each with what followed; raises JournalError where the log was tampered with."""
        entries = self.journal.entries()
        ends = {(entry.event, entry.data["start"]): entry for entry in entries if entry.event != "start"}
        return [
            Run(entry, ends.get(("result", entry.sha256)), ends.get(("review", entry.sha256)))
            for entry in entries
            if entry.event == "start"
        ]

    def unreviewed(self) -> list[Entry]:
        """Starts of break-glass runs that nobody has reviewed."""
        return [run.start for run in self.runs() if run.broke_glass and run.review is None]

    def _append(self, event: str, data: Mapping[str, Any], priority: int = syslog.LOG_NOTICE) -> Entry:
        entry = self.journal.append(event, data)
        tell_system_log(
            f"{self.environment}: entry {entry.number}: {data.get('kind', '')} {event} of {data['record']}: "
            f"sha256 {entry.sha256}",
            priority,
        )
        return entry


def exit_status(hosts: Mapping[str, Mapping[str, int]]) -> int:
    """What ansible-playbook ends with: 4 for a host that was not reached, 2 for one that failed, or 0."""
    if any(counts["unreachable"] for counts in hosts.values()):
        return 4
    return 2 if any(counts["failures"] for counts in hosts.values()) else 0


def runner() -> dict[str, str]:
    """Who runs this, as far as the machine knows: not proven, but said."""
    names = {"user": pwd.getpwuid(os.getuid()).pw_name, "host": socket.gethostname()}
    return names | ({"sudo_user": os.environ["SUDO_USER"]} if "SUDO_USER" in os.environ else {})


def tell_system_log(message: str, priority: int) -> None:
    """A line in the machine's system log, from where it leaves the machine."""
    syslog.openlog("kepil-change", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(priority, message)
