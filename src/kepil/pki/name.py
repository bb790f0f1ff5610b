"""Distinguished names (RFC 5280 section 4.1.2.4, CP-3.1), and the numbers of people and companies in them (CP-3.2)."""

import unicodedata
from typing import Annotated, Final, Self

from asn1crypto import x509
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

_FIRST_WEIGHTS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
_SECOND_WEIGHTS: Final = (3, 4, 5, 6, 7, 8, 9, 10, 11, 1, 2)
_NUMBER_LENGTH: Final = 12
_NO_DIGIT: Final = 10


class DistinguishedNameError(ValueError):
    """A name holds what no certificate of this estate carries; the message names the attribute."""


def check_digit(first_eleven: str) -> int | None:
    """Return the twelfth digit that belongs to the first eleven of an IIN or BIN; None where no number has them."""
    for weights in (_FIRST_WEIGHTS, _SECOND_WEIGHTS):
        rest = sum(int(digit) * weight for digit, weight in zip(first_eleven, weights, strict=True)) % 11
        if rest != _NO_DIGIT:
            return rest
    return None


def is_identification_number(text: str) -> bool:
    """Tell whether `text` is twelve digits of which the last is the check digit of an IIN or BIN (CP-3.2)."""
    if len(text) != _NUMBER_LENGTH or not (text.isascii() and text.isdecimal()):
        return False
    return check_digit(text[:-1]) == int(text[-1])


def _readable(text: str) -> str:
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError("is not in Unicode's composed form (NFC)")
    if text != text.strip() or not all(character.isprintable() for character in text):
        raise ValueError("has control characters, or spaces at an end")
    return text


# Upper bounds: RFC 5280 appendix A.1 (`ub-...`). X.520 wants PrintableString of country and serialNumber.
Readable = AfterValidator(_readable)
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
SerialNumber = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 '()+,\-./:=?]{1,64}$"), Readable]
Text64 = Annotated[str, StringConstraints(min_length=1, max_length=64), Readable]
Text128 = Annotated[str, StringConstraints(min_length=1, max_length=128), Readable]

_ATTRIBUTES: Final = {
    "country": "country_name",
    "state": "state_or_province_name",
    "locality": "locality_name",
    "organization": "organization_name",
    "organization_identifier": "organization_identifier",
    "organizational_unit": "organizational_unit_name",
    "surname": "surname",
    "given_name": "given_name",
    "common_name": "common_name",
    "serial_number": "serial_number",
}
_FIELDS: Final = {attribute: field for field, attribute in _ATTRIBUTES.items()}
_PRINTABLE: Final = frozenset({"country", "serial_number"})


class DistinguishedName(BaseModel):
    """A distinguished name as data: each attribute at most once, none empty, encoded in the order of the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: Country | None = None
    state: Text128 | None = None
    locality: Text128 | None = None
    organization: Text64 | None = None
    organization_identifier: Text64 | None = None
    organizational_unit: Text64 | None = None
    surname: Text64 | None = None
    given_name: Text64 | None = None
    common_name: Text64 | None = None
    serial_number: SerialNumber | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes that are there, by field name, in order."""
        return self.model_dump(exclude_none=True)

    def to_name(self) -> x509.Name:
        """Return the name in ASN.1, every attribute UTF8String but for country and serial number."""
        return x509.Name(
            "",
            x509.RDNSequence(
                x509.RelativeDistinguishedName([{"type": _ATTRIBUTES[field], "value": _encoded(field, text)}])
                for field, text in self.attributes.items()
            ),
        )

    @classmethod
    def from_name(cls, name: x509.Name) -> Self:
        """Read a name out of a request or a certificate.

        Raises DistinguishedNameError for an attribute that is unknown, given twice, joined with another in one RDN,
        too long, or in a character set other than UTF-8 and printable ASCII.
        """
        found: dict[str, str] = {}
        for rdn in name.chosen:
            if len(rdn) != 1:
                raise DistinguishedNameError("several attributes are joined in one RDN; give each its own")
            kind, value = rdn[0]["type"].native, rdn[0]["value"]
            field = _FIELDS.get(kind)
            if field is None:
                raise DistinguishedNameError(f"attribute {kind} is not used; used are {', '.join(_ATTRIBUTES)}")
            if field in found:
                raise DistinguishedNameError(f"attribute {field} is there twice; give it once")
            if value.name not in ("utf8_string", "printable_string"):
                raise DistinguishedNameError(f"attribute {field} is a {value.name}; encode it as UTF8String")
            found[field] = value.native
        try:
            return cls(**found)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise DistinguishedNameError(faults) from error


def _encoded(field: str, text: str) -> x509.DirectoryString:
    return x509.DirectoryString("printable_string" if field in _PRINTABLE else "utf8_string", text)
