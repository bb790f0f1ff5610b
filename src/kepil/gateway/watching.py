"""One run of the catalogue watch on a gateway: read what the kernel saw and the peer knows, tell, block (GW-13)."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from email.message import EmailMessage
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from kepil.gateway.calendar import Calendar
from kepil.gateway.located import GatewayError
from kepil.gateway.watch import Event, Fact, deadline, forget, observe, to_tell

TIME = "%Y-%m-%dT%H:%M:%SZ"

SUBJECT = "IP мекенжайларының каталогы / Каталог IP-адресов / IP-address catalogue: {count}"
TEXT = """\
Каталогта жоқ мекенжайлардан трафик келді. {last} қоса алғанда каталогты жаңартыңыз; әйтпесе
осы мекенжайлардан интернетке қол жеткізу бұғатталады және жаңартудан кейін бірден ашылады.

Поступил трафик с адресов, которых нет в каталоге. Обновите каталог по {last} включительно;
иначе доступ к интернету с этих адресов будет заблокирован и открыт сразу после обновления.

Traffic came from addresses that the catalogue lacks. Bring the catalogue up to date by {last}, that day
included; otherwise internet access from these addresses is blocked, and opened at once after the update.

{addresses}
"""


def read_facts(path: Path) -> set[Fact]:
    """A gateway's facts; none where it has written none. Raises GatewayError that names file and line."""
    if not path.exists():
        return set()
    found = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            fields: dict[str, Any] = json.loads(line)
            found.add(
                Fact(
                    IPv4Address(fields["source"]),
                    Event(fields["event"]),
                    datetime.strptime(fields["at"], f"{TIME[:-1]}%z"),
                    fields.get("operator", ""),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise GatewayError(f"{path}:{number}: no fact of the watch ({error}); take the peer's copy") from error
    return found


def write_facts(path: Path, facts: Iterable[Fact]) -> None:
    """Write facts in one step; equal facts are equal bytes on every gateway."""
    lines = sorted(
        json.dumps(
            {"source": str(f.source), "event": f.event.value, "at": f.at.strftime(TIME), "operator": f.operator},
            sort_keys=True,
        )
        for f in facts
    )
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    fresh.replace(path)


def seen_by_kernel(listing: str, at: datetime) -> dict[IPv4Address, datetime]:
    """Sources and when they were first seen, of `nft --json list set inet gateway unknown`.

    An element's timeout is never renewed, so what has passed of it is the time since the first packet.
    """
    try:
        (found,) = [each["set"] for each in json.loads(listing)["nftables"] if "set" in each]
        elements = [each["elem"] for each in found.get("elem", [])]
        usual = found["timeout"]  # nft names an element's own only where it differs
        passed = {IPv4Address(each["val"]): each.get("timeout", usual) - each["expires"] for each in elements}
        return {source: (at - timedelta(seconds=seconds)).replace(microsecond=0) for source, seconds in passed.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise GatewayError(f"the set `unknown` of table inet gateway cannot be read: {error}") from error


def message(
    operator: str, to: str, sender: str, sources: list[IPv4Address], at: datetime, calendar: Calendar
) -> EmailMessage:
    """The mail to an operator. Its Message-ID follows from its content: one that is sent twice is known as the same."""
    last = (deadline(at, calendar) - timedelta(seconds=1)).date()
    addresses = "\n".join(map(str, sorted(sources)))
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = SUBJECT.format(count=len(sources))
    digest = hashlib.sha256(f"{operator}\n{addresses}".encode()).hexdigest()[:32]
    mail["Message-ID"] = f"<{digest}@{sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: no vacation answers
    mail.set_content(TEXT.format(last=last, addresses=addresses))
    return mail


def run(
    facts: Iterable[Fact],
    seen: Mapping[IPv4Address, datetime],
    is_listed: Callable[[IPv4Address], bool],
    operator_of: Callable[[IPv4Address], str | None],
    tell: Callable[[str, list[IPv4Address]], None] | None,
    calendar: Calendar,
    at: datetime,
) -> set[Fact]:
    """The facts after this run. `tell` mails an operator and raises where the mail was not taken.

    It is None on the gateway that stands by: the other one tells. Only who was told has his days run, so a mail that
    was not taken is tried again at the next run.
    """
    at = at.replace(microsecond=0)
    known = observe(facts, seen, is_listed, at)
    for operator, sources in to_tell(known, operator_of, calendar, at).items() if tell is not None else ():
        assert tell is not None  # noqa: S101 -- the loop is empty otherwise
        try:
            tell(operator, sources)
        except (OSError, GatewayError) as error:
            print(f"kepil: operator {operator} was not told of {len(sources)} sources: {error}", file=sys.stderr)
            continue
        known |= {Fact(source, Event.TOLD, at, operator) for source in sources}
    return forget(known, at)


def untold(
    facts: Iterable[Fact], operator_of: Callable[[IPv4Address], str | None], calendar: Calendar, at: datetime
) -> list[str]:
    """What whoever looks after the gateway is to know: whose days do not run, since nobody has told him yet."""
    waiting = to_tell(facts, lambda source: operator_of(source) or "", calendar, at)
    return [
        f"operator {operator} is not yet told of {len(sources)} sources; see the mail transport's log, mailq"
        if operator
        else f"no operator has {sources[0]} ({len(sources)} such sources): enter its network in gateway_operators"
        for operator, sources in sorted(waiting.items())
    ]
