"""Distinguished names (RFC 5280 section 4.1.2.4, CP-3.1), and the numbers of people and companies in them (CP-3.2)."""

import re
import unicodedata
from functools import lru_cache
from typing import Annotated, Final, Self

from asn1crypto import core, x509
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from kepil.pki import der

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


_SCRIPTS: Final = ("CYRILLIC", "LATIN")
_WORD: Final = re.compile(r"[^\W\d_]+")


def _readable(text: str) -> str:
    """Kazakh, Russian or Latin text that reads as it looks: a word in two scripts passes for another word."""
    if text.isascii() and text.isprintable() and text == text.strip():
        return text
    if unicodedata.normalize("NFC", text) != text:
        raise ValueError("is not in Unicode's composed form (NFC)")
    if text != text.strip() or not all(character.isprintable() for character in text):
        raise ValueError("has control characters, or spaces at an end")
    for word in _WORD.findall(text):
        scripts = {_script(letter) for letter in word}
        if not scripts <= set(_SCRIPTS):
            raise ValueError(f"word {word!r} is neither in Cyrillic nor in Latin letters")
        if len(scripts) > 1:
            raise ValueError(f"word {word!r} mixes Cyrillic and Latin letters: write it in one of them")
    return text


@lru_cache(maxsize=1024)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "UNNAMED").split()[0]


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
_OIDS: Final = {field: bytes(x509.NameType(attribute).contents) for field, attribute in _ATTRIBUTES.items()}
_FIELDS: Final = {oid: field for field, oid in _OIDS.items()}
_PRINTABLE: Final = frozenset({"country", "serial_number"})
_UTF8_STRING, _PRINTABLE_STRING = 0x0C, 0x13


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
        return {field: text for field in _ATTRIBUTES if (text := getattr(self, field)) is not None}

    def __str__(self) -> str:
        return ", ".join(f"{field}={text}" for field, text in self.attributes.items())

    def encode(self) -> bytes:
        """Return the name in DER, every attribute UTF8String but for country and serial number."""
        return der.wrap(der.SEQUENCE, *(_rdn(field, text) for field, text in self.attributes.items()))

    def to_name(self) -> x509.Name:
        """Return the name as asn1crypto has it."""
        return x509.Name.load(self.encode())

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Read a name out of a request or a certificate.

        Raises DistinguishedNameError for what is no name, and for an attribute that is unknown, given twice, joined
        with another in one RDN, too long, or in a character set other than UTF-8 and printable ASCII.
        """
        try:
            found = read_attributes(encoded)
        except (der.DerError, UnicodeDecodeError) as error:
            raise DistinguishedNameError(f"no distinguished name: {error}") from error
        try:
            return cls(**found)
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise DistinguishedNameError(faults) from error


def _rdn(field: str, text: str) -> bytes:
    string = der.wrap(_PRINTABLE_STRING if field in _PRINTABLE else _UTF8_STRING, text.encode())
    return der.wrap(der.SET, der.wrap(der.SEQUENCE, der.wrap(der.OBJECT_IDENTIFIER, _OIDS[field]), string))


def read_attributes(encoded: bytes) -> dict[str, str]:
    """Read a name's attributes, whatever they hold. Raises DistinguishedNameError, DerError, UnicodeDecodeError."""
    reader = der.Reader(encoded)
    name, found = reader.enter(der.SEQUENCE), dict[str, str]()
    reader.finish()
    while name.more():
        rdn = name.enter(der.SET)
        attribute = rdn.enter(der.SEQUENCE)
        if rdn.more():
            raise DistinguishedNameError("several attributes are joined in one RDN; give each its own")
        oid = attribute.object_identifier()
        field = _FIELDS.get(oid)
        if field is None:
            kind = core.ObjectIdentifier(contents=oid).dotted
            raise DistinguishedNameError(f"attribute {kind} is not used; used are {', '.join(_ATTRIBUTES)}")
        if field in found:
            raise DistinguishedNameError(f"attribute {field} is there twice; give it once")
        if attribute.is_next(_UTF8_STRING):
            found[field] = attribute.contents(_UTF8_STRING).decode()
        elif attribute.is_next(_PRINTABLE_STRING):
            found[field] = attribute.contents(_PRINTABLE_STRING).decode("ascii")
        else:
            raise DistinguishedNameError(f"attribute {field} is neither a UTF8String nor a PrintableString")
        attribute.finish()
    return found
