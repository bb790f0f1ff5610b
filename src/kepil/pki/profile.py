"""Certificate profiles and hierarchies as data (CP-1.4.1, CP-3.1, CP-7.1): what the inventory may say of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints, TypeAdapter, ValidationError

from kepil.errors import KepilError
from kepil.pki.name import DistinguishedName, is_identification_number

ObjectIdentifier = Annotated[str, StringConstraints(pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$")]
Attribute = Literal[
    "country",
    "state",
    "locality",
    "organization",
    "organization_identifier",
    "organizational_unit",
    "surname",
    "given_name",
    "common_name",
    "serial_number",
]

KeyUsage = Literal[
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
]
ExtendedKeyUsage = Literal[
    "id-kp-serverAuth",
    "id-kp-clientAuth",
    "id-kp-codeSigning",
    "id-kp-emailProtection",
    "id-kp-timeStamping",
    "id-kp-OCSPSigning",
]


class ProfileError(KepilError):
    """A profile or a hierarchy cannot be used; the message names the key, what it holds and what is allowed."""


class NameNotAllowedError(KepilError):
    """A subject is not what the profile allows; the message names the attribute."""

    code = "name-not-allowed"


class Data(BaseModel):
    """Data of the inventory: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SubjectRules(Data):
    """Which attributes a subscriber's name has, and how its `serial_number` identifies them (CP-3.2)."""

    required: tuple[Attribute, ...]
    optional: tuple[Attribute, ...] = ()
    serial_number: Literal["IIN", "BIN"] | None = None

    def check(self, subject: DistinguishedName) -> None:
        """Raise NameNotAllowedError, naming the attribute, where the subject breaks a rule."""
        given = {kind for kind, value in subject.model_dump().items() if value is not None}
        if missing := [kind for kind in self.required if kind not in given]:
            raise NameNotAllowedError(f"subject: {', '.join(missing)} is missing")
        if surplus := sorted(given - set(self.required) - set(self.optional)):
            raise NameNotAllowedError(f"subject: {', '.join(surplus)} is not allowed by this profile")
        if self.serial_number is not None:
            number = subject.serial_number or ""
            if not number.startswith(self.serial_number) or not is_identification_number(
                number.removeprefix(self.serial_number)
            ):
                raise NameNotAllowedError(
                    f"subject: serial_number must be {self.serial_number} and twelve digits, the last the check digit"
                )


class Profile(Data):
    """What certificates of one kind carry. `subscriber` profiles are those that officers may issue by."""

    ca: bool
    subscriber: bool = False
    path_length: Annotated[int, Field(ge=0)] | None = None
    key_usage: tuple[KeyUsage, ...]
    extended_key_usage: tuple[ExtendedKeyUsage, ...] = ()
    extended_key_usage_critical: bool = False
    policies: tuple[ObjectIdentifier, ...] = ()
    status_urls: tuple[Literal["issuer", "crl", "delta_crl", "ocsp"], ...] = ()
    ocsp_no_check: bool = False
    days: PositiveInt
    subject: SubjectRules | None = None
    subject_alt_names: tuple[Literal["dns"], ...] = ()


class Key(Data):
    """The kind of a key: its type by the names of `kepil.pki.algorithm`, and its size in bits or its curve."""

    type: str
    bits: PositiveInt | None = None
    curve: str | None = None


class RootCrl(Data):
    """How long a root's CRL is valid."""

    validity_days: PositiveInt


class Member(Data):
    """One certificate of a hierarchy: whose, on which key, on which HSM partition, by which profile."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    subject: DistinguishedName
    key: Key
    digest: str
    days: PositiveInt
    partition: str
    profile: str
    crl: RootCrl | None = None
    policy: ObjectIdentifier | None = None


class Hierarchy(Data):
    """A line of trust: an offline root, an issuing CA under it, and the certificates that it delegates to."""

    root: Member
    issuing: Member
    ocsp: Member
    tsp: Member


def load_profiles(data: Any) -> dict[str, Profile]:
    """Profiles by name. Raises ProfileError."""
    return _validated(TypeAdapter(dict[str, Profile]), data, "pki_profiles")


def load_member(data: Any) -> Member:
    """A hierarchy's member. Raises ProfileError."""
    return _validated(TypeAdapter(Member), data, "member")


def load_hierarchies(data: Any) -> dict[str, Hierarchy]:
    """Hierarchies by name. Raises ProfileError."""
    return _validated(TypeAdapter(dict[str, Hierarchy]), data, "pki_hierarchies")


T = TypeVar("T")


def _validated(adapter: TypeAdapter[T], data: Any, what: str) -> T:
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (what, *first["loc"]))
        raise ProfileError(f"{where}: {first['msg']} (holds {first['input']!r})") from error
