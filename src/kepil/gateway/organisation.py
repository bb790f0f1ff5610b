"""One enrolled organisation: its networks, what it may reach, until when, and on which application (GW-15)."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from kepil.gateway.located import Bin, Day, Email, Identity, Line, Sha256, Stated

KAZAKHSTAN = ZoneInfo("Asia/Almaty")
"""Days begin and end by this clock."""
BROADEST = 8
"""The shortest prefix that can be one organisation's; what is shorter is a slip of the pen."""


def _one_organisations(stated: object) -> IPv4Network:
    try:
        network = IPv4Network(str(stated))
    except ValueError as error:
        raise ValueError(f"{error}; write it as 192.0.2.0/24, or 192.0.2.7 for one address") from error
    if network.prefixlen < BROADEST:
        raise ValueError(f"{network} is broader than /{BROADEST}, more than one organisation has; give its own")
    return network


Network = Annotated[IPv4Network, BeforeValidator(_one_organisations)]
Port = Annotated[int, Field(ge=1, le=65535)]


class ServiceException(Stated):
    """A VPN or another service that threatens information security, opened on a signed application (GW-15-2)."""

    service: Line
    destinations: Annotated[tuple[Network, ...], Field(min_length=1)]
    protocol: Literal["tcp", "udp"]
    port: Port
    application: Sha256
    """SHA-256 of the application, as it was signed."""

    def covers(self, address: IPv4Address, protocol: str, port: int) -> bool:
        """Whether it opens this connection."""
        return (protocol, port) == (self.protocol, self.port) and any(address in each for each in self.destinations)


class ApplicationReference(Stated):
    """The application that access was opened on."""

    sha256: Sha256
    dated: Day
    received: Day


class Organisation(Stated):
    """An organisation's file."""

    name: Line
    bin: Bin
    operator: Identity
    contact: Email
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    categories: tuple[Identity, ...]
    exceptions: tuple[ServiceException, ...] = ()
    valid_from: Day
    valid_until: Day
    """The last day on which access is open."""
    application: ApplicationReference

    @field_validator("valid_until")
    @classmethod
    def _check(cls, until: date, info: ValidationInfo) -> date:
        first = info.data.get("valid_from")  # which may be wrong itself
        if first is None:
            return until
        if until < first:
            raise ValueError(f"{until} is before valid_from {first}; exchange them")
        if until > last_day(first):
            raise ValueError(
                f"{until} is later than {last_day(first)}: access opens for one calendar year (GW-15-1); "
                "a longer one needs a new application"
            )
        return until

    @property
    def opens(self) -> datetime:
        """The first moment at which access is open."""
        return datetime.combine(self.valid_from, time(), KAZAKHSTAN)

    @property
    def closes(self) -> datetime:
        """The first moment at which access is closed again."""
        return datetime.combine(self.valid_until + timedelta(days=1), time(), KAZAKHSTAN)

    def is_open(self, at: datetime) -> bool:
        """Whether access is open at a moment."""
        return self.opens <= at < self.closes

    def holds(self, source: IPv4Address) -> bool:
        """Whether an address is in the organisation's networks."""
        return any(source in network for network in self.networks)


def last_day(first: date) -> date:
    """The last day of the calendar year that begins on a day; 29 February begins one that ends on 28 February."""
    try:
        return first.replace(year=first.year + 1) - timedelta(days=1)
    except ValueError:
        return date(first.year + 1, 2, 28)
