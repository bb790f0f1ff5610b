"""A small hierarchy for the tests of OCSP and TSP, made by OpenSSL, and an OCSP node's PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from kepil.pki import migrations

_KEY_USAGE = "keyUsage=critical,digitalSignature"
_EXTENSIONS = {
    "ca": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign",
    "ocsp": f"{_KEY_USAGE}\nextendedKeyUsage=OCSPSigning\nnoCheck=ignored",
    "tsp": f"{_KEY_USAGE}\nextendedKeyUsage=critical,timeStamping",
    "user": f"{_KEY_USAGE}\nextendedKeyUsage=emailProtection",
}


@pytest.fixture(scope="session")
def issued_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA and what it has issued: `{ca,ocsp,tsp,user}.{key,crt}`, RSA, serials 1 to 4."""
    folder = tmp_path_factory.mktemp("issued")
    for serial, (name, lines) in enumerate(_EXTENSIONS.items(), start=1):
        identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"
        (folder / f"{name}.cnf").write_text(f"{lines}\n{identifiers}", "utf-8")
        request = f"req -new -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -utf8 -subj /C=KZ/CN={name}"
        issuer = "-signkey ca.key" if name == "ca" else "-CA ca.crt -CAkey ca.key"
        issue = f"x509 -req -in {name}.csr -out {name}.crt -days 30 -set_serial {serial} -extfile {name}.cnf {issuer}"
        for command in (request, issue):
            subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def node_cluster() -> Iterator[str]:
    """A temporary PostgreSQL cluster on a unix socket; its connection string without a database's name."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not found:
        pytest.fail("no PostgreSQL server: apt-get install postgresql")
    user = "postgres" if os.getuid() == 0 else None  # initdb refuses root
    folder = Path(tempfile.mkdtemp(prefix="kepil-node-"))
    if user:
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        command = [str(found[-1] / program), "-D", f"{folder}/data", *arguments]
        subprocess.run(command, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60)

    run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    run("pg_ctl", "-l", f"{folder}/log", "-o", f"-c listen_addresses= -c fsync=off -k {folder}", "-w", "start")
    try:
        yield f"host={folder} user=postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def empty_replica(node_cluster: str) -> str:
    """The connection string of a new replica of the status table, as yet without rows."""
    name = f"replica_{uuid.uuid4().hex}"
    with psycopg.connect(f"{node_cluster} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    conninfo = f"{node_cluster} dbname={name}"
    migrations.migrate(conninfo, migrations.shipped("replica"))
    return conninfo
