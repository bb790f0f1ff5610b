"""What an OCSP answer costs without the network: HTTP, reading, look-up, building, a P-256 signature, in one process.

Requests go straight into uvicorn's protocol, in lots as they come at low and at high load, and PostgreSQL is real. The
least of many rounds hangs less on what else the machine does than the rates of `tests.bench.ocsp` do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from kepil.pki.web.ocsp import create_app
from tests.bench import common, ocsp

LOTS = (1, 4, 16, 32)
ANSWERS_A_ROUND = 160


class Wire(asyncio.Transport):
    """A connection's other end, which counts answers: uvicorn writes head and body of each."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.writes = 0
        self.answered = asyncio.Event()

    def write(self, _data: Any) -> None:
        """Take what is written."""
        self.writes += 1
        if self.writes % 2 == 0:
            self.answered.set()

    def is_closing(self) -> bool:
        """Never."""
        return False


async def measure(folder: Path, rounds: int) -> list[list[str]]:
    """The rows of the table."""
    config = uvicorn.Config(create_app(), log_config=None, access_log=False, server_header=False, proxy_headers=False)
    config.load()
    lifespan = config.lifespan_class(config)
    await lifespan.startup()
    wires, protocols = [], []
    for _ in range(max(LOTS)):
        wires.append(Wire())
        protocols.append(HttpToolsProtocol(config, ServerState(), lifespan.state))
        protocols[-1].connection_made(wires[-1])
    bodies = [bytes.fromhex(line) for line in (folder / "post").read_text().split()]
    head = (
        f"POST / HTTP/1.1\r\nHost: ocsp.test\r\nContent-Type: {ocsp.POST}\r\nContent-Length: {len(bodies[0])}\r\n\r\n"
    )
    requests = [head.encode() + body for body in bodies if len(body) == len(bodies[0])]

    async def answer(lot: int) -> None:
        for number in range(lot):
            wires[number].answered.clear()
            protocols[number].data_received(requests[number % len(requests)])
        for number in range(lot):
            await wires[number].answered.wait()

    rows = []
    for lot in LOTS:
        await answer(lot)
        costs = []
        for _ in range(rounds):
            before = time.process_time()
            for _ in range(ANSWERS_A_ROUND // lot):
                await answer(lot)
            costs.append((time.process_time() - before) / ANSWERS_A_ROUND * 1e6)
        costs.sort()
        rows.append([str(lot), f"{costs[0]:.0f}", f"{costs[len(costs) // 2]:.0f}"])
    await lifespan.shutdown()
    return rows


def main() -> None:
    """Measure and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=10)
    rounds = options.parse_args().rounds
    folder = Path(tempfile.mkdtemp())
    common.make_hierarchy(folder, "p256")
    with common.database("replica") as conninfo:
        fill = (
            f"insert into status (issuer, serial, not_after) select 'nca-rsa', {ocsp.SERIAL}, now() + interval '1 year'"
        )
        common.execute(conninfo, f"{fill} from generate_series(0, 999) number", "vacuum analyze status")
        key = common.key_settings(folder, "ocsp", "p256")
        responder = {"authority": "nca-rsa", "issuer": f"{folder}/ca.crt", **key}
        (folder / "ocsp.json").write_text(json.dumps({"database": conninfo, "responders": [responder]}))
        os.environ["KEPIL_SETTINGS"] = str(folder / "ocsp.json")
        ocsp.make_requests(folder, 1000)
        rows = uvloop.run(measure(folder, rounds))
    common.table(
        f"Around a signature, {common.load_average()}", ["requests at once", "µs an answer, least", "median"], rows
    )


if __name__ == "__main__":
    main()
