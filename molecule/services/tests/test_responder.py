"""The responder's host: the holder of the key is shut in."""

from __future__ import annotations

import json
import re
from typing import Any

testinfra_hosts = ["ansible://ocsp"]

UNIT = "kepil-ocsp@1.service"
MOST_EXPOSED = 3.0


def test_its_unit_is_hardened(host: Any) -> None:
    """Threat: what gets into the service goes on from there."""
    overall = host.check_output(f"systemd-analyze security --no-pager {UNIT} | grep Overall")
    exposure = re.search(r"([0-9.]+) [A-Z]+", overall.split(":")[1])
    assert exposure
    assert float(exposure[1]) <= MOST_EXPOSED


def test_it_has_no_network(host: Any) -> None:
    """CP-6.7. Threat: an intruder in the service reaches other hosts, or carries answers out."""
    pid = host.check_output(f"systemctl show --property MainPID --value {UNIT}")
    links = host.check_output(f"cat /proc/{pid}/net/dev").splitlines()[2:]
    assert {line.split(":")[0].strip() for line in links} <= {
        "lo",
        "tunl0",
        "sit0",
        "ip6tnl0",
        "gre0",
        "gretap0",
        "erspan0",
    }


def test_only_the_web_server_and_root_reach_its_socket(host: Any) -> None:
    """Threat: a process on the host goes round the limits of the web server."""
    socket = host.file("/run/kepil-ocsp/http.sock")
    assert (socket.user, socket.group, socket.mode) == ("root", "www-data", 0o660)


def test_it_cannot_read_the_activation_data_on_disk(host: Any) -> None:
    """CP-6.4: the service gets its PIN from systemd; the file is root's."""
    assert host.run("setpriv --reuid kepil-ocsp --clear-groups cat /etc/kepil/credentials/hsm-ocsp.pin").rc != 0


def test_it_cannot_change_what_it_answers_from(host: Any) -> None:
    """CP-2.4. Threat: an intruder in the service makes a revoked certificate good."""
    tried = host.run(
        "setpriv --reuid kepil-ocsp --clear-groups psql -h /run/postgresql -U kepil_ocsp kepil -c 'delete from status'"
    )
    assert tried.rc != 0
    assert "permission denied" in tried.stderr


def test_each_process_stands_by_itself(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a process that dies takes the responder with it. Those that are left answer, and it comes back."""
    units = [f"kepil-ocsp@{number}.service" for number in range(1, variables["ocsp_workers"] + 1)]
    assert len(units) > 1
    host.check_output(f"systemctl kill --signal=KILL {units[-1]}")
    assert json.loads(host.check_output(READ_HEALTH))["healthy"] is True
    host.check_output(f"timeout 30 sh -c 'until systemctl is-active {units[-1]}; do sleep 0.2; done'")
    assert host.check_output("systemctl list-units --plain --no-legend 'kepil-ocsp@*'").count("running") == len(units)


def test_it_says_that_it_is_well(host: Any) -> None:
    """The health that monitoring reads on the host."""
    health = json.loads(host.check_output(READ_HEALTH))
    assert health["healthy"] is True
    assert health["database"] == "reachable"


READ_HEALTH = """python3 -c '
import socket
s = socket.socket(socket.AF_UNIX); s.connect("/run/kepil-ocsp/http.sock")
s.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: s.recv(4096), b"")).split(b"\\r\\n\\r\\n")[1].decode())
'"""
