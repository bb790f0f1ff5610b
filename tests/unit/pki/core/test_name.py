"""Names and identification numbers (CP-3.1, CP-3.2)."""

import pytest
from asn1crypto import x509
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kepil.pki.name import DistinguishedName, DistinguishedNameError, check_digit, is_identification_number

ELEVEN = st.text("0123456789", min_size=11, max_size=11)
CYRILLIC, LATIN = "АәҒқңӨұүҺі Ёя09-.,'()«»№", "azÄğıÑöŞū 09-.,'()&"
TEXT = (st.text(CYRILLIC, min_size=1, max_size=64) | st.text(LATIN, min_size=1, max_size=64)).filter(
    lambda text: text == text.strip()
)


@pytest.mark.clause("CP-3.2")
@pytest.mark.parametrize(
    ("first", "digit"),
    [
        ("10000000000", 1),
        ("00000000000", 0),
        ("00000000050", 6),  # 10 * 5 = 50, and 50 mod 11 is 6
        ("00000000010", 1),  # 10 by the first weights, 1 by the second
    ],
)
def test_known_check_digits(first: str, digit: int) -> None:
    assert check_digit(first) == digit


@given(ELEVEN)
def test_exactly_one_last_digit_is_right_or_none(first: str) -> None:
    right = [digit for digit in "0123456789" if is_identification_number(first + digit)]
    assert right == ([] if check_digit(first) is None else [str(check_digit(first))])


@given(ELEVEN, st.integers(0, 9), st.integers(1, 9))
def test_one_wrong_digit_under_the_first_weights_is_found(first: str, place: int, change: int) -> None:
    """Of the first ten: the eleventh has the weight 11, which modulo 11 is none."""
    plain = sum(int(digit) * weight for weight, digit in enumerate(first, start=1)) % 11
    changed = first[:place] + str((int(first[place]) + change) % 10) + first[place + 1 :]
    if plain != 10 and sum(int(digit) * weight for weight, digit in enumerate(changed, start=1)) % 11 != 10:
        assert not is_identification_number(changed + str(plain))


@pytest.mark.parametrize("text", ["", "1", "1234567890123", "٠٠٠٠٠٠٠٠٠٠٠٠", "00000000000x"])
def test_what_is_no_number(text: str) -> None:
    assert not is_identification_number(text)


@given(st.builds(DistinguishedName, country=st.just("KZ"), organization=TEXT, common_name=TEXT, surname=TEXT))
def test_a_name_comes_back(name: DistinguishedName) -> None:
    assert DistinguishedName.decode(name.encode()) == name
    assert name.to_name().dump(force=True) == name.encode()


def test_text_is_utf8_but_for_country_and_serial_number(person: DistinguishedName) -> None:
    forms = {rdn[0]["type"].native: rdn[0]["value"].name for rdn in person.to_name().chosen}
    assert forms == {
        "country_name": "printable_string",
        "common_name": "utf8_string",
        "serial_number": "printable_string",
    }


@pytest.mark.clause("CP-3.1")
@pytest.mark.parametrize(
    "text", ["ӘБДІРАХМАНҰЛЫ ЕРКЕҒАЛИ", "ЩЁЛОКОВА ЮЛИЯ", "O'NEIL SEÁN", "Ä. Ğabdūllin", "ЖШС «IT-Орталық» № 1"]
)
def test_kazakh_russian_and_latin_names(text: str) -> None:
    name = DistinguishedName(country="KZ", common_name=text)
    assert DistinguishedName.decode(name.encode()) == name


@pytest.mark.parametrize(
    "text", ["", " a", "a\x00b", "a\u202eb", "x" * 65, "и\u0306", "КАЗAХ", "γιώργος", "ИП 李", "Ivаn"]
)
def test_text_that_misleads_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        DistinguishedName(common_name=text)


COMMON_NAME = x509.Name.build({"common_name": "a"}).chosen[0]


@pytest.mark.parametrize(
    "encoded",
    [
        x509.Name.build({"email_address": "a@example.test"}).dump(),
        x509.RDNSequence([COMMON_NAME, COMMON_NAME]).dump(),
        x509.RDNSequence([x509.RelativeDistinguishedName([COMMON_NAME[0], COMMON_NAME[0]])]).dump(),
        x509.RDNSequence([COMMON_NAME]).dump() + b"\0",
        DistinguishedName(common_name="a").encode().replace(b"\x0c\x01a", b"\x0c\x01\xff"),
        DistinguishedName(common_name="a").encode().replace(b"\x0c\x01a", b"\x16\x01a"),
        b"",
    ],
)
def test_what_is_no_name_of_ours_is_refused(encoded: bytes) -> None:
    """An unknown attribute, one given twice, two in one RDN, what follows, no UTF-8, another character set, nothing."""
    with pytest.raises(DistinguishedNameError):
        DistinguishedName.decode(encoded)
