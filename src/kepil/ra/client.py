"""The registration authority as a branch sees it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kepil.errors import KepilError
from kepil.pki.settings import Settings
from kepil.ra.https import Answer, Send
from kepil.ra.settings import Door


class ClientSettings(Settings, Door):
    """Where the registration authority is, and the officer's TLS identity: JSON on the officer's own machine."""


class RefusedError(KepilError):
    """The registration authority refuses; the message says why, and what to do."""


class TryLaterError(KepilError):
    """The registration authority cannot do it now. The same command again does nothing twice."""


class Client:
    """The registration authority's API. Raises RefusedError, TryLaterError, UnreachableError, IdentityError."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def apply(self, profile: str, authority: str, request: Path, email: str, document: Path) -> dict[str, Any]:
        """Enter an application. `document` is the application as the subscriber signed it; only its digest is sent.

        The idempotency key follows from the content, so that the same command again is the same application.
        """
        asked = {
            "profile": profile,
            "authority": authority,
            "request": request.read_text("utf-8"),
            "email": email,
            "document_sha256": digest(document),
        }
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return self._json("POST", "/v1/applications", asked, {"Idempotency-Key": key})

    def list(self, state: str | None, cursor: str | None, limit: int | None) -> dict[str, Any]:
        """A page of the branch's applications."""
        given = {"state": state, "cursor": cursor, "limit": limit}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return self._json("GET", f"/v1/applications?{query}")

    def show(self, identifier: str) -> dict[str, Any]:
        """An application."""
        return self._json("GET", f"/v1/applications/{identifier}")

    def check(self, identifier: str) -> dict[str, Any]:
        """What an application's request asks for."""
        return self._json("POST", f"/v1/applications/{identifier}/check")

    def approve(self, identifier: str, request_sha256: str) -> dict[str, Any]:
        """Approve the request with that digest."""
        return self._json("POST", f"/v1/applications/{identifier}/approval", {"request_sha256": request_sha256})

    def reject(self, identifier: str, reason: str) -> dict[str, Any]:
        """Reject an application."""
        return self._json("POST", f"/v1/applications/{identifier}/rejection", {"reason": reason})

    def fetch(self, identifier: str) -> bytes:
        """The certificate with its issuer's, PEM."""
        return self._good("GET", f"/v1/applications/{identifier}/certificate").body

    def revoke(self, serial: str, reason: str, document: Path) -> dict[str, Any]:
        """Revoke a certificate. `document` is the application to revoke; only its digest is sent."""
        asked = {"reason": reason, "document_sha256": digest(document)}
        return self._json("POST", f"/v1/certificates/{serial}/revocation", asked)

    def journal(self, cursor: str | None) -> dict[str, Any]:
        """A page of the journal."""
        return self._json("GET", "/v1/journal" + (f"?cursor={cursor}" if cursor else ""))

    def _json(
        self, method: str, target: str, asked: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        answer = self._good(method, target, asked, headers)
        try:
            found = json.loads(answer.body)
        except ValueError as error:
            raise TryLaterError(f"the answer is not understood: {error}") from error
        if not isinstance(found, dict):
            raise TryLaterError("the answer is not understood: it is no object")
        return found

    def _good(
        self, method: str, target: str, asked: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        body = None if asked is None else json.dumps(asked).encode()
        answer = self._send(method, target, body, {"Content-Type": "application/json", **(headers or {})})
        if answer.status < HTTPStatus.BAD_REQUEST:
            return answer
        message = _explain(answer)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TryLaterError(message)
        raise RefusedError(message)


def digest(document: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with document.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _explain(answer: Answer) -> str:
    """Code, detail and remedy of a problem document; the status of anything else."""
    try:
        problem = json.loads(answer.body)
        return f"{problem['code']}: {problem['detail']}. {problem['remedy']}"
    except (ValueError, KeyError, TypeError):
        return f"the answer is {answer.status}, without a reason"
