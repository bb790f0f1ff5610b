"""A PostgreSQL cluster of the tests' own, run by an unprivileged user on a unix socket, and an issuing CA over it."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml

from kepil.pki import migrations
from kepil.pki.settings import CaSettings

COMMON_DATA = Path(__file__).parents[4] / "inventories/common/group_vars/all"
PERSON = "/C=KZ/CN=ӘУЕЗОВ МҰХТАР/serialNumber=IIN970908300017"
P256 = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")

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


@pytest.fixture(scope="session")
def issuer_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the key and the certificate of an authority, `nca-rsa.key` and `nca-rsa.crt`."""
    folder = tmp_path_factory.mktemp("issuer")
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "nca-rsa.key", "-out", "nca-rsa.crt"),
        *("-days", "3650", "-utf8", "-subj", "/C=KZ/O=Ұлттық орталық/CN=ҚР ҰКО"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        folder=folder,
    )
    return folder


@pytest.fixture
def ca_settings(database: str, issuer_files: Path) -> CaSettings:
    """Settings of an issuing CA `nca-rsa` over `database`, with the estate's own profiles and CRL intervals."""
    authority = {
        "name": "nca-rsa",
        "certificate": f"{issuer_files}/nca-rsa.crt",
        "key": f"{issuer_files}/nca-rsa.key",
        "urls": {
            "issuer": "http://pki.example.test/nca-rsa.crt",
            "crl": "http://pki.example.test/nca-rsa.crl",
            "delta_crl": "http://pki.example.test/nca-rsa-delta.crl",
            "ocsp": "http://ocsp.example.test/",
        },
    }
    publish = {"urls": ["https://repo01.example.test:8443/"], "certificate": "/tls.crt", "key": "/tls.key", "ca": "/ca"}
    return CaSettings.model_validate(
        {
            "database": database,
            "authorities": [authority],
            "profiles": yaml.safe_load((COMMON_DATA / "profiles.yml").read_text("utf-8"))["pki_profiles"],
            "crl": yaml.safe_load((COMMON_DATA / "hierarchies.yml").read_text("utf-8"))["pki_crl"],
            "publish": publish,
            "officers": ["ra01.example.test"],
        }
    )


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.crt, and key and certificate of `host` (localhost), `client`, and a `stranger` of another CA."""
    folder = tmp_path_factory.mktemp("tls")

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for ca in ("ca", "other"):
        openssl(
            *("req", "-x509", *new_key, "-keyout", f"{ca}.key", "-out", f"{ca}.crt", "-subj", f"/CN={ca}"),
            *("-addext", "keyUsage=critical,keyCertSign"),  # Python 3.13 verifies as strictly as RFC 5280 writes
            folder=folder,
        )
    for name, ca in (("host", "ca"), ("client", "ca"), ("stranger", "other")):
        signed_by = ("-CA", f"{ca}.crt", "-CAkey", f"{ca}.key")
        openssl(
            *("req", "-x509", *new_key, *signed_by, "-keyout", f"{name}.key", "-out", f"{name}.crt"),
            *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"),
            *("-addext", "keyUsage=critical,digitalSignature", "-addext", "basicConstraints=critical,CA:FALSE"),
            folder=folder,
        )
    return folder


@pytest.fixture
def new_request(tmp_path: Path) -> Callable[..., bytes]:
    """Make a DER request with a new key: a natural person's with a valid IIN (CP-3.2), unless told otherwise."""
    numbers = itertools.count()

    def make(subject: str = PERSON, key: tuple[str, ...] = P256) -> bytes:
        name = f"subscriber-{next(numbers)}"
        openssl(
            *("req", "-new", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr"),
            *("-outform", "DER", "-utf8", "-subj", subject),
            folder=tmp_path,
        )
        return (tmp_path / f"{name}.csr").read_bytes()

    return make


def openssl(*words: str, folder: Path) -> None:
    """Run the tool in a folder."""
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)
