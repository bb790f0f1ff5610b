"""The CA as the registration authority sees it: its API (`kepil.pki.web.ca`)."""

from __future__ import annotations

import json
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from kepil.ra.https import Answer, Send
from kepil.ra.problem import RegistrationError

FINAL = (
    "malformed-request",
    "proof-of-possession-failed",
    "weak-key",
    "name-not-allowed",
    "key-seen-before",
)
"""Codes with which the CA refuses a request for good."""
ELSEWHERE = ("authority-not-issuing", "idempotency-key-reused")
"""Codes with which it refuses what another of its authorities issues, or did."""


class RefusedByAuthorityError(RegistrationError):
    """The CA refuses this request for good."""


class AuthorityFailedError(RegistrationError):
    """The CA fails at, or misunderstands, this request; another might go through."""


class NotIssuingError(AuthorityFailedError):
    """The CA issues this under another key, since a re-key (CP-5.6), or has done so."""


class Authority:
    """The CA's API. Every call blocks. Raises UnreachableError when it does not answer."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def issue(self, authority: str, profile: str, request: bytes, idempotency_key: str) -> bytes:
        """Have a certificate issued and return it with its issuer's, PEM; the same again for the same key.

        Raises RefusedByAuthorityError, AuthorityFailedError.
        """
        answer = self._send(
            "POST",
            "/v1/certificates?" + urlencode({"authority": authority, "profile": profile}),
            request,
            {"Content-Type": "application/pkcs10", "Idempotency-Key": idempotency_key},
        )
        return _expect(answer, HTTPStatus.CREATED).body

    def certificate(self, serial: str) -> bytes:
        """A certificate with its issuer's, PEM. Raises AuthorityFailedError."""
        return _expect(self._send("GET", f"/v1/certificates/{serial}"), HTTPStatus.OK).body

    def revoke(self, serial: str, authority: str, reason: str) -> datetime:
        """Revoke, and return when it was; the same again for the same reason.

        Raises RegistrationError `already-revoked` for another reason, AuthorityFailedError.
        """
        answer = self._send(
            "POST",
            f"/v1/certificates/{serial}/revocation?" + urlencode({"authority": authority}),
            json.dumps({"reason": reason}).encode(),
            {"Content-Type": "application/json"},
        )
        if answer.status == HTTPStatus.CONFLICT and _problem(answer).get("code") == "already-revoked":
            raise RegistrationError("already-revoked", f"serial {serial} was revoked before, for another reason")
        try:
            return datetime.fromisoformat(json.loads(_expect(answer, HTTPStatus.OK).body)["revoked_at"])
        except (ValueError, TypeError, KeyError) as error:
            raise AuthorityFailedError(
                "authority-unavailable", f"the CA's answer is not understood: {error}"
            ) from error


def _expect(answer: Answer, status: HTTPStatus) -> Answer:
    if answer.status == status:
        return answer
    problem = _problem(answer)
    code, detail = str(problem.get("code", "none")), str(problem.get("detail", ""))
    if code in FINAL:
        raise RefusedByAuthorityError(code, detail)
    if code in ELSEWHERE:
        raise NotIssuingError("authority-unavailable", detail)
    raise AuthorityFailedError("authority-unavailable", f"the CA answers {answer.status}, code {code}: {detail}")


def _problem(answer: Answer) -> dict[str, Any]:
    if answer.media_type != "application/problem+json":
        return {}
    try:
        document = json.loads(answer.body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
