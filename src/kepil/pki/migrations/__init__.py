"""The database's schema as numbered SQL files, each applied once and remembered with its checksum.

Two sets: an OCSP node's *replica* holds the status table only; the *authority* has what a replica has and more, so the
status table is defined once.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg

from kepil.errors import KepilError

SETS = {"replica": ("replica",), "authority": ("replica", "authority")}

_LOCK = 0x6B6570696C  # "kepil": two migrations of one database wait for each other


class MigrationError(KepilError):
    """The database and the shipped migrations contradict each other."""


@dataclass(frozen=True)
class Migration:
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped(which: str) -> list[Migration]:
    """The migrations of a set, in order."""
    paths = [
        path for folder in SETS[which] for path in (files(__name__) / folder).iterdir() if path.name.endswith(".sql")
    ]
    return [
        Migration(int(path.name.split("_")[0]), path.name.removesuffix(".sql"), path.read_text("utf-8"))
        for path in sorted(paths, key=lambda path: path.name)
    ]


def pending(conninfo: str, migrations: list[Migration]) -> list[Migration]:
    """What `migrate` would apply; the database is left as it is.

    Raises MigrationError as `migrate` does, psycopg.Error if the database cannot be reached.
    """
    with _opened(conninfo, read_only=True) as connection:
        return _pending(connection, migrations)


def migrate(conninfo: str, migrations: list[Migration]) -> list[Migration]:
    """Apply what is missing, all in one transaction, and return it.

    Raises MigrationError if an applied migration is not, or not any more, as shipped, or if one fails (nothing is
    applied then); psycopg.Error if the database cannot be reached.
    """
    with _opened(conninfo) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        missing = _pending(connection, migrations)
        if missing and not _known(connection):
            connection.execute(
                "create table schema_migration (version integer primary key, name text not null, "
                "checksum text not null, applied_at timestamptz not null default clock_timestamp())"
            )
        for migration in missing:
            try:
                connection.execute(migration.sql.encode())
            except psycopg.Error as error:
                raise MigrationError(f"migration {migration.name} failed, nothing was applied: {error}") from error
            connection.execute(
                "insert into schema_migration (version, name, checksum) values (%s, %s, %s)",
                [migration.version, migration.name, migration.checksum],
            )
    return missing


@contextmanager
def _opened(conninfo: str, *, read_only: bool = False) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(conninfo) as connection:
        connection.read_only = read_only
        yield connection


def _known(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("select to_regclass('schema_migration') is not null").fetchone()
    return bool(row and row[0])


def _pending(connection: psycopg.Connection[Any], migrations: list[Migration]) -> list[Migration]:
    applied: dict[int, tuple[str, str]] = {}
    if _known(connection):
        rows = connection.execute("select version, name, checksum from schema_migration").fetchall()
        applied = {version: (name, checksum) for version, name, checksum in rows}
    by_version = {migration.version: migration for migration in migrations}
    for version, (name, checksum) in applied.items():
        if version not in by_version:
            raise MigrationError(
                f"the database has migration {name}, which this package lacks: deploy the package that made it, "
                "or name the database's own set"
            )
        if by_version[version].checksum != checksum:
            raise MigrationError(
                f"migration {name} was changed after it was applied: restore the file and put the change into a new one"
            )
    missing = [migration for migration in migrations if migration.version not in applied]
    if missing and applied and missing[0].version < max(applied):
        raise MigrationError(f"migration {missing[0].name} comes before ones already applied: give it a later number")
    return missing
