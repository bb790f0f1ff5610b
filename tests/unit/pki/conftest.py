"""A PostgreSQL cluster of the tests' own: temporary, on a unix socket, run by an unprivileged user."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from kepil.pki import migrations

OWNER = "kepil_ca"
_count = itertools.count()


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.fail("no PostgreSQL server: apt-get install postgresql")
    return found[-1].parent


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """Its administrator's connection string, without a database's name."""
    binaries = _binaries()
    user = "postgres" if os.getuid() == 0 else None  # initdb refuses root
    folder = Path(tempfile.mkdtemp(prefix="kepil-postgresql-"))
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [binaries / program, *arguments], user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60
        )

    run("initdb", "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c wal_level=logical"
    run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-o", options, "-w", "start")
    try:
        yield f"host={folder} user=postgres"
    finally:
        run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def create_database(cluster: str) -> Callable[[], str]:
    """Make an empty database as the role `database` does, owned by who migrates it; returns its connection string."""
    administrator = f"{cluster} dbname=postgres"
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"create role {OWNER} login")

    def create() -> str:
        name = f"kepil_{next(_count)}"
        with psycopg.connect(administrator, autocommit=True) as connection:
            connection.execute(f"create database {name} owner {OWNER}")
        return f"{cluster} dbname={name}".replace("user=postgres", f"user={OWNER}")

    return create


@pytest.fixture
def database(create_database: Callable[[], str]) -> str:
    """The connection string of a new database with the authority's schema."""
    conninfo = create_database()
    migrations.migrate(conninfo, migrations.shipped("authority"))
    return conninfo


@pytest.fixture
def ca_settings(database: str, tmp_path: Path, key_file: Callable[..., Path], issuing: x509.Certificate) -> CaSettings:
    """Settings of an issuing CA `nca-rsa` over `database`, with the estate's own profiles and CRL intervals."""
    certificate = tmp_path / "nca-rsa.crt"
    certificate.write_bytes(issuing.dump())
    identity = {name: str(tmp_path / f"client.{name}") for name in ("certificate", "key", "ca")}
    return CaSettings.model_validate(
        {
            "database": database,
            "authorities": [
                {
                    "name": "nca-rsa",
                    "certificate": str(certificate),
                    "key": str(key_file("rsa2048", "issuing")),
                    "urls": {name: getattr(URLS, name) for name in ("issuer", "crl", "delta_crl", "ocsp")},
                }
            ],
            "profiles": yaml.safe_load((COMMON_DATA / "profiles.yml").read_text("utf-8"))["pki_profiles"],
            "crl": yaml.safe_load((COMMON_DATA / "hierarchies.yml").read_text("utf-8"))["pki_crl"],
            "publish": {"urls": ["https://repo01.example.test:8443/"], **identity},
            "officers": ["ra01.example.test"],
        }
    )


@pytest.fixture
def new_request(make_request: Callable[..., bytes], person: DistinguishedName, tmp_path: Path) -> Callable[[], bytes]:
    """Make a natural person's request, with a new key each time."""
    numbers = count()

    def make() -> bytes:
        path = tmp_path / f"subscriber-{next(numbers)}.pem"
        subprocess.run(["openssl", "genpkey", *KEY_OPTIONS["p256"], "-out", path], check=True, capture_output=True)
        return make_request(Signer.open(str(path)), person)

    return make
