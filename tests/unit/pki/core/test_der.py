"""DER read strictly and spliced (ITU-T X.690), with asn1crypto and OpenSSL as judges."""

import subprocess
from datetime import UTC, datetime

import pytest
from asn1crypto import cms, core
from hypothesis import given
from hypothesis import strategies as st

from kepil.pki import der
from kepil.pki.der import DerError, Reader, Template


@given(st.integers(-(2**200), 2**200))
def test_integers(value: int) -> None:
    encoded = der.integer(value)
    assert encoded == core.Integer(value).dump()
    assert Reader(encoded).integer() == value


@given(st.integers(0, 5), st.sampled_from([0, 1, 127, 128, 255, 256, 65535, 65536]))
def test_lengths(more: int, length: int) -> None:
    contents = bytes(length + more)
    encoded = der.wrap(der.OCTET_STRING, contents)
    assert encoded == core.OctetString(contents).dump()
    assert Reader(encoded).contents(der.OCTET_STRING) == contents
    assert Reader(encoded).whole(der.OCTET_STRING) == encoded


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)))
def test_times(moment: datetime) -> None:
    at = moment.replace(tzinfo=UTC)
    assert der.generalized_time(at) == core.GeneralizedTime(at).dump()


@given(st.from_regex(r"[01]\.[1-3]?[0-9](\.(0|[1-9][0-9]{0,20})){0,9}", fullmatch=True))
def test_object_identifiers(dotted: str) -> None:
    encoded = core.ObjectIdentifier(dotted)
    assert Reader(encoded.dump()).object_identifier() == encoded.contents


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        ("", "nothing"),
        ("30", "nothing"),
        ("3080", "indefinite"),
        ("30800000", "indefinite"),
        ("308100", "not minimal"),
        ("30820001", "not minimal"),
        ("308200800000", "not minimal"),
        ("30850000000001", "too long"),
        ("3085ffffffffff", "too long"),
        ("30ff", "too long"),
        ("3084ffffffff", "announced"),
        ("300100ff", "too many"),
        ("3002", "announced"),
        ("3100", "instead of"),
        ("3f00", "instead of"),
    ],
)
def test_what_is_no_sequence_in_der(encoded: str, why: str) -> None:
    """X.690 sections 10.1 and 8.1.3: definite lengths, minimal, and all of it there."""

    def read() -> None:
        outer = Reader(bytes.fromhex(encoded))
        outer.enter(der.SEQUENCE)
        outer.finish()

    with pytest.raises(DerError, match=why):
        read()


@pytest.mark.parametrize("encoded", ["0200", "02020001", "0202007f", "0202ffff", "0202ff80", "0101", "0500"])
def test_integers_have_one_encoding(encoded: str) -> None:
    with pytest.raises(DerError):
        Reader(bytes.fromhex(encoded)).integer()


@pytest.mark.parametrize("encoded", ["0600", "060180", "06022a80", "060380002a", "06042a800101", "060181"])
def test_object_identifiers_have_one_encoding(encoded: str) -> None:
    with pytest.raises(DerError):
        Reader(bytes.fromhex(encoded)).object_identifier()


@pytest.mark.parametrize("encoded", ["0100", "010101", "01020000", "0101fe"])
def test_booleans_have_two_encodings(encoded: str) -> None:
    with pytest.raises(DerError):
        Reader(bytes.fromhex(encoded)).boolean()


def test_a_value_never_reaches_beyond_the_one_around_it() -> None:
    inside = Reader(bytes.fromhex("3003 0405 0102030405")).enter(der.SEQUENCE)
    with pytest.raises(DerError, match="announced"):
        inside.contents(der.OCTET_STRING)
    edge = Reader(bytes.fromhex("3001 04 0101")).enter(der.SEQUENCE)
    with pytest.raises(DerError, match="nothing"):
        edge.skip()


@given(st.binary(max_size=60))
def test_what_is_read_is_what_asn1crypto_and_a_writer_make_of_it(encoded: bytes) -> None:
    """Whatever this reader accepts has one encoding: wrapping the contents again gives the same octets."""
    reader = Reader(encoded)
    try:
        whole = reader.whole(der.SEQUENCE)
        reader.finish()
    except DerError:
        return
    assert whole == encoded == der.wrap(der.SEQUENCE, Reader(encoded).contents(der.SEQUENCE))
    assert core.Sequence.load(encoded, strict=True).contents == Reader(encoded).contents(der.SEQUENCE)


def nested(statement: bytes, digest: bytes) -> bytes:
    """A hole in a SEQUENCE, and another in an OCTET STRING under an explicit tag."""
    info = cms.EncapsulatedContentInfo({"content_type": "1.2.3", "content": core.ParsableOctetString(statement)})
    return der.wrap(der.SEQUENCE, core.OctetString(digest).dump(), info.dump())


@given(st.integers(0, 2**1100), st.binary(max_size=300))
def test_splicing_gives_what_asn1crypto_builds(number: int, digest: bytes) -> None:
    """Lengths around a hole grow and shrink, over the borders where they need another octet."""
    template = Template(nested(der.integer(77777), b"digest"), der.integer(77777), der.wrap(4, b"digest"))
    assert template.fill(der.integer(number), der.wrap(4, digest)) == nested(der.integer(number), digest)


def test_a_hole_takes_nothing_or_several_values() -> None:
    template = Template(bytes.fromhex("3006 020101 040101".replace(" ", "")), b"\x04\x01\x01")
    assert template.fill(b"").hex() == "3003020101"
    assert template.fill(b"\x05\x00\x05\x00").hex() == "300702010105000500"


@pytest.mark.parametrize("hole", [b"\x01\x01\x04", b"\x02\x01", b"\x04\x01\x01\x04", b"missing", b"\x01"])
def test_a_hole_is_one_value_of_the_example(hole: bytes) -> None:
    with pytest.raises(DerError):
        Template(bytes.fromhex("3006020101040101"), hole)


def test_openssl_reads_what_is_written() -> None:
    encoded = der.wrap(
        der.SEQUENCE, der.integer(-129), der.bit_string(b"ab"), der.generalized_time(datetime(2026, 1, 2, tzinfo=UTC))
    )
    command = ["openssl", "asn1parse", "-inform", "DER"]
    said = subprocess.run(command, input=encoded, check=True, capture_output=True).stdout.decode()
    assert [word in said for word in (":-81", "BIT STRING", "GENERALIZEDTIME   :20260102000000Z")] == [True] * 3


@pytest.mark.parametrize("values", [(), (b"", b"")])
def test_a_template_has_a_value_for_each_hole(values: tuple[bytes, ...]) -> None:
    template = Template(bytes.fromhex("3006020101040101"), b"\x02\x01\x01")
    with pytest.raises(DerError, match=f"{len(values)} values for 1 holes"):
        template.fill(*values)
