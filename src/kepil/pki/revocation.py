"""What CRLs list, read as the database keeps it: entries encoded when they were revoked (`migrations/authority`)."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

from psycopg import Connection

PAGE: Final = 20_000
"""Entries that a connection reads at once, here and in the server: a megabyte. Those of one instant stay together."""
RANGE: Final = 10_000
"""About so many entries are between two of the instants by which the connections share the work."""
_AHEAD: Final = 2
"""Pages that each connection reads before they are wanted."""
SAMPLE_PERCENT: Final = 1
"""How much of the table is looked at to find those instants."""

# The server joins a page's entries, so that a page is one row here. Revocations dated before `before` never change, and
# all of them are visible (Store.cut): pages fit together without a snapshot around them, by whatever connection.
_PAGE: Final = """
select string_agg(entry, ''), max(revoked_at), count(*) from (
  select entry, revoked_at from revocation
    where issuer = %(issuer)s and revoked_at > %(after)s and revoked_at <= %(until)s
      and (%(expired_since)s::timestamptz is null or greatest(not_after, revoked_at) >= %(expired_since)s)
    order by revoked_at fetch first %(page)s rows with ties
) page"""
# Of some of the table's own pages: that costs little, and where there are few pages it gives nothing.
_BORDERS: Final = """
select revoked_at from (
  select revoked_at, row_number() over (order by revoked_at) as place
    from revocation tablesample system (%(percent)s)
    where issuer = %(issuer)s and revoked_at > %(after)s and revoked_at <= %(until)s
) sample where place %% %(step)s = 0 order by revoked_at"""
_INSTANT: Final = timedelta(microseconds=1)

Instant = datetime | str
"""A moment, or PostgreSQL's word for the one before all others."""


class _Range(NamedTuple):
    """Revocations after one instant, until and with another."""

    after: Instant
    until: datetime


class _Page(NamedTuple):
    """Entries, and the range that is left after them."""

    entries: bytes
    rest: _Range | None


class _Reader:
    """A connection and the thread that reads from it."""

    def __init__(self, connection: Connection[Any], thread: ThreadPoolExecutor, values: dict[str, Any]) -> None:
        self._connection, self._thread, self._values = connection, thread, values

    def start(self, asked: _Range) -> Future[_Page]:
        """Read the first page of a range."""
        return self._thread.submit(self._read, asked)

    def _read(self, asked: _Range) -> _Page:
        values = {**self._values, "after": asked.after, "until": asked.until, "page": PAGE}
        with self._connection.cursor(binary=True) as cursor:
            # Not prepared: a plan for any page might not use the index's order.
            entries, last, number = cursor.execute(_PAGE, values, prepare=False).fetchall()[0]
        return _Page(entries or b"", _Range(last, asked.until) if number >= PAGE else None)


def encoded_revocations(
    connections: Sequence[Connection[Any]],
    issuer: str,
    *,
    since: datetime | None = None,
    before: datetime,
    expired_since: datetime | None = None,
) -> Iterator[bytes]:
    """Give the issuer's revocations from `since` to before `before`, in their order, encoded, many in a piece.

    `expired_since` is the last complete CRL's instant: a certificate is listed until it has been in one complete CRL
    made after it expired (RFC 5280 section 3.3). The next pieces are being read while one is used, by all connections
    at once: until the last, they are not free for anything else. Raises psycopg.Error.
    """
    values = {"issuer": issuer, "expired_since": expired_since}
    after: Instant = since - _INSTANT if since else "-infinity"
    ranges = _ranges(connections[0], issuer, _Range(after, before - _INSTANT))
    with ExitStack() as threads:
        readers = [
            _Reader(connection, threads.enter_context(ThreadPoolExecutor(1, "read-ahead")), values)
            for connection in connections
        ]
        started = deque[tuple[_Reader, Future[_Page]]]()
        for number, asked in enumerate(ranges):
            reader = readers[number % len(readers)]
            started.append((reader, reader.start(asked)))
            if len(started) > _AHEAD * len(readers):
                yield from _pages(*started.popleft())
        while started:
            yield from _pages(*started.popleft())


def _pages(reader: _Reader, started: Future[_Page]) -> Iterator[bytes]:
    """A range's pages, each while the next is being read."""
    coming: Future[_Page] | None = started
    while coming is not None:
        page = coming.result()
        coming = reader.start(page.rest) if page.rest else None
        if page.entries:
            yield page.entries


def _ranges(connection: Connection[Any], issuer: str, whole: _Range) -> list[_Range]:
    """Parts of the whole, about equally long; wherever the borders are, nothing is lost or twice."""
    step = max(1, RANGE * SAMPLE_PERCENT // 100)
    values = {"issuer": issuer, **whole._asdict(), "percent": SAMPLE_PERCENT, "step": step}
    with connection.cursor(binary=True) as cursor:
        borders = [instant for (instant,) in cursor.execute(_BORDERS, values, prepare=False)]
    inner = [border for border in dict.fromkeys(borders) if border < whole.until]
    return [_Range(after, until) for after, until in pairwise([whole.after, *inner, whole.until])]
