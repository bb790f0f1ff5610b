"""A CRL of a million entries beside `openssl ca -gencrl`: from the database to a file, time and memory."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psycopg

from tests.bench import common

OPENSSL = """[ca]
default_ca = own
[own]
database = index.txt
certificate = ca.crt
private_key = ca.key
default_md = sha256
crlnumber = crlnumber
default_crl_hours = 25
"""
SERIAL = "'4' || substr(md5(number::text), 2)"
FILL = f"""insert into status (issuer, serial, not_after, revoked_at, reason)
select 'nca-rsa', decode({SERIAL}, 'hex'), now() + interval '1 year', now() - (%(entries)s - number) * interval '25 s',
  1 from generate_series(1, %(entries)s) number"""  # noqa: S608 - own expressions
INDEX = f"""copy (select E'R\\t301231235959Z\\t' || to_char(now() - number * interval '25 s', 'YYMMDDHH24MISS"Z"')
|| E',keyCompromise\\t' || upper({SERIAL}) || E'\\tunknown\\t/CN=' || number
from generate_series(1, %(entries)s) number) to stdout (format csv, delimiter '|', quote '`')"""  # noqa: S608 - likewise


def measure(folder: Path, *command: str) -> tuple[float, float, float]:
    """Run a command; seconds, seconds of its own processor, and the most memory that it held, in MB."""
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command}: {status}")
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def compare(folder: Path, conninfo: str, entries: int, rounds: int) -> None:
    """Measure both in turn, several times, and print medians."""
    own = (sys.executable, "-m", "tests.bench.one_crl", str(folder), conninfo)
    theirs = ("openssl", "ca", "-config", "ca.cnf", "-gencrl", "-out", "openssl.crl")
    ours, peers, database = [], [], []
    for _ in range(rounds):
        peers.append(measure(folder, *theirs))
        before = common.processor_seconds()
        ours.append(measure(folder, *own))
        database.append(common.processor_seconds() - before)
    for name, form in (("kepil.crl", "DER"), ("openssl.crl", "PEM")):
        common.openssl("crl", "-in", name, "-inform", form, "-noout", "-verify", "-CAfile", "ca.crt", folder=folder)
    rows = []
    for name, results, server in (("Kepil", ours, database), ("openssl ca -gencrl", peers, [0.0])):
        wall, processor, memory = (median(each[at] for each in results) for at in range(3))
        rows.append([name, f"{wall:.2f}", f"{processor + median(server):.2f}", f"{memory:.0f}"])
    heads = ["maker", "seconds", "seconds of processor, the database's too", "most memory, MB"]
    size = (folder / "kepil.crl").stat().st_size / 1e6
    common.table(f"CRL of {entries} entries, {size:.0f} MB, {common.load_average()}, median of {rounds}", heads, rows)


def main() -> None:
    """Fill the database and the index, then compare."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    folder = Path(tempfile.mkdtemp())
    common.make_hierarchy(folder, common.estate_key("issuing"))
    (folder / "ca.cnf").write_text(OPENSSL)
    (folder / "crlnumber").write_text("01\n")
    with common.database("authority") as conninfo:
        with psycopg.connect(conninfo) as connection, (folder / "index.txt").open("wb") as index:
            values = {"entries": chosen.entries}
            psycopg.ClientCursor(connection).execute(FILL, values)
            with psycopg.ClientCursor(connection).copy(INDEX, values) as lines:
                index.writelines(lines)
        common.execute(conninfo, "vacuum analyze", "checkpoint")
        compare(folder, conninfo, chosen.entries, chosen.rounds)


if __name__ == "__main__":
    main()
