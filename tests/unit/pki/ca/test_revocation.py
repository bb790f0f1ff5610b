"""The database's encoded entries are those that Python encodes, in pages that leave out and repeat nothing."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from kepil.pki import revocation
from kepil.pki.crl import encode_entry
from kepil.pki.der import SEQUENCE, Reader
from kepil.pki.revocation import encoded_revocations
from kepil.pki.store import encode_serial

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SERIALS = [1, 0x7F, 0x80, 0xFF00, 2**127 - 1, 2**127, 2**159, 2**160 - 1]


def revoke(connection: psycopg.Connection[tuple[object, ...]], serial: int, at: datetime, reason: int) -> None:
    connection.execute(
        "insert into status values ('nca-rsa', %s, %s)", [encode_serial(serial), datetime(2027, 1, 1, tzinfo=UTC)]
    )
    connection.execute(
        "update status set revoked_at = %s, reason = %s where serial = %s", [at, reason, encode_serial(serial)]
    )


def split(joined: bytes) -> list[bytes]:
    """The entries, sorted."""
    reader, found = Reader(joined), []
    while reader.more():
        found.append(reader.whole(SEQUENCE))
    return sorted(found)


@pytest.mark.clause("CP-2.2")
@pytest.mark.parametrize("year", [2026, 2049, 2050])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Almaty"])
def test_entries_are_what_python_encodes(database: str, year: int, zone: str) -> None:
    """In the server's time zone, too, and over the border between UTCTime and GeneralizedTime."""
    at = datetime(year, 12, 31, 23, 59, 59, 999_999, UTC)
    reasons = [0, 1, 2, 3, 4, 5, 9, 10]
    with psycopg.connect(database) as connection:
        connection.execute("select set_config('timezone', %s, false)", [zone])
        for serial, reason in zip(SERIALS, reasons, strict=True):
            revoke(connection, serial, at, reason)
        listed = b"".join(encoded_revocations([connection], "nca-rsa", before=at + timedelta(seconds=1)))
    expected = [encode_entry(serial, at, reason) for serial, reason in zip(SERIALS, reasons, strict=True)]
    assert split(listed) == sorted(expected)  # of one instant, in any order


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_pages_fit_together(database: str, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """Many revocations of one instant span pages; from `since`, before `before`."""
    monkeypatch.setattr(revocation, "PAGE", page)
    moments = [T0, T0, T0, T0 + timedelta(microseconds=1), T0 + timedelta(hours=1), T0 + timedelta(hours=2)]
    with psycopg.connect(database) as connection:
        for serial, moment in enumerate(moments, start=1):
            revoke(connection, serial, moment, 1)

        def listed(since: datetime | None, before: datetime) -> list[bytes]:
            return split(b"".join(encoded_revocations([connection], "nca-rsa", since=since, before=before)))

        entries = [encode_entry(serial, moment, 1) for serial, moment in enumerate(moments, start=1)]
        assert listed(None, moments[-1]) == sorted(entries[:-1])
        assert listed(T0, moments[-1] + timedelta(1)) == sorted(entries)
        assert listed(moments[3], moments[-1]) == sorted(entries[3:-1])
        assert listed(moments[-1], moments[-1]) == []
        assert b"".join(encoded_revocations([connection], "nca-gost", before=moments[-1])) == b""


@pytest.mark.parametrize("page", [1, 5, 1000])
def test_connections_share_the_reading(database: str, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    """In the order of revocation, whoever reads faster, and wherever the borders between their parts fall."""
    for name, value in (("PAGE", page), ("RANGE", 10), ("SAMPLE_PERCENT", 100)):
        monkeypatch.setattr(revocation, name, value)
    moments = [T0 + timedelta(seconds=number // 3) for number in range(200)]  # three of an instant
    with psycopg.connect(database) as one, psycopg.connect(database) as other:
        for serial, moment in enumerate(moments, start=1):
            revoke(one, serial, moment, 1)
        one.commit()
        readers, read = set[int](), revocation._Reader._read

        def note(reader: revocation._Reader, asked: revocation._Range) -> revocation._Page:
            readers.add(id(reader))
            return read(reader, asked)

        monkeypatch.setattr(revocation._Reader, "_read", note)
        listed = b"".join(encoded_revocations([one, other], "nca-rsa", since=T0, before=T0 + timedelta(days=1)))
    reader, found = Reader(listed), list[bytes]()
    while reader.more():
        found.append(reader.whole(SEQUENCE))
    assert sorted(found) == sorted(encode_entry(serial, moment, 1) for serial, moment in enumerate(moments, start=1))
    times = [Reader(entry).enter(SEQUENCE).rest()[-28:-14] for entry in found]
    assert times == sorted(times)
    assert len(readers) == 2


@pytest.mark.parametrize(("days", "listed"), [(-1, True), (0, True), (1, False)])
def test_an_expired_certificate_is_listed_once_more(database: str, days: int, listed: bool) -> None:
    """RFC 5280 section 3.3: until it has been in one complete CRL made after it expired."""
    expired = datetime(2027, 1, 1, tzinfo=UTC)
    with psycopg.connect(database) as connection:
        revoke(connection, 7, T0, 1)
        last = expired + timedelta(days=days)
        found = list(encoded_revocations([connection], "nca-rsa", before=expired + timedelta(9), expired_since=last))
    assert bool(found) is listed


def test_what_was_listed_stays(database: str) -> None:
    with psycopg.connect(database) as connection:
        revoke(connection, 7, T0, 1)
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("delete from revocation")
