"""What goes over the wire, as the API's description shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$"), Field(description="SHA-256, hexadecimal")]
Email = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9_+%-]+(\.[A-Za-z0-9_+%-]+)*@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}$", max_length=254
    ),
]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=63)]
Serial = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,40}$"), Field(description="serial number, hexadecimal")]

State = Literal["submitted", "approved", "rejected", "refused", "issued"]
"""submitted: waits for officers. approved: waits for the CA. rejected: by an officer. refused: by the CA. issued."""

RejectionReason = Literal["incomplete", "identity-not-proven", "no-authority-to-act", "data-differ", "withdrawn"]
"""Reasons from a list, since whoever writes freely writes about people (CP-9.4)."""

RevocationReason = Literal[
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
]
"""Reasons of RFC 5280 section 5.3.1 that a subscriber or an officer can have; the others are the CA's own."""


class Message(BaseModel):
    """A message: strict about types and about keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NewApplication(Message):
    """An application for a certificate (CP-3.2), as a registrar enters it."""

    profile: Label
    authority: Label
    request: Annotated[
        str, StringConstraints(min_length=1, max_length=16_384), Field(description="PKCS #10 request, PEM")
    ]
    email: Annotated[Email, Field(description="where the subscriber is told of the issue (CP-4.4)")]
    document_sha256: Annotated[Digest, Field(description="SHA-256 of the application as the subscriber signed it")]


class Approval(Message):
    """What is approved: exactly the request that the check showed."""

    request_sha256: Digest


class Rejection(Message):
    """Why an application is rejected."""

    reason: RejectionReason


class Revocation(Message):
    """Why a certificate is revoked, and on which application (CP-4.9)."""

    reason: RevocationReason
    document_sha256: Digest


class Application(Message):
    """An application as officers see it: nothing in it says who the subscriber is."""

    id: UUID
    state: State
    branch: str
    profile: str
    authority: str
    submitted_at: datetime
    submitted_by: str
    document_sha256: Digest
    request_sha256: Digest
    approvals_needed: int
    approved_by: list[str]
    reason: Annotated[str | None, Field(description="why it was rejected, or the code with which the CA refused it")]
    serial: Serial | None
    subscriber_told: bool


class Check(Message):
    """What an officer compares with the documents. The one place where the subscriber's names are shown."""

    id: UUID
    request_sha256: Digest
    subject: dict[str, str]
    dns_names: list[str]
    email: Annotated[str | None, Field(description="none after the subscriber was told")]
    key: Annotated[str, Field(description="type of the key")]
    key_sha256: Digest


class Page(Message):
    """A part of a list, and where the next part begins; none at the end."""

    items: list[Application]
    next: str | None


class Revoked(Message):
    """A revocation as the CA recorded it."""

    serial: Serial
    authority: str
    reason: str
    revoked_at: datetime


class Entry(Message):
    """An entry of the journal (CP-5.4)."""

    number: int
    at: datetime
    actor: str
    act: str
    object: dict[str, str | int | None]


class JournalPage(Message):
    """A part of the journal, oldest first, and where the next part begins; none at the end."""

    items: list[Entry]
    next: str | None


class Paging(Message):
    """Which part of a list is asked for."""

    cursor: Annotated[
        str | None, StringConstraints(pattern=r"^[0-9]{1,18}$"), Field(description="`next` of the page before")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200, description="items at most")] = 50


class Listing(Paging):
    """Which applications are asked for."""

    state: State | None = None


class ProblemDocument(BaseModel):
    """RFC 9457; `code` is stable, `remedy` says what to do."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    remedy: str


class Health(Message):
    """Whether the service can do its work."""

    status: Literal["ok"]
