"""What an organisation signs: the text of its application, strict YAML (GW-15, GW-15-2)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from kepil.gateway.category import Categories
from kepil.gateway.located import Bin, Day, Email, GatewayError, Identity, Line, Located, Stated, parse
from kepil.gateway.organisation import ApplicationReference, Network, Organisation, Port, ServiceException, last_day

OLDEST = timedelta(days=30)
"""How old the date of an application may be when it is received."""


class RequestedService(Stated):
    """A VPN or another service that threatens information security, and why it is needed (GW-15-2)."""

    service: Line
    why: Line
    destinations: Annotated[tuple[Network, ...], Field(min_length=1)]
    protocol: Literal["tcp", "udp"]
    port: Port


class Application(Stated):
    """The signed text."""

    application: Literal["internet-access"]
    organisation: Identity
    """The name of its file."""
    name: Line
    bin: Bin
    operator: Identity
    contact: Email
    dated: Day
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    categories: Annotated[tuple[Identity, ...], Field(min_length=1)]
    exceptions: tuple[RequestedService, ...] = ()


def read_application(content: bytes, path: Path, received: date, categories: Categories) -> Located[Application]:
    """The application that was signed; raises GatewayError with line and reason where it cannot be carried out."""
    stated = parse(content, path, Application)
    if not received - OLDEST <= stated.value.dated <= received:
        raise GatewayError(
            f"{stated.at('dated')}: dated {stated.value.dated}, received {received}: an application is at most "
            f"{OLDEST.days} days old and not of tomorrow; ask for a new one"
        )
    for number, name in enumerate(stated.value.categories):
        if categories.unknown([name]):
            raise GatewayError(
                f"{stated.at('categories', number)}: '{name}' is no category that can be allowed; there are "
                f"{', '.join(sorted(categories.ordinary))}"
            )
    return stated


def organisation_of(application: Application, sha256: str, received: date, opened: date) -> Organisation:
    """The organisation as the application wants it, open for one calendar year (GW-15-1)."""
    return Organisation(
        name=application.name,
        bin=application.bin,
        operator=application.operator,
        contact=application.contact,
        networks=application.networks,
        categories=application.categories,
        exceptions=tuple(
            ServiceException(
                service=each.service,
                destinations=each.destinations,
                protocol=each.protocol,
                port=each.port,
                application=sha256,
            )
            for each in application.exceptions
        ),
        valid_from=opened,
        valid_until=last_day(opened),
        application=ApplicationReference(sha256=sha256, dated=application.dated, received=received),
    )
