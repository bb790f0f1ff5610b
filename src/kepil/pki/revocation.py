"""What CRLs list, read as the database keeps it: entries encoded when they were revoked (`migrations/authority`)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from psycopg import Connection

PAGE: Final = 20_000
"""Entries that are in memory at once, here and in the server: about a megabyte."""

# The server joins a page's entries, so that a page is one row here. Revocations dated before `before` never change, and
# all of them are visible (Store.cut): pages fit together without a transaction around them.
_PAGE: Final = """
with page as materialized (
  select revoked_at, serial, entry from revocation
    where issuer = %(issuer)s and revoked_at < %(before)s and (revoked_at, serial) > (%(after)s, %(serial)s)
      and (%(expired_since)s::timestamptz is null or greatest(not_after, revoked_at) >= %(expired_since)s)
    order by revoked_at, serial limit %(limit)s
), last as (select revoked_at, serial from page order by revoked_at desc, serial desc limit 1)
select (select string_agg(entry, '') from page), revoked_at, serial from last"""

_FIRST: Final = datetime.min


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
    made after it expired (RFC 5280 section 3.3). Raises psycopg.Error.
    """
    after, serial = since, b""
    while True:
        values = {"issuer": issuer, "before": before, "expired_since": expired_since, "limit": PAGE}
        with connection.cursor(binary=True) as cursor:
            row = cursor.execute(_PAGE, {**values, "after": after or "-infinity", "serial": serial}).fetchone()
        if row is None:
            return
        entries, after, serial = row
        yield entries
