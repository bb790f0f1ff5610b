"""The database's schema as numbered SQL files, each applied once and remembered with its checksum.

Three sets: an OCSP node's *replica* holds the status table only; the *authority* has what a replica has and more, so
that the status table is defined once; *registration* is a database of its own.

A migration runs while the service does. So it copies or changes the rows of a table only in a file that begins with
"-- Outside a transaction", in a `do` block that commits after each few thousand rows and begins where it broke off;
never all of them in one statement, which keeps its locks until it ends. An index on a table with rows is built
`concurrently`, likewise outside. A test refuses what breaks the rule; 0007 and 0010 of *authority* are older than it.
"""

import hashlib
import re
import time
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any

import psycopg

from kepil.errors import KepilError

SETS = {"replica": ("replica",), "authority": ("replica", "authority"), "registration": ("registration",)}

_STATEMENT = re.compile(r"(?:\$\$.*?\$\$|[^;])+", re.DOTALL)
"""To the next semicolon that is not in a block's body."""

_LOCK = 0x6B6570696C  # "kepil": two migrations of one database wait for each other
_LOCK_PATIENCE_SECONDS = 3
_TURN_SECONDS = 0.2


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

    @property
    def concurrently(self) -> bool:
        """Whether it says that no transaction may be around it; it must then bear to be begun a second time."""
        return self.sql.startswith("-- Outside a transaction")

    @property
    def statements(self) -> list[str]:
        """What is sent at once: all of it, or one by one, since what is sent together is a transaction."""
        if not self.concurrently:
            return [self.sql]
        lines = [line for line in self.sql.splitlines() if not line.startswith("--")]
        return [found for found in _STATEMENT.findall("\n".join(lines)) if found.strip()]


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
    with psycopg.connect(conninfo) as connection:
        connection.read_only = True
        return _pending(connection, migrations)


def migrate(conninfo: str, migrations: list[Migration]) -> list[Migration]:
    """Apply what is missing, all in one transaction but for what cannot be in one, and return it.

    A live service goes on: what would wait for a lock, and hold up everything behind it, gives up after a while.
    Raises MigrationError if an applied migration is not, or not any more, as shipped, or if one fails (it leaves
    nothing then, nor do those of its transaction); psycopg.Error if the database cannot be reached.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        _wait_for_turn(connection)
        connection.execute(f"set lock_timeout = '{_LOCK_PATIENCE_SECONDS}s'")
        missing = _pending(connection, migrations)
        for concurrently, group in groupby(missing, lambda migration: migration.concurrently):
            with nullcontext() if concurrently else connection.transaction():
                _apply(connection, list(group))
    return missing


def _wait_for_turn(connection: psycopg.Connection[Any]) -> None:
    """Let nobody else migrate until the connection closes.

    It asks again and again: who waits inside a statement keeps `create index concurrently` waiting in turn.
    """
    while not connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchall()[0][0]:
        time.sleep(_TURN_SECONDS)


def _apply(connection: psycopg.Connection[Any], migrations: list[Migration]) -> None:
    if not _known(connection):
        connection.execute(
            "create table schema_migration (version integer primary key, name text not null, "
            "checksum text not null, applied_at timestamptz not null default clock_timestamp())"
        )
    for migration in migrations:
        try:
            for statement in migration.statements:
                connection.execute(statement.encode())
        except psycopg.errors.LockNotAvailable as error:
            raise MigrationError(
                f"migration {migration.name} was not applied, for others hold what it must lock: run it again when "
                "less goes on"
            ) from error
        except psycopg.Error as error:
            raise MigrationError(f"migration {migration.name} failed and was not applied: {error}") from error
        connection.execute(
            "insert into schema_migration (version, name, checksum) values (%s, %s, %s)",
            [migration.version, migration.name, migration.checksum],
        )


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
