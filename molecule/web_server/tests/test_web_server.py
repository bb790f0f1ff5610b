"""nginx in front of a service: hardened, limited, silent about its users."""

from __future__ import annotations

import re
from typing import Any

MOST_EXPOSED = 3.0


def test_the_site_answers_without_naming_the_software(host: Any, variables: dict[str, Any]) -> None:
    """Threat: a version number tells an attacker which fault to try."""
    answer = request(host, "GET / HTTP/1.0")
    assert answer.splitlines()[-1] == variables["inventory_hostname"]
    assert re.search(r"^Server: nginx\r?$", answer, re.MULTILINE)


def test_no_process_of_nginx_is_root(host: Any) -> None:
    """Threat: a fault in the parser of requests from anyone gives root."""
    users = host.check_output("grep -lx nginx /proc/[0-9]*/comm | cut -d/ -f-3 | xargs stat --format %U")
    assert set(users.split()) == {"www-data"}


def test_its_unit_is_hardened(host: Any) -> None:
    """Threat: what gets into nginx goes on from there."""
    overall = host.check_output("systemd-analyze security --no-pager nginx.service | grep Overall")
    assert float(re.search(r"([0-9.]+) \w+ ", overall.split(":")[1])[1]) <= MOST_EXPOSED  # type: ignore[index]


def test_it_writes_only_where_a_site_says(host: Any) -> None:
    """Threat: an intruder changes the configuration or leaves programs behind."""
    pid = host.check_output("systemctl show --property MainPID --value nginx")
    mounts = host.check_output(f"cat /proc/{pid}/mountinfo").splitlines()
    writable = {line.split()[4] for line in mounts if line.split()[5].startswith("rw")}
    assert {"/srv", "/var/lib/nginx"} <= writable
    assert not writable & {"/", "/etc", "/usr", "/var"}


def test_a_request_that_never_ends_is_cut_off(host: Any) -> None:
    """Threat: slow clients hold all connections (slowloris)."""
    waited = host.run("timeout 20 python3 -c %s", SLOW_CLIENT)
    assert waited.rc == 0, waited.stderr
    assert float(waited.stdout) < 15


def test_a_site_that_nginx_refuses_is_not_installed(host: Any) -> None:
    """Threat: a wrong site stops all others at the next restart."""
    refused = host.run(
        "echo 'server { listen 80; nonsense; }' > /run/wrong.conf; kepil-check-site example /run/wrong.conf"
    )
    assert refused.rc != 0
    assert "nonsense" in refused.stderr
    assert host.run("kepil-check-site example /etc/nginx/kepil.d/example.conf").rc == 0


def test_requests_leave_no_trace_of_who_asked(host: Any) -> None:
    """CP-9.4: who asked about which certificate is personal data."""
    request(host, "GET /trace-me HTTP/1.0")
    assert host.run("grep -r trace-me /var/log/nginx").rc != 0
    assert "trace-me" not in host.check_output("journalctl --unit nginx --no-pager")


def test_a_reload_tests_first(host: Any) -> None:
    """Threat: a reload with a wrong configuration goes unnoticed until nginx does not start."""
    broken = "/etc/nginx/kepil.d/broken.conf"
    try:
        assert host.run(f"echo nonsense > {broken}; systemctl reload nginx").rc != 0
        assert host.service("nginx").is_running
    finally:
        host.run(f"rm {broken}")
    assert host.run("systemctl reload nginx").rc == 0


def request(host: Any, line: str) -> str:
    """What the site answers to a request line."""
    program = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', 80)); "
        "s.sendall(sys.argv[1].encode() + b'\\r\\n\\r\\n'); s.shutdown(1); "
        "print(b''.join(iter(lambda: s.recv(4096), b'')).decode())"
    )
    answer: str = host.check_output("python3 -c %s %s", program, line)
    return answer.strip()


SLOW_CLIENT = """
import socket, time
start = time.monotonic()
with socket.create_connection(("127.0.0.1", 80)) as connection:
    connection.settimeout(1)
    while True:
        try:
            connection.sendall(b"G")
            if not connection.recv(1):
                break
        except TimeoutError:
            continue
        except OSError:
            break
print(time.monotonic() - start)
"""
