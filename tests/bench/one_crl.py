"""What `tests.bench.crl` measures: a process that reads, signs and puts a CRL in place, and loads nothing else."""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from kepil.pki.credential import read_certificate
from kepil.pki.crl import Scope, write_crl
from kepil.pki.revocation import encoded_revocations
from kepil.pki.signer import Signer


def main() -> None:
    """Make `kepil.crl` in a folder, from a database."""
    gc.freeze()  # as `kepil.cli` does
    folder, conninfo = Path(sys.argv[1]), sys.argv[2]
    signer, now = Signer.open(f"{folder}/ca.key"), datetime.now(UTC)
    scope = Scope(
        read_certificate(folder / "ca.crt"), 1, now, now + timedelta(hours=25), None, "http://a/", "http://b/"
    )
    with psycopg.connect(conninfo) as one, psycopg.connect(conninfo) as other:
        write_crl(folder / "kepil.crl", scope, signer, encoded_revocations([one, other], "nca-rsa", before=now))


if __name__ == "__main__":
    main()
