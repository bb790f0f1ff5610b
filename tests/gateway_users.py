"""Users who ask through a gateway, and what they are answered (molecule/gateway/files/ask.py)."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from asn1crypto import x509

INSPECTION = "/etc/kepil/gateway/inspection/ca.crt"


@dataclass(frozen=True)
class Gateway:
    """The gateway, with the users before it and the origins behind it."""

    host: Any
    users: dict[str, str]
    origins: dict[str, str]
    sites: dict[str, str]
    exempt: frozenset[str]
    """The categories that GW-20 excepts."""

    def ask(self, *questions: dict[str, Any]) -> list[dict[str, Any]]:
        """What users are answered, all asking at once. Unless a question says otherwise the enrolled one asks, and the
        good origin is asked."""
        full = [{"source": self.users["enrolled"], "address": self.origins["good"], **each} for each in questions]
        command = f"printf %s {shlex.quote(json.dumps(full))} | ip netns exec users python3 /srv/ask.py"
        answers: list[dict[str, Any]] = json.loads(self.host.check_output(command))
        return answers

    def certificate(self, name: str) -> str:
        """What an origin shows for a site, or always (`expired`, ...): DER, hexadecimal."""
        return ssl.PEM_cert_to_DER_cert(self.host.file(f"/srv/tls/{name}.crt").content_string).hex()

    def issued(self, certificate: str | None) -> bool:
        """Whether the gateway's inspection CA issued a certificate."""
        if certificate is None:
            return False
        pem = ssl.DER_cert_to_PEM_cert(bytes.fromhex(certificate))
        return bool(
            self.host.run(f"openssl verify -no-CApath -no-CAstore -CAfile {INSPECTION} <<'END'\n{pem}END").rc == 0
        )

    def passes(self) -> bool:
        """Whether an enrolled user gets an inspected page."""
        (answer,) = self.ask({"name": self.sites["news"]})
        return bool(answer["status"] == 200)

    def apply_policy(self) -> None:
        """Bring the kernel to what the policy says, whatever a test did to it."""
        self.host.check_output("rm -f /run/kepil-gateway/applied && systemctl start kepil-gateway-apply.service")


@contextmanager
def proxy_ports(host: Any) -> Iterator[Callable[[range], None]]:
    """State from which ports a gateway's programs ask where the kernel chooses; afterwards they are as before."""
    setting = "net.ipv4.ip_local_port_range"
    before = host.check_output(f"sysctl -n {setting}")

    def choose(ports: range) -> None:
        host.check_output(f"sysctl -w {setting}='{ports[0]} {ports[-1]}'")

    try:
        yield choose
    finally:
        host.check_output(f"sysctl -w {setting}='{before}'")


def eventually(condition: Callable[[], bool], seconds: float = 60) -> float:
    """Wait for a condition; how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.3)
    return time.monotonic() - began


def counted(gateway: Gateway, comment: str) -> int:
    """Packets that the gateway's rules with a comment met."""
    listing = gateway.host.check_output("nft list table inet gateway")
    return sum(int(n) for n in re.findall(rf'counter packets (\d+) .*comment "{re.escape(comment)}"', listing))


def opened_during(gateway: Gateway, change: str, **further: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """What users were answered, by kind, who began while a command ran on the gateway: twelve at a time, from before it
    until after it, 150 at most."""
    kinds: dict[str, dict[str, Any]] = {
        "inspected": {"name": gateway.sites["news"]},
        "spliced": {"name": gateway.sites["finance"]},
        "routed": {"port": 8022},
        **further,
    }
    answers: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    asked = list(kinds) * (12 // len(kinds))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(gateway.host.check_output, change)
        last = False
        while not last and sum(map(len, answers.values())) + len(asked) <= 150:
            last = done.done()
            for kind, answer in zip(asked, gateway.ask(*(kinds[kind] for kind in asked)), strict=True):
                answers[kind].append(answer)
        done.result()
    return answers


def flood(gateway: Gateway, port: int, count: int) -> None:
    """First packets of connections from the enrolled user to the good origin."""
    source, address = gateway.users["enrolled"], gateway.origins["good"]
    gateway.host.check_output(f"ip netns exec users python3 /srv/flood.py {source} {address} {port} {count}")


def digest(certificate: str | None) -> str:
    """A certificate in few letters, for messages."""
    return hashlib.sha256(bytes.fromhex(certificate)).hexdigest()[:16] if certificate else "none"


def named(certificate: str) -> str:
    """Whose a certificate is, and who issued it, for messages."""
    read = x509.Certificate.load(bytes.fromhex(certificate))
    return f"{read.subject.human_friendly}, by {read.issuer.human_friendly}"
