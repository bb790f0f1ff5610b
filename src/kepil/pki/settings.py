"""Settings of the CA, OCSP and TSP services: JSON rendered from the inventory, checked before anything starts."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from kepil.errors import KepilError
from kepil.pki.profile import Profile

ENVIRONMENT_VARIABLE = "KEPIL_SETTINGS"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
SECOND_MS = 1000

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
ObjectIdentifier = Annotated[str, StringConstraints(pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$")]


class SettingsError(KepilError):
    """A settings file is missing, unreadable or wrong; the message names the file, the keys and the remedy."""


class Section(BaseModel):
    """A part of a settings file. An unknown key is an error, so that a misspelt one is not silently a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(Section):
    """The whole settings file of one service."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the file. Raises SettingsError."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise SettingsError(f"{path}: {error.strerror}; run the service's role again to render it") from error
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
            raise SettingsError(f"{path}: {faults}; correct the inventory and run the service's role again") from error

    @classmethod
    def from_environment(cls) -> Self:
        """Read the file that KEPIL_SETTINGS names. Raises SettingsError."""
        path = os.environ.get(ENVIRONMENT_VARIABLE)
        if not path:
            raise SettingsError(f"{ENVIRONMENT_VARIABLE} is not set; set it to the path of the service's settings file")
        return cls.load(Path(path))


class KeySettings(Section):
    """A private key and its certificate: how `Signer.open` finds the one, and the file of the other."""

    certificate: Path
    key: str = Field(min_length=1, description="a file path, or a `pkcs11:` URI")
    digest: str = "sha256"
    openssl_config: Path | None = None
    activation: Path | None = Field(default=None, description="a path, or a name under $CREDENTIALS_DIRECTORY")

    @property
    def activation_file(self) -> Path | None:
        """The file that holds the key's PIN or passphrase; None where the key needs none. Raises SettingsError."""
        if self.activation is None or self.activation.is_absolute():
            return self.activation
        directory = os.environ.get(CREDENTIALS_VARIABLE)
        if not directory:
            raise SettingsError(
                f"activation {self.activation} of {self.certificate} is a credential's name, but "
                f"{CREDENTIALS_VARIABLE} is not set; start the service by its systemd unit or give an absolute path"
            )
        return Path(directory) / self.activation


class Urls(Section):
    """The pointers that an authority puts into what it issues (RFC 5280 sections 4.2.1.13, 4.2.1.15, 4.2.2.1)."""

    issuer: str
    crl: str
    delta_crl: str
    ocsp: str


class AuthoritySettings(KeySettings):
    """An issuing CA; one of another generation than the present (CP-5.6) `issues` to no subscriber."""

    name: Name
    urls: Urls
    issues: bool = True


class CrlInterval(Section):
    """How often a CRL is made and how long it is valid, in hours (CP-2.3)."""

    every_hours: PositiveInt
    valid_hours: PositiveInt


class CrlSettings(Section):
    """The two kinds of CRL."""

    full: CrlInterval
    delta: CrlInterval


class PublishSettings(Section):
    """Where CRLs and certificates are put (HTTPS PUT), and the TLS client identity that may do so."""

    urls: list[str]
    certificate: Path
    key: Path
    ca: Path


class CaSettings(Settings):
    """/etc/kepil/ca.json."""

    database: str = Field(description="libpq connection string of the primary")
    authorities: list[AuthoritySettings] = Field(min_length=1)
    profiles: dict[str, Profile]
    crl: CrlSettings
    publish: PublishSettings
    officers: list[str] = Field(description="names in the TLS certificates of those who may issue and revoke")
    known_keys: list[Path] = Field(
        default=[], description="lists of keys that are refused, as openssl-blacklist has them"
    )


class ResponderSettings(KeySettings):
    """A delegated OCSP responder of one issuing CA (RFC 6960 section 2.6)."""

    authority: Name = Field(description="the issuer's name in the status table")
    issuer: Path = Field(description="the issuing CA's certificate")


class OcspSettings(Settings):
    """/etc/kepil/ocsp.json."""

    database: str = Field(description="libpq connection string of this node's replica")
    responders: list[ResponderSettings] = Field(min_length=1)
    primary_heard: Path | None = Field(
        default=None, description="a file whose time is when the primary was last heard of, kept over restarts"
    )
    validity_hours: float = Field(
        default=9, ge=8, le=240, description="Baseline Requirements 4.9.10: at least 8 hours, at most 10 days"
    )


class UnitSettings(KeySettings):
    """A time-stamping unit (RFC 3161): one key, one policy."""

    policy: ObjectIdentifier
    chain: list[Path] = Field(
        default=[], description="the issuers' certificates, sent when the requester asks for them"
    )


class ClockSettings(Section):
    """What vouches for the clock."""

    source: Literal["chrony"] = "chrony"
    every_seconds: PositiveFloat = Field(default=4, description="how often it is asked")


class TspSettings(Settings):
    """/etc/kepil/tsp.json. The first unit serves requests that name no policy."""

    units: list[UnitSettings] = Field(min_length=1)
    accuracy_ms: PositiveInt = 1000
    milliseconds: bool = Field(default=True, description="state milliseconds in genTime")
    clock: ClockSettings = ClockSettings()

    @model_validator(mode="after")
    def _resolution_within_accuracy(self) -> Self:
        if not self.milliseconds and self.accuracy_ms <= SECOND_MS:
            raise ValueError(
                "whole seconds cannot keep an accuracy of 1 s: set milliseconds, or accuracy_ms above 1000"
            )
        return self
