"""What becomes of one connection: a pure function of who asks, for what, when (GW-13, GW-15, GW-15-1, GW-15-2, GW-20).

The rules in the order in which they count; the first that applies decides:

1. A source that the catalogue watch has closed is refused (GW-13). So is, by the firewall alone, one that neither the
   catalogue nor an operator's networks hold: nobody could be told of it.
2. A source that no catalogue lists: until its operator's five working days are over, its TLS and HTTP are passed on and
   never decrypted; known malware is closed (GW-13).
3. A source in the catalogue that is not enrolled, or whose year has not begun or is over, is refused (GW-15, GW-15-1).
4. What a signed application opened as an exception is passed on untouched, to its own addresses and port (GW-15-2).
5. Everything but TLS and HTTP is refused, QUIC too.
6. Without a server name, with an encrypted one, or with one that does not belong to the address, nobody can tell what
   would be decrypted: the connection is closed, never decrypted, and never passed on.
7. Known malware is closed, whatever else the name is.
8. What the organisation did not apply for is closed. A page says why, unless the name is exempt: for a page TLS must
   end at the gateway.
9. The seven exempt categories are passed on untouched (GW-20).
10. Everything else is inspected.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address
from typing import Literal

from kepil.gateway.category import UNCATEGORISED, Categories
from kepil.gateway.organisation import Organisation

HTTP, TLS = 80, 443


class Action(Enum):
    """What the gateway does with a connection."""

    SPLICE = "splice"
    """Pass it on byte for byte; only that it was is logged."""
    INSPECT = "inspect"
    """End TLS at the gateway and look at the content."""
    TERMINATE = "terminate"
    """Close it, with a page where the decision says so."""
    REFUSE = "refuse"
    """Let no packet through; the proxy never sees it."""


class Reason(Enum):
    """Why, as logs and pages name it, with the clause."""

    SOURCE_BLOCKED = ("source-blocked", "GW-13")
    SOURCE_UNKNOWN = ("source-unknown", "GW-13")
    NOT_ENROLLED = ("not-enrolled", "GW-15")
    NOT_YET_OPEN = ("not-yet-open", "GW-15-1")
    EXPIRED = ("expired", "GW-15-1")
    EXCEPTION = ("exception", "GW-15-2")
    SERVICE_CLOSED = ("service-closed", "GW-15-2")
    NAME_MISSING = ("name-missing", "GW-20")
    NAME_ENCRYPTED = ("name-encrypted", "GW-20")
    NAME_MISMATCH = ("name-mismatch", "GW-20")
    MALWARE = ("malware", "LQ-A3-6")
    CATEGORY_CLOSED = ("category-closed", "GW-15")
    EXEMPT = ("exempt", "GW-20")
    INSPECTED = ("inspected", "GW-20")

    def __init__(self, code: str, clause: str) -> None:
        self.code = code
        self.clause = clause


class Standing(Enum):
    """What the catalogue and its watch say of a source."""

    CATALOGUED = "catalogued"
    UNKNOWN = "unknown"
    """Seen, and in no catalogue; the operator's five working days run."""
    BLOCKED = "blocked"
    """In no catalogue, and the days are over."""


class Hidden(Enum):
    """A server name that is not there to be read."""

    MISSING = "missing"
    ENCRYPTED = "encrypted"


@dataclass(frozen=True)
class Target:
    """What a connection is for."""

    address: IPv4Address
    name: str | Hidden
    """The server name that the client showed, normalised."""
    categories: frozenset[str] = frozenset({UNCATEGORISED})
    """Of the name."""
    name_at_address: bool = True
    """Whether the name leads to the address, as the gateway's own resolver knows it."""
    protocol: Literal["tcp", "udp"] = "tcp"
    port: int = TLS


@dataclass(frozen=True)
class Decision:
    """What becomes of a connection, and why."""

    action: Action
    reason: Reason
    page: bool = False
    """Whether the user is shown a page; over TLS it is the gateway that answers then."""

    @property
    def decrypts(self) -> bool:
        """Whether TLS of the client ends at the gateway."""
        return self.action is Action.INSPECT or self.page


def decide(
    source: IPv4Address,
    standing: Standing,
    organisation: Organisation | None,
    target: Target,
    categories: Categories,
    at: datetime,
) -> Decision:
    """Decide about a connection. `organisation` is the one whose networks hold the source, if any does."""
    if organisation is None or not organisation.holds(source):
        return _not_enrolled(standing, target, categories)
    if at < organisation.opens:
        return Decision(Action.REFUSE, Reason.NOT_YET_OPEN)
    if not organisation.is_open(at):
        return Decision(Action.REFUSE, Reason.EXPIRED)
    if any(each.covers(target.address, target.protocol, target.port) for each in organisation.exceptions):
        return Decision(Action.SPLICE, Reason.EXCEPTION)
    if not _is_web(target):
        return Decision(Action.REFUSE, Reason.SERVICE_CLOSED)
    return _by_name(target, categories) or _by_category(target, frozenset(organisation.categories), categories)


def _not_enrolled(standing: Standing, target: Target, categories: Categories) -> Decision:
    if standing is Standing.BLOCKED:
        return Decision(Action.REFUSE, Reason.SOURCE_BLOCKED)
    if standing is Standing.CATALOGUED:
        return Decision(Action.REFUSE, Reason.NOT_ENROLLED)
    if not _is_web(target):
        return Decision(Action.REFUSE, Reason.SERVICE_CLOSED)
    if target.categories & categories.malicious:
        return Decision(Action.TERMINATE, Reason.MALWARE)
    return Decision(Action.SPLICE, Reason.SOURCE_UNKNOWN)


def _is_web(target: Target) -> bool:
    return target.protocol == "tcp" and target.port in (HTTP, TLS)


def _by_name(target: Target, categories: Categories) -> Decision | None:
    if target.name is Hidden.MISSING:
        return Decision(Action.TERMINATE, Reason.NAME_MISSING)
    if target.name is Hidden.ENCRYPTED or target.categories & categories.cover:
        return Decision(Action.TERMINATE, Reason.NAME_ENCRYPTED)
    if not target.name_at_address:
        return Decision(Action.TERMINATE, Reason.NAME_MISMATCH)
    return None


def _by_category(target: Target, allowed: frozenset[str], categories: Categories) -> Decision:
    exempt = bool(target.categories & categories.exempt)
    if target.categories & categories.malicious:
        return Decision(Action.TERMINATE, Reason.MALWARE, page=not exempt)
    if not target.categories <= allowed:
        return Decision(Action.TERMINATE, Reason.CATEGORY_CLOSED, page=not exempt)
    if exempt:
        return Decision(Action.SPLICE, Reason.EXEMPT)
    return Decision(Action.INSPECT, Reason.INSPECTED)
