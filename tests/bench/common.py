"""What the benchmarks share: keys and certificates, a database, servers, load, and a table of results."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import psycopg
import yaml

from kepil.pki import migrations

CONNECTIONS = 64
_ALL = range(os.cpu_count() or 1)
GOST_CONFIG = "/etc/ssl/openssl-gost.cnf"
PROJECT = Path(__file__).parents[2]
ROLES = PROJECT / "roles"
HIERARCHIES = PROJECT / "inventories/common/group_vars/all/hierarchies.yml"
KEYS = {
    **{f"rsa{bits}": ("-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{bits}") for bits in (2048, 3072, 4096)},
    "p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "gost256": ("-algorithm", "gost2012_256", "-pkeyopt", "paramset:A"),
    "gost512": ("-algorithm", "gost2012_512", "-pkeyopt", "paramset:A"),
}
EXTENSIONS = {
    "ca": "basicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign",
    "ocsp": "keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning",
    "tsp": "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping",
}
GOST_DIGESTS = {"gost256": "md_gost12_256", "gost512": "md_gost12_512"}


def estate_key(member: str) -> str:
    """The kind of key, of KEYS, that a member of the estate's RSA hierarchy has: `issuing`, `ocsp` or `tsp`."""
    key = yaml.safe_load(HIERARCHIES.read_text("utf-8"))["pki_hierarchies_known"]["rsa"][member]["key"]
    return f"{key['type']}{key['bits']}"


def openssl(*arguments: str, folder: Path, gost: bool = False) -> str:
    """Run openssl in a folder; its output, both streams."""
    environment = os.environ | ({"OPENSSL_CONF": GOST_CONFIG} if gost else {})
    command = ["openssl", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout + done.stderr


def make_hierarchy(folder: Path, kind: str) -> None:
    """Make `{ca,ocsp,tsp}.{key,crt}` with keys of a kind."""
    gost = kind.startswith("gost")
    digest = f"-{GOST_DIGESTS.get(kind, 'sha256')}"
    for serial, (name, lines) in enumerate(EXTENSIONS.items(), start=1):
        (folder / f"{name}.cnf").write_text(f"{lines}\nsubjectKeyIdentifier=hash\n")
        openssl("genpkey", *KEYS[kind], "-out", f"{name}.key", folder=folder, gost=gost)
        request = ("req", "-new", "-key", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/C=KZ/CN={name}")
        openssl(*request, digest, folder=folder, gost=gost)
        issuer = ("-signkey", "ca.key") if name == "ca" else ("-CA", "ca.crt", "-CAkey", "ca.key")
        options = ("-days", "30", "-set_serial", str(serial), "-extfile", f"{name}.cnf", digest)
        files = ("-in", f"{name}.csr", "-out", f"{name}.crt")
        openssl("x509", "-req", *files, *options, *issuer, folder=folder, gost=gost)


def key_settings(folder: Path, name: str, kind: str) -> dict[str, str]:
    """A service's settings for its key."""
    config = {"openssl_config": GOST_CONFIG} if kind.startswith("gost") else {}
    digest = {"gost256": "streebog256", "gost512": "streebog512"}.get(kind, "sha256")
    return {"certificate": f"{folder}/{name}.crt", "key": f"{folder}/{name}.key", "digest": digest, **config}


def _memory_settings() -> dict[str, str]:
    """What the unit of role database tells the C library of memory."""
    unit = (ROLES / "database/templates/unit.conf").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("Environment=MALLOC_"))
    return dict(setting.split("=", 1) for setting in line.removeprefix("Environment=").split())


@contextmanager
def database(which: str) -> Iterator[str]:
    """A PostgreSQL of the benchmark's own with the tables of a replica or an authority; its connection string."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries / program), "-D", f"{folder}/data", *arguments]
        environment = os.environ | _memory_settings()
        subprocess.run(command, user="postgres", cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

    run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    memory = "-c shared_buffers=1GB -c max_wal_size=4GB -c wal_level=logical"
    run("pg_ctl", "-l", f"{folder}/log", "-o", f"-c listen_addresses= -k {folder} {memory}", "-w", "start")
    try:
        conninfo = f"host={folder} user=postgres dbname=postgres"
        migrations.migrate(conninfo, migrations.shipped(which))
        yield conninfo
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


def execute(conninfo: str, *statements: str) -> None:
    """Run statements, each by itself."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def serving(port: int, *command: str, folder: Path, **environment: str) -> Iterator[str]:
    """A server that listens on a port of this machine; its URL."""
    with (folder / f"log-{port}").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | environment, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen on {port}: {(folder / f'log-{port}').read_text()}")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


@contextmanager
def serving_kepil(service: str, settings: Path) -> Iterator[str]:
    """A service with a process a processor, all on one socket; its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener, processes(service, settings, listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def processes(service: str, settings: Path, listener: socket.socket) -> Iterator[None]:
    """A service's processes, one a processor, on a socket that listens."""
    started = [
        subprocess.Popen(
            ["python3", "-m", "tests.bench.serve", service, str(listener.fileno())],
            env=os.environ | {"KEPIL_SETTINGS": str(settings)},
            pass_fds=[listener.fileno()],
        )
        for _ in _ALL
    ]
    try:
        time.sleep(5)  # connections wait in the socket's queue; all processes shall be there to take them
        yield
    finally:
        for process in started:
            end(process)


def uvicorn(service: str, port: int) -> list[str]:
    """The command of a service as the estate's units run it, on a port instead of a socket."""
    application = f"kepil.pki.web.{service}:create_app"
    quiet = ("--no-access-log", "--no-server-header", "--no-proxy-headers")
    return ["python3", "-m", "uvicorn", "--factory", application, "--port", str(port), *quiet]


def listens(port: int) -> bool:
    """Whether a port of this machine takes connections; without making one, for that alone can wedge `openssl ocsp`."""
    sockets = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()]
    return any(columns[1].endswith(f":{port:04X}") and columns[3] == "0A" for columns in sockets)


def processor_seconds() -> float:
    """Seconds of processor that all other processes of this container have used: servers and their database."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and int(folder.name) != os.getpid():
            with suppress(OSError):
                used = (folder / "stat").read_text().rpartition(")")[2].split()[11:15]  # its own, and of its ended ones
                ticks += sum(int(each) for each in used)
    return ticks / os.sysconf("SC_CLK_TCK")


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop a server; each of them ends its own workers."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


@dataclass(frozen=True)
class Load:
    """Answers a second, requests that failed, the 99th percentile of latency in milliseconds, and what an answer costs
    the server in microseconds of processor, whatever else the machine does."""

    rate: float
    failed: int
    p99_ms: float
    cost_us: float


def wrk(url: str, requests: Path, seconds: int, *, post: str = "", nonce: bool = False, rate: float = 0) -> Load:
    """Ask from CONNECTIONS connections at once: as fast as answers come, or about `rate` a second."""
    chosen = {"TYPE": post, "NONCE": "1" if nonce else "", "RATE": str(rate) if rate else ""}
    environment = {name: value for name, value in chosen.items() if value}
    script = Path(__file__).with_name("load.lua")
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "5s", "-s", str(script), url]
    before = processor_seconds()
    done = subprocess.run(
        command,
        env=os.environ | environment | {"REQUESTS": str(requests), "CONNECTIONS": str(CONNECTIONS)},
        capture_output=True,
        text=True,
        check=True,
    )
    used = processor_seconds() - before
    figures = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT")]
    rate, answers, failed, p99 = (float(figure) for figure in figures[0])
    return Load(rate, int(failed), p99, used / answers * 1e6 if answers else 0)


def signature_us(kind: str, seconds: int = 2) -> float:
    """Microseconds of processor that a signature takes with a key that is not GOST's, by `openssl speed`, while all
    processors sign: two that share a core are each slower than one alone."""
    command = ["openssl", "speed", "-seconds", str(seconds), {"p256": "ecdsap256"}.get(kind, kind)]
    speeds = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for _ in _ALL]
    signatures_a_second = [float(speed.communicate()[0].splitlines()[-1].split()[-2]) for speed in speeds]
    return 1e6 / mean(signatures_a_second)


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n")
    for row in (heads, ["---"] * len(heads), *rows):
        print(f"| {' | '.join(row)} |")


def load_average() -> str:
    """Processes that wanted a processor in the last minute, over the processors: above 1, others disturb."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
