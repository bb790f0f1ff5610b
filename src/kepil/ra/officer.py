"""Registration officers: who they are, where they work, and what they may do."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from kepil.pki.settings import Section

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Role = Literal["registrar", "approver", "revoker", "auditor"]
"""registrar: applies for subscribers. approver: checks, approves, rejects. revoker: revokes. auditor: only reads."""


class Officer(Section):
    """One officer. `name` is the common name of the officer's TLS certificate; it stands in the journal."""

    name: Name
    branch: Name
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _auditors_only_read(self) -> Self:
        if "auditor" in self.roles and len(self.roles) > 1:
            raise ValueError(f"{self.name}: an auditor has no other role, else he audits himself")
        return self

    @property
    def sees(self) -> str | None:
        """The branch whose applications the officer handles; None: an auditor reads about all of them."""
        return None if "auditor" in self.roles else self.branch
