"""Squid's external ACL helper: answers whether a connection's decision is the one that an access rule asks about.

A request is `CHANNEL SOURCE DESTINATION SNI PORT KIND DECISION...`, where KIND is `tls` or `http` (external_acl_type in
squid.conf of role gateway). The answer is OK or ERR with the reason, and BH for what cannot be decided: Squid's rules
end in `terminate`, so no answer opens nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from threading import Lock
from typing import TextIO
from urllib.parse import unquote

from kepil.gateway.blocked import read_blocked
from kepil.gateway.decision import HTTP, TLS, Action, Decision, Hidden, Target
from kepil.gateway.host_name import normal
from kepil.gateway.located import GatewayError
from kepil.gateway.lookup import Table
from kepil.gateway.policy import read_policy
from kepil.gateway.resolver import Resolver

LOOKS_EVERY = 1.0
"""Seconds between looks whether policy, table or blocked sources changed."""
THREADS = 32
"""Questions that may wait for the resolver at once."""
NONE = "-"
NO_ADDRESS = IPv4Address(0)

ANSWERS: dict[str, Callable[[Decision], bool]] = {
    "splice": lambda decided: decided.action is Action.SPLICE,
    "bump": lambda decided: decided.decrypts,
    "page": lambda decided: decided.page,
    "pass": lambda decided: decided.action in (Action.SPLICE, Action.INSPECT),
}
"""What an access rule may ask."""


class Facts:
    """Policy, table and blocked sources in use. A new file that is broken is reported and the one before stays."""

    def __init__(
        self, policy: Path, table: Path, blocked: Path, tell: Callable[[str], None], resolver: Resolver | None = None
    ) -> None:
        self._paths = (policy, table, blocked)
        self._tell = tell
        self.resolver = resolver or Resolver()
        self._looked = time.monotonic()
        self._seen = self._refused = self._marks()
        self._read()

    def refresh(self) -> None:
        """Look for changes, at most once a second. What was refused is told once, and tried again when a file changes:
        a policy may come before the table that fits it."""
        if time.monotonic() - self._looked < LOOKS_EVERY:
            return
        self._looked = time.monotonic()
        if (marks := self._marks()) in (self._seen, self._refused):
            return
        try:
            self._read()
            self._seen = marks
        except GatewayError as error:
            self._refused = marks
            self._tell(f"{error}; the one before stays in use")

    def _read(self) -> None:
        path, table, blocked = self._paths
        policy = read_policy(path)
        self.policy, self.table, self.blocked = policy, Table(table, policy.categories), read_blocked(blocked)

    def _marks(self) -> tuple[object, ...]:
        found = []
        for path in self._paths:
            status = path.stat() if path.exists() else None
            found.append((status.st_ino, status.st_mtime_ns) if status else None)
        return tuple(found)


def answer(facts: Facts, line: str, at: datetime) -> str:
    """The answer to one request."""
    channel, *fields = line.split()
    try:
        source, destination, sni, port, kind, question = map(unquote, fields)
        asked = ANSWERS[question]
        target = _target(facts, destination, sni, int(port), kind)
        decided = facts.policy.decide(IPv4Address(source), target, at, facts.blocked)
    except (ValueError, KeyError) as error:
        return f'{channel} BH message="{type(error).__name__}"'
    names = ",".join(sorted(target.categories))
    word = "OK" if asked(decided) else "ERR"
    return f'{channel} {word} message="{decided.reason.code} {decided.reason.clause} {names}" log={decided.reason.code}'


def _target(facts: Facts, destination: str, sni: str, port: int, kind: str) -> Target:
    """What a connection is for.

    Where it says so twice (CONNECT and the server name), both must be the same name; where it goes to an address, the
    name must lead there. What lies in TLS that ended here was looked at when it began.
    """
    if kind not in ("tls", "http"):
        raise ValueError(kind)
    address, asked = _address_or_name(destination)
    shown = asked if kind == "http" else (normal(sni) if sni != NONE else None)
    if shown is None:
        return Target(address, Hidden.MISSING, port=port)
    agree = shown == asked or (asked is None and facts.resolver.leads(shown, address))
    service = port if port not in (HTTP, TLS) else (TLS if kind == "tls" else HTTP)
    return Target(address, shown, facts.table.find(shown)[1], name_at_address=agree, port=service)


def _address_or_name(text: str) -> tuple[IPv4Address, str | None]:
    try:
        return IPv4Address(text), None
    except ValueError:
        return NO_ADDRESS, normal(text)


def serve(facts: Facts, requests: TextIO, answers: TextIO) -> None:
    """Answer until Squid closes the pipe. Who waits for the resolver keeps nobody else waiting."""
    lock = Lock()

    def work(line: str) -> None:
        text = answer(facts, line, datetime.now(UTC)) + "\n"
        with lock:
            answers.write(text)
            answers.flush()

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        for line in requests:
            if line.strip():
                facts.refresh()
                pool.submit(work, line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as Squid's child."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("policy", "table", "blocked"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    given = parser.parse_args(arguments)

    def tell(text: str) -> None:
        print(f"kepil-gateway: {text}", file=sys.stderr, flush=True)

    try:
        serve(Facts(given.policy, given.table, given.blocked, tell), sys.stdin, sys.stdout)
    except GatewayError as error:
        tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
