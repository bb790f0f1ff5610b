"""The gateway's policy for many organisations and names, beside what Squid and nftables offer for it by themselves.

Theirs: names in `dstdomain` files, an `acl src` and `http_access` rules an organisation, a set and a rule of nftables
an organisation. Measured: time and memory to read, to build and to load, and the time of a request, each for another
name. The most memory of a child is never told below that of the process that measures.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from statistics import quantiles
from threading import Thread
from typing import Any

import yaml

from kepil.gateway.category import Categories
from kepil.gateway.lookup import Table, build
from kepil.gateway.policy import Policy, PolicyFile, read_policy, write_policy
from kepil.gateway.rules import elements, script
from kepil.gateway.settings import read_policy_file
from kepil.pki.name import is_identification_number
from tests.bench import common
from tests.bench.crl import measure

STATED = yaml.safe_load(Path("/work/inventories/common/group_vars/gateway/gateway.yml").read_text(encoding="utf-8"))
CATEGORIES = Categories.load(STATED["gateway_categories"])
LISTED = ("news", "games", "shopping", "finance")
"""Categories that names have, by turns; organisations may reach all but the second."""
ALLOWED = ("finance", "news", "shopping")
NETWORKS_EACH = 4
ENVIRONMENT = "trial"
ORIGIN, PROXY_PORT = "198.18.11.80", 3128
SKELETON = """table inet gateway {
  set enrolled { type ipv4_addr; flags interval, timeout; }
  set catalogued { type ipv4_addr; flags interval; }
  set blocked { type ipv4_addr; }
  set exceptions { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval, timeout; }
  chain users {
    type filter hook prerouting priority mangle;
    ip saddr . meta l4proto . th dport . ip daddr @exceptions accept
    ip saddr @enrolled accept
    ip saddr @catalogued accept
  }
}
"""
SQUID = f"""http_port 127.0.0.1:{PROXY_PORT}
cache deny all
cache_mem 16 MB
access_log none
cache_log /dev/null
pinger_enable off
coredump_dir /tmp
"""
HELPER = """external_acl_type decision ttl=3 negative_ttl=3 cache=262144 children-max=2 children-startup=2 \
children-idle=1 concurrency=256 ipv4 %SRC %DST %ssl::>sni %PORT /usr/bin/python3 -m kepil.gateway.helper \
--policy {0}/policy.json --table {0}/categories.mdb --blocked {0}/blocked
acl open external decision http pass
http_access allow open
http_access deny all
"""


def name(number: int) -> str:
    """A listed name."""
    return f"host{number}.example{number % 977}.com"


def networks(organisation: int) -> list[IPv4Network]:
    """The networks of an organisation."""
    first = int(IPv4Address("10.0.0.0")) + organisation * NETWORKS_EACH * 16
    return [IPv4Network((first + each * 16, 28)) for each in range(NETWORKS_EACH)]


def bins() -> Iterator[str]:
    """Business identification numbers whose check digits are right."""
    return (text for number in range(180540000000, 180560000000) if is_identification_number(text := str(number)))


def write_inputs(folder: Path, organisations: int, names: int) -> None:
    """Policy, and the same in the words of Squid and nftables."""
    today = datetime.now(UTC).date()
    number_of = bins()
    application = {"sha256": "0" * 64, "dated": today, "received": today}
    stated = {
        f"org{each}": {
            "name": f"Organisation {each}",
            "bin": next(number_of),
            "operator": "telecom",
            "contact": "it@example.kz",
            "networks": [str(network) for network in networks(each)],
            "categories": ALLOWED,
            "valid_from": today,
            "valid_until": date.fromordinal(today.toordinal() + 300),
            "application": application,
        }
        for each in range(organisations)
    }
    whole = {"organisations": stated, "catalogue": (), "categories": STATED["gateway_categories"]}
    write_policy(folder / "policy.json", PolicyFile.model_validate(whole))
    for position, category in enumerate(LISTED):
        chosen = range(position, names, len(LISTED))
        (folder / f"{category}.txt").write_text("".join(f".{name(each)}\n" for each in chosen))
    lines = [f'acl {category} dstdomain "{folder}/{category}.txt"' for category in LISTED]
    for each in range(organisations):
        lines.append(f"acl org{each} src {' '.join(map(str, networks(each)))}")
        lines += [f"http_access allow org{each} {category}" for category in ALLOWED]
    (folder / "lists.conf").write_text(SQUID + "\n".join([*lines, "http_access deny all", ""]))
    (folder / "kepil.conf").write_text(SQUID + HELPER.format(folder))
    (folder / "open.conf").write_text(SQUID + "http_access allow all\n")
    sets = [
        f"set org{each} {{ type ipv4_addr; flags interval, timeout;"
        f" elements = {{ {', '.join(f'{network} timeout 300d' for network in networks(each))} }} }}"
        for each in range(organisations)
    ]
    rules = [f"ip saddr @org{each} accept" for each in range(organisations)]
    chain = ["chain users { type filter hook prerouting priority mangle;", *rules, "}"]
    (folder / "sets.nft").write_text("\n".join(["table inet theirs {", *sets, *chain, "}", ""]))
    write_inventory(folder / "inventories", stated)


def write_inventory(folder: Path, stated: dict[str, dict[str, Any]]) -> None:
    """The same as people keep it: a file an organisation, and a catalogue of as many other users."""
    settings = {"gateway_operators": {"telecom": {"email": "it@example.kz", "networks": ["10.0.0.0/8"]}}}
    for place, variables in (("common", STATED), (ENVIRONMENT, settings)):
        path = folder / place / "group_vars/gateway/gateway.yml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(variables, allow_unicode=True))
    for place in ("organisations", "catalogue"):
        (folder / ENVIRONMENT / place).mkdir()
    for identity, each in stated.items():
        plain = json.loads(json.dumps(each, default=str))  # or YAML would point at what occurs twice
        text = yaml.dump(plain, Dumper=yaml.CSafeDumper)
        (folder / ENVIRONMENT / "organisations" / f"{identity}.yml").write_text(text)
    others = [(networks(number)[0], each["bin"]) for number, each in enumerate(stated.values(), start=len(stated))]
    lines = ["network,bin,name", *(f"{network},{number},Another" for network, number in others)]
    (folder / ENVIRONMENT / "catalogue/telecom.csv").write_text("\n".join(lines) + "\n")


def child(task: str, folder: Path, names: int) -> None:
    """One thing to do, in a process of its own, which is measured."""
    if task == "read":
        stated = read_policy_file(folder / "inventories", ENVIRONMENT)
        Policy.of(stated)
        write_policy(folder / "read.json", stated)
    elif task == "build":
        listed = ((name(each), LISTED[each % len(LISTED)]) for each in range(names))
        build(folder / "categories.mdb", listed, {}, CATEGORIES)
    elif task == "load":
        policy = read_policy(folder / "policy.json")
        assert Table(folder / "categories.mdb", policy.categories).find(name(0))[1]
    elif task == "elements":
        policy, now = read_policy(folder / "policy.json"), datetime.now(UTC)
        (folder / "ours.nft").write_text(SKELETON + script(elements(policy, (), now), now + timedelta(seconds=1)))


@contextmanager
def squid(configuration: Path) -> Iterator[tuple[float, float]]:
    """Squid under a configuration: seconds until it answers, and the memory of it and its children then, in MB."""
    began = time.monotonic()
    process = subprocess.Popen(["squid", "-N", "-f", str(configuration)], stderr=subprocess.DEVNULL)
    try:
        while not common.listens(PROXY_PORT):
            if process.poll() is not None:
                raise RuntimeError(f"squid under {configuration} ended with {process.returncode}")
            time.sleep(0.02)
        fetch(1, "10.0.0.1")  # helpers have read their policy when they answer
        took = time.monotonic() - began
        yield took, sum(proportional(pid) for pid in (process.pid, *children(process.pid)))
    finally:
        process.terminate()
        process.wait()
        time.sleep(1)


def children(parent: int) -> list[int]:
    """Processes that a process started."""
    return [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def proportional(pid: int) -> float:
    """A process's part of memory (PSS), in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def fetch(count: int, source: str) -> list[float]:
    """Fetch from as many sites through Squid, one after the other; milliseconds each."""
    taken = []
    connection = http.client.HTTPConnection("127.0.0.1", PROXY_PORT, source_address=(source, 0))
    for each in range(count):
        began = time.perf_counter()
        connection.request("GET", f"http://{name(each * len(LISTED))}/")
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{name(each * len(LISTED))}: {answer.status}")
    return taken


def origin() -> None:
    """An origin that answers everything, for ever."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with socket.create_server((ORIGIN, 80), backlog=128) as listener:
        while True:
            stream, _ = listener.accept()
            Thread(target=_answer, args=(stream, answer), daemon=True).start()


def _answer(stream: socket.socket, answer: bytes) -> None:
    with stream:
        while stream.recv(65536):
            stream.sendall(answer)


def compare(folder: Path, organisations: int, names: int, requests: int) -> None:
    """Measure both, and print tables."""
    write_inputs(folder, organisations, names)
    own = (sys.executable, "-m", "tests.bench.gateway", "--names", str(names), "--folder", str(folder), "--child")
    rows = []
    for task, title in (
        ("read", "organisations' files and the catalogue, checked against each other, on the controller"),
        ("build", "names into a table, on the controller"),
        ("load", "policy and table, as each helper loads them"),
        ("elements", "elements of nftables' sets, made"),
    ):
        wall, processor, memory = measure(folder, *own, task)
        rows.append([f"Kepil: {title}", f"{wall:.2f}", f"{processor:.2f}", f"{memory:.0f}"])
    for file, title in (
        ("ours.nft", "Kepil: one set, loaded"),
        ("sets.nft", "nftables: a set and a rule each, loaded"),
    ):
        wall, processor, memory = measure(folder, "nft", "-f", file)
        rows.append([title, f"{wall:.2f}", f"{processor:.2f}", f"{memory:.0f}"])
    size = f"{organisations} organisations, {names} names, {common.load_average()}"
    common.table(f"Load: {size}", ["what", "seconds", "processor seconds", "most memory, MB"], rows)
    rows = []
    for file, rules, title in (
        ("open", None, "open to all, no firewall"),
        ("kepil", "ours", "Kepil's helper and set"),
        ("lists", None, "its own lists, no firewall"),
        ("lists", "sets", "its own lists, a set and a rule each"),
    ):
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        if rules:
            subprocess.run(["nft", "-f", folder / f"{rules}.nft"], check=True)
        with squid(folder / f"{file}.conf") as (took, memory):
            for which, number in (("first", 0), ("last", organisations - 1)):
                steps = quantiles(fetch(requests, str(networks(number)[0][1])), n=100)
                figures = [f"{took:.1f}", f"{memory:.0f}", f"{steps[49]:.2f}", f"{steps[98]:.2f}"]
                rows.append([f"Squid, {title}", which, *figures])
    heads = ["proxy", "organisation that asks", "seconds to its first answer", "memory, MB", "p50 ms", "p99 ms"]
    common.table(f"{requests} requests, each for another name: {size}", heads, rows)


def main() -> None:
    """Run the comparison, or one child of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organisations", type=int, default=5000)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child, given.folder, given.names)
        return
    for address in (ORIGIN, *(str(networks(each)[0][1]) for each in (0, given.organisations - 1))):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    with Path("/etc/hosts").open("a") as hosts:
        hosts.writelines(f"{ORIGIN} {name(each * len(LISTED))}\n" for each in range(given.requests))
    Thread(target=origin, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - Squid's account reads it
        compare(Path(folder), given.organisations, given.names, given.requests)


if __name__ == "__main__":
    main()
