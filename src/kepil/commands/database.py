"""`kepil database`: the schema of a service's database."""

import argparse

import psycopg

from kepil.pki import migrations


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the noun and its verbs to the command line."""
    verbs = subparsers.add_parser("database", help="the schema of a service's database").add_subparsers(
        metavar="VERB", required=True
    )
    migrate = verbs.add_parser(
        "migrate",
        help="bring the schema up to date",
        description="Apply the migrations that the database lacks, in one transaction. The last line printed is "
        "`changed` or `unchanged`; before it, one line for each migration.",
    )
    migrate.add_argument("--database", required=True, metavar="CONNINFO", help="libpq connection string")
    migrate.add_argument("--set", required=True, choices=sorted(migrations.SETS), help="whose schema it is")
    migrate.add_argument("--check", action="store_true", help="only say what would be applied")
    migrate.set_defaults(run=_migrate)


def _migrate(arguments: argparse.Namespace) -> int:
    shipped = migrations.shipped(arguments.set)
    act = migrations.pending if arguments.check else migrations.migrate
    try:
        done = act(arguments.database, shipped)
    except psycopg.Error as error:
        raise migrations.MigrationError(
            f"cannot migrate: {str(error).strip()}; check the server, its pg_ident map and --database"
        ) from error
    for migration in done:
        print("pending" if arguments.check else "applied", migration.name)
    print("changed" if done else "unchanged")
    return 0
