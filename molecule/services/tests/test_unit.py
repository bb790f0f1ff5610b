"""The time-stamping unit's host: the holder of the key is shut in."""

from __future__ import annotations

import json
import re
from typing import Any

testinfra_hosts = ["ansible://tsp"]

UNIT = "kepil-tsp@1.service"
MOST_EXPOSED = 3.0


def test_its_unit_is_hardened(host: Any) -> None:
    """Threat: what gets into the service goes on from there."""
    overall = host.check_output(f"systemd-analyze security --no-pager {UNIT} | grep Overall")
    exposure = re.search(r"([0-9.]+) [A-Z]+", overall.split(":")[1])
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSED


def test_only_the_web_server_and_root_reach_its_socket(host: Any) -> None:
    """Threat: a process on the host goes round the limits of the web server."""
    socket = host.file("/run/kepil-tsp/http.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "www-data", 0o660)


def test_it_cannot_read_the_activation_data_on_disk(host: Any) -> None:
    """CP-6.4: the service gets its PIN from systemd; the file is root's."""
    assert host.run("setpriv --reuid kepil-tsp --clear-groups cat /etc/kepil/credentials/hsm-tsp.pin").rc != 0


def test_it_says_that_it_is_well(host: Any, variables: dict[str, Any]) -> None:
    """The health that monitoring reads on the host: on each, the unit of every family has its key."""
    health = json.loads(host.check_output(READ_HEALTH))
    assert health["healthy"] is True
    assert health["clock"] == "synchronised"
    assert set(health["units"]) == {each["tsp"]["policy"] for each in variables["pki_hierarchies"].values()}


def test_a_key_in_a_file_is_its_services(host: Any, variables: dict[str, Any]) -> None:
    """CP-6.4: encrypted, and no other account reads even that."""
    for family in set(variables["pki_families"]) - {"rsa"}:
        key = host.file(f"/etc/kepil/keys/tsp/{variables['pki_hierarchies'][family]['tsp']['name']}.pem")
        assert (key.user, key.group, key.mode) == ("root", "kepil-hsm-tsp", 0o640)
        assert "BEGIN ENCRYPTED PRIVATE KEY" in key.content_string


READ_HEALTH = """python3 -c '
import socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/kepil-tsp/http.sock")
s.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: s.recv(4096), b"")).split(b"\\r\\n\\r\\n")[1].decode())
'"""
