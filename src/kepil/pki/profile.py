"""Certificate profiles and hierarchies as data (CP-1.4.1, CP-3.1, CP-7.1): what the inventory may say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from kepil.errors import KepilError
from kepil.pki.algorithm import KEY_KINDS
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
Purpose = Literal[
    "id-kp-serverAuth",
    "id-kp-clientAuth",
    "id-kp-codeSigning",
    "id-kp-emailProtection",
    "id-kp-timeStamping",
    "id-kp-OCSPSigning",
]
ExtendedKeyUsage = Purpose | ObjectIdentifier
"""A purpose by RFC 5280's name, or by number where only the state's register names it."""


def _known_key_type(name: str) -> str:
    if name not in KEY_KINDS:
        raise ValueError(f"{name!r} is not one of {', '.join(KEY_KINDS)}")
    return name


KeyType = Annotated[str, AfterValidator(_known_key_type)]
"""The types of key that are certified, by the names of `kepil.pki.algorithm`."""

USUAL_KEY_TYPES: tuple[KeyType, ...] = ("rsa", "ec", "ed25519", "gost2012_256", "gost2012_512")
"""Those of a profile that lists none; post-quantum keys are for hierarchies that an environment has switched on."""

SMALLEST_OWN_RSA = 3072
"""Bits of a hierarchy's RSA keys, at least: what they sign is to hold for years (ADR 24)."""

TLS_DAYS = 200
"""The longest validity of a TLS server's certificate issued from 2026-03-15 on (BR 6.3.2)."""


class ProfileError(KepilError):
    """A profile or a hierarchy cannot be used; the message names the key, what it holds and what is allowed."""


class NameNotAllowedError(KepilError):
    """A subject is not what the profile allows; the message names the attribute."""

    code = "name-not-allowed"


class Data(BaseModel):
    """Data of the inventory: immutable, and strict about keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SubjectRules(Data):
    """Which attributes a subscriber's name has, and which of them are an IIN or a BIN (CP-3.2).

    `country` KZ is a resident's, `foreign` anybody else's; None leaves it open.
    """

    required: tuple[Attribute, ...]
    optional: tuple[Attribute, ...] = ()
    numbers: dict[Attribute, Literal["IIN", "BIN"]] = {}
    country: Literal["KZ", "foreign"] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if surplus := sorted(set(self.numbers) - set(self.required)):
            raise ValueError(f"numbers: {', '.join(surplus)} must be among the required attributes")
        if twice := sorted(set(self.required) & set(self.optional)):
            raise ValueError(f"{', '.join(twice)} is both required and optional: keep one")
        return self

    def check(self, subject: DistinguishedName) -> None:
        """Raise NameNotAllowedError, naming the attribute, where the subject breaks a rule."""
        given = subject.attributes
        if missing := [kind for kind in self.required if kind not in given]:
            raise NameNotAllowedError(f"subject: {', '.join(missing)} is missing")
        if surplus := sorted(set(given) - set(self.required) - set(self.optional)):
            raise NameNotAllowedError(f"subject: {', '.join(surplus)} is not allowed by this profile")
        for attribute, kind in self.numbers.items():
            number = given[attribute]
            if not (number.startswith(kind) and is_identification_number(number.removeprefix(kind))):
                raise NameNotAllowedError(
                    f"subject: {attribute} must be {kind} and twelve digits, the last the check digit"
                )
        if self.country and (given.get("country") == "KZ") != (self.country == "KZ"):
            raise NameNotAllowedError(
                f"subject: country must be {'KZ' if self.country == 'KZ' else 'another than KZ'} by this profile"
            )


class Profile(Data):
    """What certificates of one kind carry. `subscriber` profiles are those that officers may issue by."""

    ca: bool
    subscriber: bool = False
    path_length: Annotated[int, Field(ge=0)] | None = None
    key_types: tuple[KeyType, ...] = USUAL_KEY_TYPES
    key_usage: Annotated[tuple[KeyUsage, ...], Field(min_length=1)]
    extended_key_usage: tuple[ExtendedKeyUsage, ...] = ()
    extended_key_usage_critical: bool = False
    policies: tuple[ObjectIdentifier, ...] = ()
    status_urls: tuple[Literal["issuer", "crl", "delta_crl", "ocsp"], ...] = ()
    ocsp_no_check: bool = False
    days: PositiveInt
    subject: SubjectRules | None = None
    subject_alt_names: tuple[Literal["dns"], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for wrong, remedy in self._contradictions():
            if wrong:
                raise ValueError(remedy)
        return self

    def _contradictions(self) -> tuple[tuple[bool, str], ...]:
        """Each rule across keys: whether it is broken, and what to write instead."""
        lists = (self.key_types, self.key_usage, self.extended_key_usage, self.policies, self.status_urls)
        purposes, usages = self.extended_key_usage, set(self.key_usage)
        stamps = "id-kp-timeStamping" in purposes
        return (
            (any(len(set(each)) < len(each) for each in lists), "a list names something twice: name it once"),
            (self.ca != ("keyCertSign" in usages), "ca and keyCertSign go together (RFC 5280 section 4.2.1.9)"),
            ("cRLSign" in usages and not self.ca, "cRLSign: only a ca signs CRLs here"),
            (self.path_length is not None and not self.ca, "path_length is for a ca (RFC 5280 section 4.2.1.9)"),
            (self.subscriber and self.ca, "subscriber: nobody but the state runs a ca (CP-1.3.1)"),
            (self.subscriber and self.subject is None, "subscriber: give the rules of its subject (CP-3.2)"),
            (
                stamps and (len(purposes) > 1 or not self.extended_key_usage_critical),
                "id-kp-timeStamping must be the only purpose, and critical (RFC 3161 section 2.3)",
            ),
            (
                ("id-kp-OCSPSigning" in purposes) != self.ocsp_no_check,
                "ocsp_no_check and id-kp-OCSPSigning go together (RFC 6960 section 4.2.2.2.1)",
            ),
            (
                "delta_crl" in self.status_urls and "crl" not in self.status_urls,
                "status_urls: a delta_crl needs its crl (RFC 5280 section 5.2.4)",
            ),
            (
                "id-kp-serverAuth" in purposes and (self.days > TLS_DAYS or "dns" not in self.subject_alt_names),
                f"id-kp-serverAuth needs subject_alt_names [dns] and days of at most {TLS_DAYS} (BR 6.3.2, 7.1.2.7)",
            ),
        )


class Key(Data):
    """The kind of a key: its type by the names of `kepil.pki.algorithm`, and its size in bits or its curve."""

    type: str
    bits: PositiveInt | None = None
    curve: str | None = None

    @model_validator(mode="after")
    def _strong(self) -> Self:
        if self.type == "rsa" and self.bits is not None and self.bits < SMALLEST_OWN_RSA:
            raise ValueError(f"bits: a hierarchy's RSA keys have {SMALLEST_OWN_RSA} or more (ADR 24), not {self.bits}")
        return self


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


def load_profiles(data: Any, where: str = "pki_profiles") -> dict[str, Profile]:
    """Profiles by name. Raises ProfileError; its message begins with `where`, the data's place."""
    return validated(TypeAdapter(dict[str, Profile]), data, where)


def read_profiles(path: Path) -> dict[str, Profile]:
    """Profiles by name from a file of JSON. Raises ProfileError, naming the file, the key and the remedy."""
    try:
        return load_profiles(json.loads(path.read_bytes()), f"{path}: pki_profiles")
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}; name the file that holds pki_profiles as JSON") from error
    except ValueError as error:
        raise ProfileError(f"{path}: {error}; write pki_profiles as JSON, for example with to_json") from error


def load_member(data: Any) -> Member:
    """A hierarchy's member. Raises ProfileError."""
    return validated(TypeAdapter(Member), data, "member")


def load_hierarchies(data: Any) -> dict[str, Hierarchy]:
    """Hierarchies by name. Raises ProfileError."""
    return validated(TypeAdapter(dict[str, Hierarchy]), data, "pki_hierarchies")


T = TypeVar("T")


def validated(adapter: TypeAdapter[T], data: Any, what: str) -> T:
    """Data of the inventory as the adapter reads it. Raises ProfileError, whose message begins with `what`."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (what, *first["loc"]))
        remedy = first["msg"].removeprefix("Value error, ")
        held = "" if isinstance(first["input"], dict) else f" (holds {first['input']!r})"
        raise ProfileError(f"{where}: {remedy}{held}; correct it in the inventory") from error
