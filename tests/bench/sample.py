"""Fill a database with certificates, as many and as large as an authority has after years."""

from __future__ import annotations

import argparse
import os

import psycopg

PIECE = 250_000
"""Certificates a transaction."""

_DIGESTS = {"key_seen_once": "spki_sha256", "idempotency_key_once": "idempotency_sha256"}
"""Constraints whose indexes are of digests: sorted at the end, for each row would go to another page."""

# As the CA makes them: serial numbers rise with time, a random part after it; digests are random.
_PIECE = """
with number as (select n from generate_series(%(first)s::int, %(last)s::int) n),
sample as (select decode(lpad(to_hex(1500000000 + n), 8, '0') || substr(md5('s' || n), 1, 22), 'hex') as serial,
    decode(md5('k' || n) || md5('l' || n), 'hex') as key, decode(md5('i' || n) || md5('j' || n), 'hex') as idempotency,
    now() - interval '300 days' + n * interval '1 ms' as issued from number),
status as (insert into status (issuer, serial, not_after)
    select 'nca-rsa', serial, issued + interval '1 year' from sample),
journal as (insert into journal (at, actor, act, object) select issued, 'ra01', 'certificate.issue', jsonb_build_object(
    'authority', 'nca-rsa', 'serial', encode(serial, 'hex'), 'profile', 'natural-person') from sample)
insert into certificate select serial, 'nca-rsa', 'country=KZ, common_name=МЫСАЛ, serial_number=IIN970908300017',
    'natural-person', issued, issued + interval '1 year', key, %(der)s, issued, 'ra01', idempotency, key from sample
"""


def fill(conninfo: str, certificates: int, *, octets: int = 1150) -> None:
    """Add as many certificates as are missing to `certificates`, each of so many octets.

    Wants a superuser: foreign keys are not looked up, for the rows that they point at are of the same statement.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute("select count(*) from certificate").fetchone()
        there = row[0] if row else 0
        if there >= certificates:
            return
        for statement in (
            "set session_replication_role = replica",
            "set synchronous_commit = off",
            "set maintenance_work_mem = '1GB'",
            *(f"alter table certificate drop constraint {name}" for name in _DIGESTS),
        ):
            connection.execute(statement.encode())
        for first in range(there + 1, certificates + 1, PIECE):
            last = min(first + PIECE - 1, certificates)
            connection.execute(_PIECE, {"first": first, "last": last, "der": os.urandom(octets)})
        for name, column in _DIGESTS.items():
            connection.execute(f"alter table certificate add constraint {name} unique ({column})".encode())
        # analyze: or the planner takes the tables for empty.
        for statement in (
            "vacuum analyze certificate",
            "vacuum analyze status",
            "vacuum analyze journal",
            "checkpoint",
        ):
            connection.execute(statement.encode())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", required=True, metavar="CONNINFO", help="of a superuser; its schema is there")
    parser.add_argument("--certificates", required=True, type=int, metavar="N", help="how many it shall have")
    arguments = parser.parse_args()
    fill(arguments.database, arguments.certificates)


if __name__ == "__main__":
    main()
