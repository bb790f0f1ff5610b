"""Durable issue beside `openssl ca` and `cfssl serve`, with few and with many certificates there.

Keys are P-256; the authority's is of the kind that the estate's has. An answer of Kepil means: possession proved, key
checked, linted, signed, recorded with status and journal, committed. cfssl proves possession and signs, and keeps
nothing. `openssl ca` appends to its index. Processor time is of all processes that serve, the database's too: other
work disturbs it less.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import psycopg
import yaml
from asn1crypto import pem

from kepil.pki import algorithm, der
from kepil.pki.name import DistinguishedName
from kepil.pki.openssl import Context, lib
from kepil.pki.signer import _Key
from tests.bench import common, sample

PROFILES = Path(__file__).parents[2] / "inventories/common/group_vars/all/profiles.yml"
SUBJECT = DistinguishedName(country="KZ", common_name="ӘУЕЗОВ МҰХТАР", serial_number="IIN970908300017").encode()
ECDSA = algorithm.by_key("ec", "sha256").identifier
CA, CFSSL = 8001, 8002
MOST_A_SECOND = 3000
"""Requests that are made ready for each second of a run; there must be more than anyone answers."""
CONNECTIONS = 16
ONE_BY_ONE = 300
"""Certificates over which the database's work is counted, from a checkpoint on."""
SERVICE = "/v1/certificates?authority=nca-rsa&profile=natural-person"


def make_request(context: Context) -> bytes:
    """A request with a new P-256 key, made in this process: a benchmark needs a hundred thousand of them."""
    generate = lib.EVP_PKEY_Q_keygen
    generate.restype, generate.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    key = _Key.__new__(_Key)
    key.context, key.pointer = context, generate(context.pointer, None, b"EC", ctypes.c_char_p(b"P-256"))
    info = der.wrap(der.SEQUENCE, der.integer(0), SUBJECT, key.public_key_info(), der.wrap(der.EXPLICIT))
    signature = key.sign_message(info)  # an EC key hashes with SHA-256 unless told otherwise
    return der.wrap(der.SEQUENCE, info, ECDSA, der.bit_string(signature))


def make_requests(folder: Path, number: int) -> None:
    """Write `kepil` and `cfssl`: the same requests as each takes them, hexadecimal, a line each."""
    context = Context()
    made = [make_request(context) for _ in range(number)]
    (folder / "kepil").write_text("\n".join(request.hex() for request in made))
    bodies = ({"certificate_request": pem.armor("CERTIFICATE REQUEST", request).decode()} for request in made)
    (folder / "cfssl").write_text("\n".join(json.dumps(body).encode().hex() for body in bodies))


def make_authority(folder: Path, kind: str) -> None:
    """Make `ca.key` and `ca.crt`, of an authority that lives for ten years."""
    common.make_hierarchy(folder, kind)
    words = (
        "x509",
        "-req",
        "-in",
        "ca.csr",
        "-signkey",
        "ca.key",
        "-extfile",
        "ca.cnf",
        "-days",
        "3650",
        "-out",
        "ca.crt",
    )
    common.openssl(*words, folder=folder)


def settings(folder: Path, database: str, kind: str) -> dict[str, object]:
    """The CA's settings, with the estate's own profiles."""
    return {
        "database": database,
        "authorities": [
            {
                "name": "nca-rsa",
                **common.key_settings(folder, "ca", kind),
                "urls": {kind: f"http://pki.example.kz/{kind}" for kind in ("issuer", "crl", "delta_crl", "ocsp")},
            }
        ],
        "profiles": yaml.safe_load(PROFILES.read_text("utf-8"))["pki_profiles"],
        "crl": {kind: {"every_hours": 1, "valid_hours": 2} for kind in ("full", "delta")},
        "publish": {"urls": [], "certificate": "/none", "key": "/none", "ca": "/none"},
        "officers": ["ra01"],
    }


def cfssl_settings() -> dict[str, object]:
    """What makes cfssl issue about the same certificate."""
    pointers = {"crl_url": "http://pki.example.kz/crl", "ocsp_url": "http://pki.example.kz/ocsp"}
    usages = ["digital signature", "content commitment", "email protection"]
    return {"signing": {"default": {"expiry": "8760h", "usages": usages, **pointers}}}


def issue_by_openssl(folder: Path, certificates: int, times: int) -> float:
    """Certificates a second that `openssl ca` issues with so many in its index."""
    line = "V\t301231235959Z\t\t{:030X}\tunknown\t/C=KZ/CN=MYSAL/serialNumber=IIN970908300017\n"
    with (folder / "index.txt").open("w") as index:
        index.writelines(line.format((1500000000 << 88) + number) for number in range(certificates))
    (folder / "index.txt.attr").write_text("unique_subject = no\n")
    (folder / "ca.cnf").write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\nrand_serial=yes\n"
        f"certificate={folder}/ca.crt\nprivate_key={folder}/ca.key\ndefault_md=sha256\ndefault_days=365\n"
        "policy=p\nx509_extensions=e\n[p]\ncountryName=supplied\ncommonName=supplied\nserialNumber=supplied\n"
        "[e]\nkeyUsage=critical,digitalSignature,nonRepudiation\nextendedKeyUsage=emailProtection\n"
    )
    requests = (folder / "kepil").read_text().splitlines()[-times:]
    taken = []
    for request in requests:
        (folder / "one.csr").write_bytes(pem.armor("CERTIFICATE REQUEST", bytes.fromhex(request)))
        begin = time.monotonic()
        common.openssl("ca", "-batch", "-utf8", "-config", "ca.cnf", "-in", "one.csr", "-out", "one.crt", folder=folder)
        taken.append(time.monotonic() - begin)
    return 1 / median(taken)


def check(url: str, request: str, answer: Callable[[bytes], bytes], folder: Path, **headers: str) -> None:
    """Make sure that a peer issues, and that OpenSSL takes what it issues for the CA's."""
    asked = urllib.request.Request(url, bytes.fromhex(request), headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(asked) as response:  # noqa: S310 - our own server
        (folder / "checked.crt").write_bytes(answer(response.read()))
    common.openssl("verify", "-CAfile", "ca.crt", "checked.crt", folder=folder)


class Requests:
    """The requests that nobody has sent yet; each run takes its own, for a key is certified once."""

    def __init__(self, folder: Path, name: str) -> None:
        self._lines, self._folder, self._name = (folder / name).read_text().splitlines(), folder, name

    def take(self, number: int) -> list[str]:
        """So many of them. Raises RuntimeError when there are fewer."""
        taken, self._lines = self._lines[:number], self._lines[number:]
        if len(taken) < number:
            raise RuntimeError("more requests are wanted: --requests")
        return taken

    def load(self, url: str, seconds: int, media_type: str) -> Run:
        """Send as many as are answered in so many seconds."""
        path = self._folder / f"{self._name}-now"
        path.write_text("\n".join(self.take(seconds * MOST_A_SECOND)))
        command = [
            "wrk",
            "-t1",
            f"-c{CONNECTIONS}",
            f"-d{seconds}s",
            "-s",
            str(Path(__file__).with_name("issue.lua")),
            url,
        ]
        environment = os.environ | {"REQUESTS": str(path), "TYPE": media_type}
        before = _processor_seconds()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        figures = next(line.split()[1:] for line in done.stdout.splitlines() if line.startswith("RESULT"))
        used = _processor_seconds() - before
        rate = float(figures[0])
        return Run(rate, int(figures[1]), float(figures[2]), used / (rate * seconds) * 1e6)


@dataclass(frozen=True)
class Run:
    """Certificates a second, requests that failed, 99th percentile of latency in ms, processor time of one in us."""

    rate: float
    failed: int
    p99_ms: float
    processor_us: float


@dataclass(frozen=True)
class Work:
    """What the database does for a certificate, however busy the machine: pages touched, octets of log."""

    pages: float
    log_octets: float

    @classmethod
    def of(cls, database: str, act: Callable[[], int]) -> Work:
        """Of each of as many certificates as `act` issues."""
        before = _counters(database)
        issued = act()
        pages, log = (after - earlier for after, earlier in zip(_counters(database), before, strict=True))
        return cls(pages / issued, log / issued)


def _counters(database: str) -> tuple[int, int]:
    with psycopg.connect(database, autocommit=True) as connection:
        row = connection.execute(
            "select sum(blks_hit + blks_read)::bigint, (pg_current_wal_lsn() - '0/0')::bigint from pg_stat_database"
        ).fetchone()
    assert row
    return row[0], row[1]


def issue_each(service: str, requests: list[str]) -> int:
    """Send requests one after the other; how many they are."""
    for number, request in enumerate(requests):
        headers = {"X-Client-Name": "ra01", "Idempotency-Key": f"{number} of {id(requests)} at {time.time()}"}
        asked = urllib.request.Request(service, bytes.fromhex(request), headers)  # noqa: S310 - our own server
        with urllib.request.urlopen(asked):  # noqa: S310 - our own server
            pass
    time.sleep(2)  # backends tell their counters a second later
    return len(requests)


def _processor_seconds() -> float:
    """What all other processes of this container have used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        if stat.parent.name != str(os.getpid()):
            user, system = stat.read_text().rpartition(")")[2].split()[11:13]
            ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure at each number of certificates, the peers in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificates", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    kinds = ("rsa2048", "rsa3072", "rsa4096", "p256")
    parser.add_argument("--key", choices=kinds, default=common.estate_key("issuing"), help="of the authority")
    arguments = parser.parse_args()
    heads = (
        "certificates there",
        *(f"{who} {what}" for who in ("Kepil", "cfssl") for what in ("/s", "p99 ms", "us", "failed")),
    )
    heads += ("openssl ca /s", "Kepil : cfssl, rate", "processor time", "Kepil's pages", "log KiB")
    rows = []
    with tempfile.TemporaryDirectory() as name, common.database("authority") as database:
        folder = Path(name)
        make_authority(folder, arguments.key)
        runs = len(arguments.certificates) * arguments.rounds
        make_requests(folder, runs * arguments.seconds * MOST_A_SECOND + len(arguments.certificates) * ONE_BY_ONE + 100)
        (folder / "ca.json").write_text(json.dumps(settings(folder, database, arguments.key)))
        (folder / "cfssl.json").write_text(json.dumps(cfssl_settings()))
        kepil, cfssl = Requests(folder, "kepil"), Requests(folder, "cfssl")
        serve = ("cfssl", "serve", "-address", "127.0.0.1", "-port", str(CFSSL), "-loglevel", "5")
        service = (*common.uvicorn("ca", CA), "--workers", str(os.cpu_count()))
        keys = ("-ca", "ca.crt", "-ca-key", "ca.key", "-config", "cfssl.json")
        for certificates in arguments.certificates:
            sample.fill(database, certificates)
            with (
                common.serving(CA, *service, folder=folder, KEPIL_SETTINGS=f"{folder}/ca.json") as ours,
                common.serving(CFSSL, *serve, *keys, folder=folder) as theirs,
            ):
                sign = f"{theirs}/api/v1/cfssl/sign"
                check(ours + SERVICE, kepil.take(1)[0], lambda body: body, folder, **{"X-Client-Name": "ra01"})
                check(sign, cfssl.take(1)[0], lambda body: json.loads(body)["result"]["certificate"].encode(), folder)
                one_by_one = partial(issue_each, ours + SERVICE, kepil.take(ONE_BY_ONE))
                work = Work.of(database, one_by_one)
                found = [
                    (
                        kepil.load(ours + SERVICE, arguments.seconds, "application/pkcs10"),
                        cfssl.load(sign, arguments.seconds, "application/json"),
                    )
                    for _ in range(arguments.rounds)
                ]
            slow = issue_by_openssl(folder, certificates, 5)
            rows.append((*_row(certificates, found, slow), f"{work.pages:.0f}", f"{work.log_octets / 1024:.1f}"))
            print(rows[-1], common.load_average(), flush=True)
    common.table(f"Durable issue, {arguments.key}", heads, rows)


def _row(certificates: int, found: list[tuple[Run, Run]], slow: float) -> tuple[str, ...]:
    figures = []
    for runs in zip(*found, strict=True):
        for field in ("rate", "p99_ms", "processor_us"):
            figures.append(f"{median(getattr(run, field) for run in runs):.0f}")
        figures.append(str(sum(run.failed for run in runs)))
    rate = median(ours.rate / theirs.rate for ours, theirs in found)
    processor = median(ours.processor_us / theirs.processor_us for ours, theirs in found)
    return (f"{certificates:,}", *figures, f"{slow:.1f}", f"{rate:.2f}", f"{processor:.2f}")


if __name__ == "__main__":
    main()
