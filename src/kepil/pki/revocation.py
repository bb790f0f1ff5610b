"""What CRLs list, read as the database keeps it: entries encoded when they were revoked (`migrations/authority`)."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection

PAGE: Final = 20_000
"""Entries that are in memory at once, here and in the server: about a megabyte. Those of one instant stay together."""

# The server joins a page's entries, so that a page is one row here. Revocations dated before `before` never change, and
# all of them are visible (Store.cut): pages fit together without a snapshot around them.
_PAGE: Final = """
select string_agg(entry, ''), max(revoked_at) from (
  select entry, revoked_at from revocation
    where issuer = %(issuer)s and revoked_at > %(after)s and revoked_at < %(before)s
      and (%(expired_since)s::timestamptz is null or greatest(not_after, revoked_at) >= %(expired_since)s)
    order by revoked_at fetch first %(page)s rows with ties
) page"""
_INSTANT: Final = timedelta(microseconds=1)


def encoded_revocations(
    connection: Connection[Any],
    issuer: str,
    *,
    since: datetime | None = None,
    before: datetime,
    expired_since: datetime | None = None,
) -> Iterator[bytes]:
    """Give the issuer's revocations from `since` to before `before`, in their order, encoded, many in a piece.

    `expired_since` is the last complete CRL's instant: a certificate is listed until it has been in one complete CRL
    made after it expired (RFC 5280 section 3.3). The next piece is being read while one is used: until the last, the
    connection is not free for anything else. Raises psycopg.Error.
    """
    yield from _ahead(_pages(connection, issuer, since, before, expired_since))


def _pages(
    connection: Connection[Any], issuer: str, since: datetime | None, before: datetime, expired_since: datetime | None
) -> Iterator[bytes]:
    values = {"issuer": issuer, "before": before, "expired_since": expired_since, "page": PAGE}
    after: datetime | str | None = since - _INSTANT if since else "-infinity"
    with connection.cursor(binary=True) as cursor:
        while True:
            # Not prepared: a plan for any page might not use the index's order.
            entries, after = cursor.execute(_PAGE, {**values, "after": after}, prepare=False).fetchone() or (None, None)
            if entries is None:
                return
            yield entries


def _ahead(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the pieces, each while a thread fetches the next."""
    source = iter(pieces)
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        coming = thread.submit(next, source, None)
        while (piece := coming.result()) is not None:
            coming = thread.submit(next, source, None)
            yield piece
