"""How much of a direct connection's throughput is left by way of the gateway: routed, spliced, inspected, scanned; each
without intrusion prevention and with it.

Users, gateway and origin are network namespaces of one container, joined by veth pairs. They share its processors.
Firewall, proxy, scanner and Suricata run under what role gateway renders. Routed means past the proxy, as a signed
exception is (GW-15-2). The ways take turns; a round asks each once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from ipaddress import IPv4Network
from itertools import chain, cycle
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jinja2
import yaml

from kepil.gateway.category import Categories
from kepil.gateway.lookup import build
from kepil.gateway.policy import PolicyFile, write_policy
from tests.bench import common

WORK = Path("/work")
ROLE = WORK / "roles/gateway"
STATED = yaml.safe_load((WORK / "inventories/common/group_vars/gateway/gateway.yml").read_text(encoding="utf-8"))
USERS, ORIGIN, DIRECT = "198.19.41.0/25", "198.19.42.80", "198.19.43.80"
BANK, NEWS, PAST, STRAIGHT = "bank.example.com", "press.example.com", "past.example.net", "straight.example.net"
ADDRESSES = cycle(str(address) for address in list(IPv4Network(USERS).hosts())[10:])
"""Of users. Each measurement has another: between ports that were released no connection begins for two minutes."""
PAST_PORT = 8443
"""Where the origin is reached by an exception."""
CONNECTIONS = 16
GATEWAYS = {"squid", "security_file_c", "python3", "clamd", "c-icap", "Suricata-Main"}
"""Programs of the gateway, as the kernel calls them; Python is its helpers."""
SCANNED, SEEN = " and scanned", ", intrusion prevention"
SHAPES = (
    ("1 kB, connections kept", "1k", ""),
    ("1 kB, a connection each", "1k", "close"),
    ("1 MB, connections kept", "1m", ""),
)
WAYS = {
    "direct": f"https://{STRAIGHT}",
    "routed": f"https://{PAST}:{PAST_PORT}",
    "spliced": f"https://{BANK}",
    "inspected": f"https://{NEWS}",
}


def run(*command: object) -> None:
    """A command that must succeed."""
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def rendered(folder: Path, name: str, **more: Any) -> Path:
    """A file as the role renders it."""
    stated: dict[str, Any] = {}
    for part in ("defaults", "vars"):
        stated |= yaml.safe_load((ROLE / part / "main.yml").read_text(encoding="utf-8"))
    # What the role works out from the estate, and what is elsewhere here.
    given = stated | STATED | {
        "inventory_hostname": "gw01",
        "estate_domain": "test",
        "gateway_operators": {"telecom": {"networks": [USERS]}},
        "gateway_user_interfaces": ["users0"],
        "gateway_resolvers": ["127.0.0.1"],
        "gateway_new_connections_per_second": 1_000_000,  # one user stands for many
        "gateway_syn_proxy_above": 1_000_000,
        "__gateway_ca": folder / "ca.crt",
        "__gateway_ca_key": folder / "ca.key",
        "__gateway_python": "/usr/bin/python3",
        "__gateway_settings": folder,
        "__gateway_state": folder,
        "__gateway_zones": ["198.19.40.0/24"],
        "__gateway_forward_mark": "0x2",
        "__gateway_carried_marks": {"gw01": "0x100"},
        "__gateway_intrusion": folder,
    } | more  # fmt: skip
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader(ROLE / "templates"), trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"to_json": json.dumps, "flatten": lambda lists: list(chain.from_iterable(lists))}
    path = folder / name
    path.write_text(environment.get_template(f"{name}.j2").render(given))
    return path


def networks() -> None:
    """Users and origin on either side of the gateway, and a straight way between them beside it; a cable each."""
    for namespace in ("users", "origins"):
        run("ip", "netns", "add", namespace)
        run("ip", "-netns", namespace, "link", "set", "lo", "up")
    for namespace, interface, address in (("users", "users0", next(ADDRESSES)), ("origins", "uplink0", ORIGIN)):
        ours = f"{address.rpartition('.')[0]}.1"
        run("ip", "link", "add", interface, "type", "veth", "peer", "eth0", "netns", namespace)
        run("ip", "address", "add", f"{ours}/24", "dev", interface)
        run("ip", "link", "set", interface, "up")
        cable(namespace, "eth0", address)
        run("ip", "-netns", namespace, "route", "add", "default", "via", ours)
    run("ip", "link", "add", "straight", "netns", "users", "type", "veth", "peer", "straight", "netns", "origins")
    cable("users", "straight", "198.19.43.11")
    cable("origins", "straight", DIRECT)
    with Path("/etc/hosts").open("a") as hosts:
        hosts.write(f"{ORIGIN} {BANK} {NEWS} {PAST}\n{DIRECT} {STRAIGHT}\n")


def cable(namespace: str, interface: str, address: str) -> None:
    """A cable's end in a namespace, with an address."""
    run("ip", "-netns", namespace, "address", "add", f"{address}/24", "dev", interface)
    run("ip", "-netns", namespace, "link", "set", interface, "up")


def another_user() -> None:
    """From now on the users' side asks from the next address."""
    address = next(ADDRESSES)
    run("ip", "-netns", "users", "address", "replace", f"{address}/24", "dev", "eth0")
    gateway = str(IPv4Network(USERS)[1])
    run("ip", "-netns", "users", "route", "replace", "default", "via", gateway, "src", address)


def certificates(folder: Path) -> None:
    """The origin's certificate, which the gateway trusts, and the inspection CA."""
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9")
    names = ",".join(f"DNS:{name}" for name in (BANK, NEWS, PAST, STRAIGHT))
    run(
        *new,
        "-subj",
        "/CN=origin",
        "-addext",
        f"subjectAltName={names}",
        "-keyout",
        folder / "origin.key",
        "-out",
        folder / "origin.crt",
    )
    run(*new, "-subj", "/CN=inspection", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
    shutil.copy(folder / "origin.crt", "/usr/local/share/ca-certificates/origin.crt")
    run("update-ca-certificates")
    for name in ("ca.key", "origin.key"):
        (folder / name).chmod(0o644)  # the proxy's account reads it; nobody else is here


def certificate_database() -> None:
    """Room for certificates that Squid makes."""
    place = Path("/var/lib/squid")
    place.mkdir(exist_ok=True)
    shutil.chown(place, "proxy")
    maker = ("/usr/lib/squid/security_file_certgen", "-c", "-s", place / "ssl_db", "-M", "64MB")
    run("runuser", "-u", "proxy", "--", *maker)


def policy(folder: Path) -> None:
    """An organisation that is enrolled, and the table of two names."""
    today = datetime.now(UTC).date()
    organisation = {
        "name": "Users",
        "bin": "180540012343",
        "operator": "telecom",
        "contact": "it@example.kz",
        "networks": [USERS],
        "categories": ["finance", "news"],
        "valid_from": today,
        "valid_until": today.replace(year=today.year + 1, day=1),
        "application": {"sha256": "0" * 64, "dated": today, "received": today},
    }
    stated = {"organisations": {"users": organisation}, "catalogue": (), "categories": STATED["gateway_categories"]}
    write_policy(folder / "policy.json", PolicyFile.model_validate(stated))
    categories = Categories.load(STATED["gateway_categories"])
    build(folder / "categories.mdb", [(BANK, "finance"), (NEWS, "news")], {}, categories)


def admit(folder: Path, *, seen: bool) -> None:
    """The gateway's table with the user in it; whether intrusion prevention must have seen what passes."""
    run("nft", "-f", rendered(folder, "gateway.nft", gateway_intrusion=seen, __gateway_must_be_seen=seen))
    run("nft", f"add element inet gateway enrolled {{ {USERS} timeout 300d }}")
    run("nft", f"add element inet gateway exceptions {{ {USERS} . tcp . {PAST_PORT} . {ORIGIN} timeout 300d }}")


def firewall() -> None:
    """A table that forwards what the gateway's marked, as role base has it."""
    run("nft", "add table inet estate")
    run("nft", "add chain inet estate forward { type filter hook forward priority filter; policy drop; }")
    run("nft", "add rule inet estate forward ct state established counter accept")
    run("nft", "add rule inet estate forward meta mark 0x2 ct state new counter accept")
    run("ip", "rule", "add", "fwmark", "0x1", "lookup", "100")
    run("ip", "route", "replace", "local", "default", "dev", "lo", "table", "100")


@contextmanager
def started(folder: Path, port: int | None, *command: object) -> Iterator[None]:
    """A program that runs meanwhile; it is there once it listens on a port."""
    name = next(Path(str(word)).name for word in command if str(word) not in ("ip", "netns", "exec", "origins"))
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended: {(folder / f'{name}.log').read_text()}")
            if port is None or common.listens(port):
                break
            time.sleep(0.1)
        time.sleep(1)
        yield
    finally:
        common.end(process)


@contextmanager
def origin(folder: Path) -> Iterator[None]:
    """nginx, on every address of its namespace."""
    (folder / "site").mkdir()
    for name, size in (("1k", 1000), ("1m", 1_000_000)):
        (folder / "site" / name).write_bytes(os.urandom(size // 2).hex().encode())
    (folder / "nginx.conf").write_text(
        f"user root; daemon off; worker_processes auto; pid {folder}/nginx.pid; error_log stderr;"
        " events { worker_connections 4096; } http { access_log off; sendfile on; keepalive_requests 1000000;"
        f" server {{ listen 443 ssl; listen {PAST_PORT} ssl; root {folder}/site;"
        f" ssl_certificate {folder}/origin.crt; ssl_certificate_key {folder}/origin.key; }} }}\n"
    )
    with started(folder, None, "ip", "netns", "exec", "origins", "nginx", "-c", folder / "nginx.conf"):
        yield


@contextmanager
def proxy(folder: Path, *, scanned: bool) -> Iterator[None]:
    """Squid, with the scanner or without."""
    with started(folder, 3140, "squid", "-N", "-f", rendered(folder, "squid.conf", gateway_antivirus=scanned)):
        yield


@contextmanager
def inspector(folder: Path, name: str, *queues: int) -> Iterator[None]:
    """A process of Suricata that reads queues, as the role has two."""
    own = folder / name
    own.mkdir(exist_ok=True)
    words = [word for number in queues for word in ("-q", number)]
    socket = f"unix-command.filename={own}/command.socket"
    config = rendered(folder, "suricata.yaml")
    with started(own, None, "suricata", "-c", config, "-l", own, "--set", socket, *words):
        while "Engine started" not in (own / "suricata.log").read_text():
            time.sleep(0.2)
        yield


@contextmanager
def intrusion_prevention(folder: Path) -> Iterator[None]:
    """Suricata in the path of the user's packets."""
    shutil.copy(ROLE / "files/kepil.rules", folder)
    with inspector(folder, "suricata", 0, 1), inspector(folder, "suricata-again", 2):
        admit(folder, seen=True)
        run("iptables-nft-restore", rendered(folder, "queue.rules"))
        try:
            yield
        finally:
            admit(folder, seen=False)


@contextmanager
def scanner(folder: Path) -> Iterator[None]:
    """clamd, which knows one signature, and c-icap."""
    for place, owner in (("/run/clamav", "clamav"), ("/run/c-icap", "c-icap")):
        Path(place).mkdir(exist_ok=True)
        shutil.chown(place, owner, owner)
    shutil.copy(ROLE / "files/kepil-test.ndb", "/var/lib/clamav/kepil-test.ndb")
    for name in ("c-icap.conf", "virus_scan.conf", "clamd_mod.conf"):
        shutil.copy(rendered(folder, name), Path("/etc/c-icap", name))
    with started(folder, None, "clamd", "--foreground", "--config-file", rendered(folder, "clamd.conf")):
        time.sleep(5)  # it tells nobody when it is ready
        with started(folder, 1344, "c-icap", "-N", "-f", "/etc/c-icap/c-icap.conf"):
            yield


class Asked(NamedTuple):
    """What a measurement tells."""

    rate: float
    """Answers a second."""
    p99_ms: float
    cost_us: float
    """Processor time an answer of client, origin and gateway together, microseconds."""
    gateway_us: float
    """Of it the proxy's and the scanner's."""


def asked(url: str, connection: str, seconds: int) -> Asked:
    """What wrk has from the users' side."""
    header = ("-H", f"Connection: {connection}") if connection else ()
    load = ("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "--latency", *header, url)
    another_user()
    before = processor_seconds()
    done = subprocess.run(("ip", "netns", "exec", "users", *load), capture_output=True, text=True, check=True)
    used = {name: spent - before.get(name, 0.0) for name, spent in processor_seconds().items()}
    lines = [line.split() for line in done.stdout.splitlines() if line.strip()]
    failed = sum(int(word.strip(",")) for line in lines if line[0] == "Socket" for word in line[3::2])
    rate = next(float(line[1]) for line in lines if line[0] == "Requests/sec:")
    answers = next(int(line[0]) for line in lines if line[1:2] == ["requests"])
    if failed > answers / 100 or any(line[0] == "Non-2xx" for line in lines):
        raise RuntimeError(f"{url}: {done.stdout}")
    last = next(line[1] for line in lines if line[0] == "99%")
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    p99 = next(float(last.removesuffix(name)) * scale for name, scale in unit.items() if last.endswith(name))
    own = sum(spent for name, spent in used.items() if name in GATEWAYS)
    return Asked(rate, p99, sum(used.values()) / answers * 1e6, own / answers * 1e6)


def processor_seconds() -> dict[str, float]:
    """Seconds of processor that programs have used, by name; of this one what its ended children used."""
    spent: dict[str, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            times = [int(each) for each in rest.split()[11:15]]
            if folder.name == str(os.getpid()):
                name, times = "wrk", times[2:]
            spent[name] = spent.get(name, 0.0) + sum(times) / os.sysconf("SC_CLK_TCK")
    return spent


def measure(ways: Sequence[str], seconds: int, found: dict[tuple[str, str], list[Asked]], more: str = "") -> None:
    """Ask each way in turn, in every shape; first a while unmeasured, so that all have what they make once."""
    for way in ways:
        run("ip", "netns", "exec", "users", "wrk", "-t1", f"-c{CONNECTIONS}", "-d3s", f"{WAYS[way]}/1m")
    for shape, path, connection in SHAPES:
        for way in ways:
            found.setdefault((way + more, shape), []).append(asked(f"{WAYS[way]}/{path}", connection, seconds))


def main() -> None:
    """Run the comparison, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    networks()
    certificates(folder)
    policy(folder)
    firewall()
    admit(folder, seen=False)
    certificate_database()
    found: dict[tuple[str, str], list[Asked]] = {}
    (folder / "errors").symlink_to("/usr/share/squid/errors/templates")
    with origin(folder):
        for _ in range(given.rounds):
            with proxy(folder, scanned=False):
                measure(list(WAYS), given.seconds, found)
                with intrusion_prevention(folder):
                    measure(list(WAYS)[1:], given.seconds, found, SEEN)
            with scanner(folder), proxy(folder, scanned=True):
                measure(["inspected"], given.seconds, found, SCANNED)
                with intrusion_prevention(folder):
                    measure(["inspected"], given.seconds, found, SCANNED + SEEN)
    rows = []
    for shape, _, _ in SHAPES:
        direct, straight = (
            median(each) for each in zip(*((x.rate, x.cost_us) for x in found["direct", shape]), strict=True)
        )
        for way in dict.fromkeys(way for way, _ in found):
            rate, p99, cost, own = map(median, zip(*found[way, shape], strict=True))
            spread = sorted(each.rate for each in found[way, shape])
            figures = [
                f"{rate:,.0f}",
                f"{spread[0]:,.0f} to {spread[-1]:,.0f}",
                f"{p99:.1f}",
                f"{cost:,.0f}",
                f"{own:,.0f}",
            ]
            rows.append([shape, way, *figures, f"{rate / direct * 100:.0f} %", f"{straight / cost * 100:.0f} %"])
    costs = ["processor µs an answer", "of it the gateway's programs"]
    heads = [
        "answers of",
        "way",
        "a second",
        "over the rounds",
        "p99 ms",
        *costs,
        "of direct's rate",
        "direct's cost over its",
    ]
    common.table(
        f"{given.rounds} rounds of {given.seconds} s, {CONNECTIONS} connections, {common.load_average()}", heads, rows
    )


if __name__ == "__main__":
    main()
