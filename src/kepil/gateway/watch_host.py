"""The catalogue watch on a gateway: the kernel's set, the facts of both gateways, the mail transport (GW-13)."""

from __future__ import annotations

import smtplib
import sys
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from kepil.gateway.apply import run_nft
from kepil.gateway.blocked import write_blocked
from kepil.gateway.calendar import Calendar
from kepil.gateway.located import Day, Email, GatewayError, Identity, Stated
from kepil.gateway.policy import read_policy
from kepil.gateway.settings import Operator
from kepil.gateway.watch import Fact, blocked
from kepil.gateway.watching import message, read_facts, run, seen_by_kernel, untold, write_facts

TIMEOUT_SECONDS = 10


class WatchSettings(Stated):
    """What the role writes for the watch."""

    facts: Path
    """This gateway's own."""
    peer_facts: tuple[Path, ...]
    """Copies of the others'."""
    active: Path
    """There while this gateway is the one that tells operators; VRRP's notifier makes and removes it."""
    operators: dict[Identity, Operator]
    sender: Email
    mail_host: str = "127.0.0.1"
    mail_port: Annotated[int, Field(ge=1, le=65535)] = 25
    days_off: tuple[Day, ...] = ()
    working_days: tuple[Day, ...] = ()

    def operator_of(self, source: IPv4Address) -> str | None:
        """The operator whose links an address comes over."""
        return next(
            (name for name, each in self.operators.items() if any(source in net for net in each.networks)), None
        )


def watch(policy_path: Path, blocked_path: Path, settings_path: Path, at: datetime) -> int:
    """Run once; return how many sources are blocked. A peer's copy that cannot be read stops nothing here."""
    settings, policy = _read(settings_path), read_policy(policy_path)
    calendar = Calendar(settings.days_off, settings.working_days)
    facts = read_facts(settings.facts).union(*map(_of_peer, settings.peer_facts))
    seen = seen_by_kernel(run_nft("", ["--json", "list", "set", "inet", "gateway", "unknown"]), at)

    def tell(operator: str, sources: list[IPv4Address]) -> None:
        mail = message(operator, settings.operators[operator].email, settings.sender, sources, at, calendar)
        try:
            with smtplib.SMTP(settings.mail_host, settings.mail_port, timeout=TIMEOUT_SECONDS) as transport:
                transport.send_message(mail)
        except smtplib.SMTPException as error:
            raise GatewayError(f"the mail transport took nothing: {type(error).__name__}") from error

    active = settings.active.exists()
    facts = run(
        facts,
        seen,
        lambda source: bool(policy.catalogue.find(source)),
        settings.operator_of,
        tell if active else None,
        calendar,
        at,
    )
    write_facts(settings.facts, facts)
    for line in untold(facts, settings.operator_of, calendar, at) if active else ():
        print(f"kepil: {line}", file=sys.stderr)
    closed = blocked(facts, at, calendar)
    write_blocked(blocked_path, closed)
    return len(closed)


def _of_peer(path: Path) -> set[Fact]:
    try:
        return read_facts(path)
    except GatewayError as error:
        print(f"kepil: {error}; going on without", file=sys.stderr)
        return set()


def _read(path: Path) -> WatchSettings:
    try:
        return WatchSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise GatewayError(f"{path}: cannot be read: {error.strerror}; converge role gateway writes it") from error
    except ValidationError as error:
        raise GatewayError(f"{path}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}") from error
