"""DER (ITU-T X.690) where speed counts: strict reading, and splicing into templates that asn1crypto made.

asn1crypto decodes into objects and builds from objects; that is right for a certificate and too dear for each of
thousands of answers a second. Here bytes stay bytes. What is read must be DER: definite lengths, no longer than needed,
everything used up. Whoever reads a structure names each tag that it expects, so hostile input can neither nest deeply
nor be read in two ways.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import itemgetter
from typing import Final, Self

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
SET: Final = 0x31
EXPLICIT: Final = 0xA0
"""`EXPLICIT + n` is context tag [n] around something else."""

_LONG_FORM: Final = 0x80
_MOST_LENGTH_OCTETS: Final = 4
_TAG_CONTINUES: Final = 0x1F
# Parts end with an octet below 0x80, and none begins with a needless 0x80.
_OBJECT_IDENTIFIER: Final = re.compile(rb"(?:[\x00-\x7f]|[\x81-\xff][\x80-\xff]*[\x00-\x7f])+")


class DerError(ValueError):
    """Bytes are not the DER that was expected there; the message says where and why."""


class Reader:
    """Reads the values between two places of some bytes, one after the other. Every method may raise DerError."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data, self._at, self._end = data, start, len(data) if end is None else end

    def is_next(self, tag: int) -> bool:
        """Whether a value of that tag comes next."""
        return self._at < self._end and self._data[self._at] == tag

    def more(self) -> bool:
        """Whether anything comes next."""
        return self._at < self._end

    def enter(self, tag: int) -> Self:
        """A reader of what is inside the next value."""
        start, end = self._step(tag)
        return type(self)(self._data, start, end)

    def contents(self, tag: int) -> bytes:
        """The contents of the next value."""
        start, end = self._step(tag)
        return self._data[start:end]

    def whole(self, tag: int) -> bytes:
        """The next value with its tag and length."""
        begin = self._at
        return self._data[begin : self._step(tag)[1]]

    def span(self, tag: int) -> tuple[int, int]:
        """Where the contents of the next value begin and end. The octets themselves need not be at hand."""
        return self._step(tag)

    def rest(self) -> bytes:
        """What has not been read yet; it stays unread."""
        return self._data[self._at : self._end]

    def skip(self) -> None:
        """Pass over the next value, whatever it is."""
        if self._at >= self._end:
            raise DerError(f"nothing at octet {self._at}")
        self._step(self._data[self._at])

    def integer(self) -> int:
        """An INTEGER."""
        start, end = self._step(INTEGER)
        octets = self._data[start:end]
        if not octets or (len(octets) > 1 and octets[0] in (0, 0xFF) and octets[0] >> 7 == octets[1] >> 7):
            raise DerError(f"an INTEGER of no or needless octets at octet {start}")
        return int.from_bytes(octets, "big", signed=True)

    def boolean(self) -> bool:
        """A BOOLEAN."""
        octets = self.contents(BOOLEAN)
        if octets not in (b"\x00", b"\xff"):
            raise DerError(f"a BOOLEAN that is neither before octet {self._at}")
        return octets == b"\xff"

    def object_identifier(self) -> bytes:
        """The contents of an OBJECT IDENTIFIER."""
        octets = self.contents(OBJECT_IDENTIFIER)
        if not _OBJECT_IDENTIFIER.fullmatch(octets):
            raise DerError(f"no OBJECT IDENTIFIER before octet {self._at}")
        return octets

    def finish(self) -> None:
        """Make sure that nothing is left."""
        if self._at != self._end:
            raise DerError(f"{self._end - self._at} octets too many at octet {self._at}")

    def _step(self, tag: int) -> tuple[int, int]:
        """Pass over the next value, which must have the tag, and give where its contents begin and end."""
        data, at = self._data, self._at
        if self._end - at < 2:  # noqa: PLR2004 - a tag and a length
            raise DerError(f"nothing at octet {at}")
        if data[at] != tag or tag & _TAG_CONTINUES == _TAG_CONTINUES:
            raise DerError(f"tag {data[at]:#04x} instead of {tag:#04x} at octet {at}")
        length, at = data[at + 1], at + 2
        if length >= _LONG_FORM:
            octets = data[at : at + length - _LONG_FORM]
            length, at = int.from_bytes(octets, "big"), at + length - _LONG_FORM
            if not 0 < len(octets) <= _MOST_LENGTH_OCTETS or length < _LONG_FORM or octets[0] == 0:
                raise DerError(f"a length that is indefinite, too long or not minimal before octet {at}")
        if at + length > self._end:
            raise DerError(f"{length} octets announced at octet {at}, and {self._end - at} are there")
        self._at = at + length
        return at, self._at


@lru_cache(4096)
def header(tag: int, length: int) -> bytes:
    """Tag and length of a value whose contents have `length` octets."""
    if length < _LONG_FORM:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(octets))) + octets


def wrap(tag: int, *contents: bytes) -> bytes:
    """A value of these contents, one after the other."""
    joined = contents[0] if len(contents) == 1 else b"".join(contents)
    return header(tag, len(joined)) + joined


def integer(value: int) -> bytes:
    """An INTEGER."""
    # A bit more than the value has, for the sign; -128 needs no more than 127 does.
    return wrap(INTEGER, value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True))


def bit_string(octets: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return wrap(BIT_STRING, b"\x00", octets)


_WITHOUT_MARKS: Final = str.maketrans("", "", "-:T")


def generalized_time(moment: datetime) -> bytes:
    """A GeneralizedTime to the second, or to as much of it as `moment` has; `moment` is in UTC (X.690 section 11.7)."""
    text = moment.isoformat()[: len("2000-01-01T00:00:00")].translate(_WITHOUT_MARKS)
    if moment.microsecond:
        text += f".{moment.microsecond:06}".rstrip("0")
    return wrap(GENERALIZED_TIME, text.encode(), b"Z")


class Template:
    """An encoding with holes. Filling them corrects the lengths of all that is around them.

    `example` is a complete encoding, and each hole a value in it that is found there exactly once. OCTET STRINGs that
    hold DER may have holes inside. Raises DerError, at start, when a hole is not a whole value of the example.
    """

    def __init__(self, example: bytes, *holes: bytes) -> None:
        self._places = {}
        for number, hole in enumerate(holes):
            if example.count(hole) != 1:
                raise DerError(f"hole {number} is {example.count(hole)} times in the example, not once")
            self._places[example.index(hole)] = number
        self._constants = [b""]
        self._inner: list[tuple[int, list[_Part]]] = []
        outermost = self._take_apart(example, 0, len(example))
        # What `fill` joins stands in one list: constants, values, then header and contents of each of `_inner`.
        begin = {_CONSTANT: 0, _HOLE: len(self._constants), _INNER: len(self._constants) + len(holes)}
        self._steps = [(tag, _picker(parts, begin)) for tag, parts in self._inner]
        self._outermost = _picker(outermost, begin)
        if self.fill(*holes) != example:
            raise DerError("a hole is not a whole value of the example")

    def fill(self, *values: bytes) -> bytes:
        """The encoding with `values` in the place of the holes, in their order. A value may be several, or nothing.

        Raises DerError where there are more or fewer than holes.
        """
        if len(values) != len(self._places):
            raise DerError(f"{len(values)} values for {len(self._places)} holes")
        pieces = [*self._constants, *values]
        for tag, pick in self._steps:
            contents = b"".join(pick(pieces))
            pieces += header(tag, len(contents)), contents
        return b"".join(self._outermost(pieces))

    def _take_apart(self, example: bytes, start: int, end: int) -> "list[_Part]":
        """The parts between two places, and in `_inner`, from the innermost out, what is around holes."""
        parts: list[_Part] = []
        reader = Reader(example, start, end)
        at = start
        while reader.more():
            tag = example[at]
            inside, after = reader.span(tag)
            if at in self._places:
                parts.append((_HOLE, self._places[at]))
            elif any(at < place < after for place in self._places):
                self._inner.append((tag, self._take_apart(example, inside, after)))
                number = 2 * len(self._inner) - 2
                parts += (_INNER, number), (_INNER, number + 1)
            else:
                parts.append((_CONSTANT, len(self._constants)))
                self._constants.append(example[at:after])
            at = after
        return parts


_CONSTANT, _HOLE, _INNER = range(3)
_Part = tuple[int, int]
"""What kind of part, and its number among these."""


def _picker(parts: Sequence[_Part], begin: Mapping[int, int]) -> Callable[[Sequence[bytes]], Sequence[bytes]]:
    """Takes the parts from the list that `fill` makes. The empty first constant too: of one alone it makes no tuple."""
    return itemgetter(0, *(begin[kind] + number for kind, number in parts))
