"""Settings of the registration authority: JSON rendered from the inventory, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PositiveInt, StringConstraints, model_validator

from kepil.pki.profile import Profile
from kepil.pki.settings import Name, Section, Settings
from kepil.ra.officer import Officer


class Door(Section):
    """An HTTPS service, and the TLS client identity that it knows its caller by."""

    url: Annotated[str, StringConstraints(pattern=r"^https://[a-z0-9.-]+(:[0-9]{1,5})?$")]
    certificate: Path
    key: Path
    ca: Path = Field(description="vouches for the service")


class Mail(Section):
    """The host's own mail transport, which queues and delivers."""

    sender: Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
    host: str = "127.0.0.1"
    port: PositiveInt = 25


class RaSettings(Settings):
    """/etc/kepil/ra.json."""

    database: str = Field(description="libpq connection string of the primary")
    authority: Door = Field(description="the CA's API")
    authorities: list[Name] = Field(min_length=1, description="the issuing CAs that may be applied to")
    succeeded: dict[Name, Name] = Field(default={}, description="for issuing CAs that issue no more, the one that does")
    profiles: dict[str, Profile]
    two_approvers: list[str] = Field(description="profiles by which two officers must approve")
    officers: list[Officer]
    mail: Mail
    openssl_config: Path | None = Field(default=None, description="for request signatures that need a provider")
    settle_seconds: PositiveInt = 30

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if closed := [name for name, profile in self.profiles.items() if not profile.subscriber]:
            raise ValueError(f"profiles: {', '.join(closed)} is not for subscribers")
        if unknown := sorted(set(self.succeeded.values()) - set(self.authorities)):
            raise ValueError(f"succeeded: {', '.join(unknown)} is none of authorities")
        if unknown := sorted(set(self.two_approvers) - set(self.profiles)):
            raise ValueError(f"two_approvers: {', '.join(unknown)} is no profile for subscribers")
        if twice := _repeated(officer.name for officer in self.officers):
            raise ValueError(f"officers: {', '.join(twice)} is there twice; a name is one person's")
        return self


def _repeated(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
