"""What the registration authority answers when it refuses or fails: problem documents (RFC 9457) with remedies."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from kepil.errors import KepilError


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its HTTP status, and what whoever gets it can do."""

    status: HTTPStatus
    remedy: str


KINDS = {
    "certificate-missing": Kind(
        HTTPStatus.BAD_REQUEST,
        "Send the TLS certificate of an officer; the operators of the estate know how one is had.",
    ),
    "bad-request": Kind(HTTPStatus.BAD_REQUEST, "Send what the description says: GET /v1/openapi.json."),
    "idempotency-key-missing": Kind(
        HTTPStatus.BAD_REQUEST,
        "Send the header Idempotency-Key once, a new random value for each application and the same one in retries.",
    ),
    "malformed-request": Kind(HTTPStatus.BAD_REQUEST, "Make the PKCS #10 request anew, with openssl req for example."),
    "proof-of-possession-failed": Kind(
        HTTPStatus.BAD_REQUEST, "Make the PKCS #10 request anew with the subscriber's key."
    ),
    "not-an-officer": Kind(HTTPStatus.FORBIDDEN, "Ask the estate's operators to enter you as an officer."),
    "role-missing": Kind(HTTPStatus.FORBIDDEN, "Have an officer with that role do it."),
    "own-application": Kind(HTTPStatus.FORBIDDEN, "Have another officer decide on it."),
    "unknown-application": Kind(HTTPStatus.NOT_FOUND, "List your branch's applications: GET /v1/applications."),
    "unknown-certificate": Kind(
        HTTPStatus.NOT_FOUND, "Look the serial number up in the application or the certificate."
    ),
    "key-seen-before": Kind(
        HTTPStatus.CONFLICT, "Have the subscriber make a new key: a key is certified once (CP-3.3)."
    ),
    "not-checked": Kind(HTTPStatus.CONFLICT, "Check the application and compare it with the documents first."),
    "request-changed": Kind(HTTPStatus.CONFLICT, "Check the application again and approve what that shows."),
    "already-decided": Kind(HTTPStatus.CONFLICT, "Look at the application's state; a decision is never changed."),
    "not-issued": Kind(HTTPStatus.CONFLICT, "Look at the application's state; fetch when it is issued."),
    "already-revoked": Kind(HTTPStatus.CONFLICT, "Nothing is left to do: the certificate is revoked for good."),
    "body-too-large": Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Send one application at a time."),
    "unknown-profile": Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "Name a profile that is for subscribers."),
    "unknown-authority": Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "Name an authority that is served here."),
    "weak-key": Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "Have the subscriber make a new key of a kind that is accepted."),
    "name-not-allowed": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY, "Correct the names in the request as the profile wants them."
    ),
    "idempotency-key-reused": Kind(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Use a new Idempotency-Key; list the applications to see what the first one did.",
    ),
    "too-many-requests": Kind(HTTPStatus.TOO_MANY_REQUESTS, "Wait a second and send it again."),
    "internal-error": Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "Tell the estate's operators; the cause is in the log."),
    "registration-unavailable": Kind(
        HTTPStatus.SERVICE_UNAVAILABLE, "Send it again later, with the same Idempotency-Key; nothing is done twice."
    ),
    "authority-unavailable": Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Send it again later; nothing is done twice."),
    "database-unavailable": Kind(HTTPStatus.SERVICE_UNAVAILABLE, "Send it again later; nothing is done twice."),
}
"""Every `code` that the API answers with. A code keeps its meaning for ever."""


class RegistrationError(KepilError):
    """The registration authority refuses or fails; `code` is one of KINDS."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

    @property
    def kind(self) -> Kind:
        """Its kind; what has a code that KINDS lacks is a fault of ours."""
        return KINDS.get(self.code, KINDS["internal-error"])


_TITLES = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content",
}
"""RFC 9110's phrases, which Python knows from 3.13 on."""


def document(code: str, detail: str) -> dict[str, Any]:
    """The problem document for a code of KINDS."""
    kind = KINDS[code]
    return {
        "type": "about:blank",
        "title": _TITLES.get(kind.status, kind.status.phrase),
        "status": kind.status.value,
        "code": code,
        "detail": detail,
        "remedy": kind.remedy,
    }
