"""The register of applications: what came when, until when it is to be applied, what became of it (GW-16).

A journal of the kind that the change log is: nothing in it changes unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

from kepil.gateway.calendar import Calendar
from kepil.journal.chain import Journal, now
from kepil.signed.document import write_once

WORKING_DAYS = 10
"""Within these the policy is applied and the user told (GW-16)."""
State = Literal["received", "refused", "accepted", "applied"]


@dataclass(frozen=True)
class Item:
    """One application, as the register has it."""

    sha256: str
    received: date
    state: State
    due: date
    """The last day for it."""
    bin: str = ""
    organisation: str = ""
    note: str = ""
    """Why it was refused, or could not be decided."""

    def late(self, today: date) -> bool:
        """Whether the limit is over and the user has no answer."""
        return self.state in ("received", "accepted") and today > self.due


class Register:
    """The register of one environment."""

    def __init__(self, folder: Path, calendar: Calendar, clock: Callable[[], datetime] = now) -> None:
        self.folder = folder
        self._journal = Journal(folder / "register.jsonl", clock)
        self._calendar = calendar

    def receive(self, sha256: str, received: date, signed: bytes) -> None:
        """Enter an application once, on the day it came in, before anything is decided; keep it as it came."""
        if sha256 not in self.items():
            kept = self.folder / "applications" / f"{sha256}.p7m"
            kept.parent.mkdir(parents=True, exist_ok=True)
            if not kept.exists():  # a run that broke off left it
                write_once(kept, signed)
            self._journal.append("received", {"sha256": sha256, "received": received.isoformat()})

    def decide(self, sha256: str, state: State, *, bin: str = "", organisation: str = "", note: str = "") -> None:  # noqa: A002 - the law's word for it
        """Enter what became of it, unless that is what the register says."""
        item = self.items()[sha256]
        if (item.state, item.note) != (state, note):
            data = {"sha256": sha256, "bin": bin, "organisation": organisation, "note": note}
            self._journal.append(state, data)

    def put_off(self, sha256: str, note: str) -> None:
        """Enter why it could not be decided. It stays received: the limit runs on, for the reason is not the user's."""
        item = self.items()[sha256]
        if item.state == "received" and item.note != note:
            self._journal.append("undecided", {"sha256": sha256, "note": note})

    def items(self) -> dict[str, Item]:
        """All applications by SHA-256, the oldest first; raises JournalError where the register was changed."""
        found: dict[str, Item] = {}
        for entry in self._journal.entries():
            sha256 = entry.data["sha256"]
            if entry.event == "received":
                received = date.fromisoformat(entry.data["received"])
                found[sha256] = Item(sha256, received, "received", self._calendar.after(received, WORKING_DAYS))
            elif entry.event == "undecided":
                found[sha256] = replace(found[sha256], note=entry.data["note"])
            else:
                before = found[sha256]
                found[sha256] = Item(
                    sha256,
                    before.received,
                    entry.event,  # type: ignore[arg-type]
                    before.due,
                    entry.data["bin"] or before.bin,
                    entry.data["organisation"] or before.organisation,
                    entry.data["note"],
                )
        return found
