"""Between every two hosts, what is declared opens and nothing else does: real connections, both kinds counted."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from kepil.estate.model import Estate

PROBE = """
import concurrent.futures, json, socket, sys
def probe(target):
    try:
        socket.create_connection(tuple(target), timeout=1.0).close()
        return "open"
    except OSError as error:
        return type(error).__name__
targets = json.load(sys.stdin)
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(json.dumps(list(pool.map(probe, targets))))
"""


@pytest.mark.clause("CP-6.7")
def test_every_pair_and_every_declared_port(estate: Estate, on: Callable[[str], Any]) -> None:
    ports = sorted({flow.port for flow in estate.flows if flow.protocol == "tcp"} | {22, 443})
    networked = [host for host in estate.members("all") if host.address]
    wrong: list[str] = []
    opened = 0
    for source in networked:
        allowed = {
            (str(peer), rule.port)
            for rule in estate.rules(source)
            if rule.direction == "out" and rule.protocol == "tcp"
            for peer in rule.peers
        }
        targets = [(str(host.address), port) for host in networked if host.name != source.name for port in ports]
        script, data = (base64.b64encode(x.encode()).decode() for x in (PROBE, json.dumps(targets)))
        answer = on(source.name)(f'echo {data} | base64 -d | python3 -c "$(echo {script} | base64 -d)"')
        for target, state in zip(targets, json.loads(answer), strict=True):
            opened += state == "open"
            if (state == "open") != (target in allowed):
                wrong.append(f"{source.name} -> {target[0]}:{target[1]} is {state}, declared: {target in allowed}")
    assert wrong == []
    assert opened > 0
