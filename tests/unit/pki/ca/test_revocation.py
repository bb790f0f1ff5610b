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
