"""Time stamps beside `openssl ts -reply` in a loop, with a key of the estate's kind, others and GOST R 34.10-2012."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from asn1crypto import tsp as asn1

from kepil.pki.tsp import Response
from tests.bench import common, nginx

POLICY = "1.2.398.3.3.2.6.2"
QUERY = "application/timestamp-query"
CHRONYC = (
    "#!/bin/sh\necho C6120001,127.0.0.1,3,1763700000.1,-0.0002,0.0,0.00001,-5.2,0.01,0.2,0.004,0.001,64.2,Normal\n"
)
OPENSSL = f"""[tsa]
default_tsa = unit
[unit]
serial = serial
signer_cert = tsp.crt
certs = tsp.crt
signer_key = tsp.key
signer_digest = sha256
default_policy = {POLICY}
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
crypto_device = builtin
"""


def measure_kepil(kind: str, seconds: int, *, behind_nginx: bool = False) -> list[str]:
    """Stamp with a key of a kind, alone or as on its hosts; the row of the table."""
    folder = make(kind)
    (folder / "chronyc").write_text(CHRONYC)
    (folder / "chronyc").chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"  # no clock is watched in a container
    unit = {"policy": POLICY, **common.key_settings(folder, "tsp", kind)}
    file = folder / "tsp.json"
    file.write_text(json.dumps({"units": [unit]}))
    limits = {"tsp_requests_per_second": 1_000_000, "tsp_request_burst": 1_000_000}
    by_nginx = nginx.serving_kepil_by_nginx("tsp", file, 8002, **limits)
    with by_nginx if behind_nginx else common.serving_kepil("tsp", file) as url:
        check(url, folder, gost=kind.startswith("gost"))
        load = common.wrk(url, folder / "post", seconds, post=QUERY)
    share = "" if kind.startswith("gost") else f"{common.signature_us(kind) / load.cost_us:.0%}"
    name = f"Kepil, {kind}" + (", behind nginx, as on its hosts" if behind_nginx else "")
    return [name, f"{load.rate:.0f}", f"{load.p99_ms:.1f}", f"{load.cost_us:.0f}", share]


def measure_openssl(kind: str, seconds: int) -> list[str]:
    """Run `openssl ts -reply` again and again, a loop a processor; the row of the table."""
    folder = make(kind)
    (folder / "tsa.cnf").write_text(OPENSSL)
    loops = []
    for number in range(os.cpu_count() or 1):
        own = folder / str(number)
        own.mkdir()
        for name in ("tsp.crt", "tsp.key", "tsa.cnf", "query"):
            (own / name).symlink_to(folder / name)
        (own / "serial").write_text("01\n")
        reply = "openssl ts -reply -config tsa.cnf -queryfile query -out reply >/dev/null 2>&1"
        loop = f"while [ ! -e ../stop ] && {reply}; do :; done"  # whoever is killed may leave no serial number
        loops.append((own, subprocess.Popen(["sh", "-c", loop], cwd=own)))
    before, begin = os.times(), time.monotonic()
    time.sleep(seconds)
    (folder / "stop").touch()
    for _, process in loops:
        process.wait()
    after, elapsed = os.times(), time.monotonic() - begin
    answers = sum(int((own / "serial").read_text(), 16) - 1 for own, _ in loops)
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return [f"openssl ts -reply, {kind}", f"{answers / elapsed:.0f}", "", f"{used / answers * 1e6:.0f}", ""]


def make(kind: str) -> Path:
    """A folder with the hierarchy and a query, also as `post`."""
    folder = Path(tempfile.mkdtemp())
    common.make_hierarchy(folder, kind)
    imprint = {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": hashlib.sha256(b"document").digest()}
    query = asn1.TimeStampReq({"version": "v1", "message_imprint": imprint, "nonce": 2**60, "cert_req": True}).dump()
    (folder / "query").write_bytes(query)
    (folder / "post").write_text(query.hex())
    return folder


def check(url: str, folder: Path, *, gost: bool) -> None:
    """Make sure that OpenSSL verifies a token. Raises RuntimeError."""
    request = urllib.request.Request(url, (folder / "query").read_bytes(), {"Content-Type": QUERY})  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
        response = Response.load(answer.read())
    if response["status"]["status"].native != "granted":
        raise RuntimeError(f"{url}: {response['status'].native}")
    token = response["time_stamp_token"].dump()
    (folder / "token").write_bytes(token)
    trust = ("-CAfile", "ca.crt", "-purpose", "timestampsign")
    files = ("-inform", "DER", "-in", "token", "-out", "statement")
    common.openssl("cms", "-verify", *files, *trust, folder=folder, gost=gost)


def main() -> None:
    """Run the comparison and print its table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=5, help="of each load")
    seconds = options.parse_args().seconds
    kinds = [common.estate_key("tsp"), "rsa2048", "p256", "gost256", "gost512"]
    rows = [measure_openssl(kinds[0], seconds), measure_kepil(kinds[0], seconds, behind_nginx=True)]
    rows += [measure_kepil(kind, seconds) for kind in dict.fromkeys(kinds)]
    heads = ["server", "stamps/s", "p99 ms", "µs of processor a stamp", "of the signing limit"]
    common.table(f"TSP, {common.load_average()}", heads, rows)


if __name__ == "__main__":
    main()
