"""HTTPS under mutual TLS: how the registration authority calls the CA, and a branch the registration authority."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from kepil.errors import KepilError
from kepil.ra.settings import Door

TIMEOUT_SECONDS = 20
LARGEST_ANSWER = 4 * 1024 * 1024


class UnreachableError(KepilError):
    """No answer came; whether the request was carried out is unknown."""


class IdentityError(KepilError):
    """The TLS client identity cannot be used."""


@dataclass(frozen=True)
class Answer:
    """Status, content type without parameters, and body."""

    status: int
    media_type: str
    body: bytes


class Send(Protocol):
    """Sends one request and returns the answer. Raises UnreachableError, IdentityError."""

    def __call__(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer: ...


def sender(door: Door) -> Send:
    """How to send requests to a service. Each reads the identity anew, since that may be renewed."""
    parts = urlsplit(door.url)

    def send(method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=TIMEOUT_SECONDS, context=_context(door)
        )
        try:
            connection.request(method, target, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            content = response.read(LARGEST_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{door.url} does not answer: {error or type(error).__name__}; try again") from error
        finally:
            connection.close()
        return Answer(response.status, response.headers.get_content_type(), content)

    return send


def _context(door: Door) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(door.ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(door.certificate, door.key)
    except OSError as error:
        raise IdentityError(
            f"the TLS identity {door.certificate}, {door.key} and {door.ca} cannot be used: {error}; check the files"
        ) from error
    return context
