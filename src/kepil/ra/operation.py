"""The API's operations as data: what routes, roles, checks of input and the description (OpenAPI) all come from."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel

from kepil.ra import messages
from kepil.ra.officer import Role

CHAIN = "application/pem-certificate-chain"
AT_THE_DOOR = ("certificate-missing", "too-many-requests", "registration-unavailable")
"""Problems with which nginx answers, before or instead of the service."""
ANYWHERE = (*AT_THE_DOOR, "not-an-officer", "internal-error", "database-unavailable", "bad-request")
"""Problems that every operation for officers may answer with."""
_REQUEST = ("malformed-request", "proof-of-possession-failed", "weak-key", "name-not-allowed")


@dataclass(frozen=True)
class Operation:
    """One operation. `name` is the handler's and the description's; no roles: whoever is an officer; `open`: anyone."""

    method: Literal["GET", "POST"]
    path: str
    name: str
    summary: str
    answer: type[BaseModel] | str
    """A message, or the media type of what is none."""
    status: HTTPStatus = HTTPStatus.OK
    roles: tuple[Role, ...] = ()
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    problems: tuple[str, ...] = ()
    idempotency_key: bool = False
    open: bool = False

    @property
    def codes(self) -> tuple[str, ...]:
        """Every problem code that it may answer with."""
        if self.open:
            return (*AT_THE_DOOR, "internal-error", "database-unavailable")
        body = ("body-too-large",) if self.body else ()
        role = ("role-missing",) if self.roles else ()
        return (*ANYWHERE, *role, *body, *self.problems)


OPERATIONS = (
    Operation(
        "POST",
        "/v1/applications",
        "apply",
        "Enter a subscriber's application",
        messages.Application,
        status=HTTPStatus.CREATED,
        roles=("registrar",),
        body=messages.NewApplication,
        idempotency_key=True,
        problems=(
            *_REQUEST,
            "idempotency-key-missing",
            "idempotency-key-reused",
            "key-seen-before",
            "unknown-profile",
            "unknown-authority",
        ),
    ),
    Operation(
        "GET",
        "/v1/applications",
        "list",
        "List the branch's applications, oldest first",
        messages.Page,
        query=messages.Listing,
    ),
    Operation(
        "GET",
        "/v1/applications/{id}",
        "show",
        "Show an application",
        messages.Application,
        problems=("unknown-application",),
    ),
    Operation(
        "POST",
        "/v1/applications/{id}/check",
        "check",
        "Check an application: see what its request asks for, to compare with the documents",
        messages.Check,
        roles=("approver",),
        problems=(*_REQUEST, "unknown-application", "unknown-profile", "unknown-authority"),
    ),
    Operation(
        "POST",
        "/v1/applications/{id}/approval",
        "approve",
        "Approve an application that was checked",
        messages.Application,
        roles=("approver",),
        body=messages.Approval,
        problems=("unknown-application", "own-application", "request-changed", "not-checked", "already-decided"),
    ),
    Operation(
        "POST",
        "/v1/applications/{id}/rejection",
        "reject",
        "Reject an application for good",
        messages.Application,
        roles=("approver",),
        body=messages.Rejection,
        problems=("unknown-application", "own-application", "already-decided"),
    ),
    Operation(
        "GET",
        "/v1/applications/{id}/certificate",
        "fetch",
        "Fetch the certificate with its issuer's",
        CHAIN,
        roles=("registrar", "approver"),
        problems=("unknown-application", "not-issued", "authority-unavailable"),
    ),
    Operation(
        "POST",
        "/v1/certificates/{serial}/revocation",
        "revoke",
        "Revoke a certificate for good",
        messages.Revoked,
        roles=("revoker",),
        body=messages.Revocation,
        problems=("unknown-certificate", "already-revoked", "authority-unavailable"),
    ),
    Operation(
        "GET",
        "/v1/journal",
        "journal",
        "Read the journal of officers' acts, oldest first",
        messages.JournalPage,
        roles=("auditor",),
        query=messages.Paging,
    ),
    Operation("GET", "/v1/openapi.json", "describe", "Describe this API", "application/json"),
    Operation("GET", "/health", "health", "Tell whether the service can do its work", messages.Health, open=True),
)
