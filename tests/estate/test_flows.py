"""Between every two hosts, what is declared opens and nothing else does: real packets, seen on both ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from kepil.estate.firewall import listeners
from kepil.estate.model import Estate, Host
from tests.estate.everywhere import everywhere, run

HERE = Path(__file__).parent
PROBE = (HERE / "probe.py").read_text(encoding="utf-8")
WITNESS = (HERE / "witness.nft").read_text(encoding="utf-8")
WELL_KNOWN = {(protocol, port) for protocol in ("tcp", "udp") for port in range(1, 1024 + 1)}
MARK = 4242
"""Packets with this mark leave a host that was broken into, whatever its rules say."""
# The file's flush would take away what other roles keep.
AS_BEFORE = """{ echo 'delete table inet witness; delete table inet estate'
grep -v '^flush ruleset$' /etc/nftables.conf; } | nft --file -"""
UNANSWERED = {("udp", 3780)}
"""What is told and not asked: gateways keep each other's connections in step, and answer nobody else."""
PATIENT, BRIEF = 10.0, 1.0
"""Seconds to wait for connections that should open, and for those that should not."""


class Packet(NamedTuple):
    """The first packet of a connection."""

    source: str
    protocol: str
    destination: str
    port: int

    def __str__(self) -> str:
        return f"{self.source} -> {self.destination} {self.protocol}/{self.port}"


class Field:
    """The hosts of the estate that have a network, and what may pass between them."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.hosts = [host for host in estate.members("all") if host.address]
        self.named = {
            str(address): host.name for host in self.hosts for address in (host.address, *host.links.values())
        }
        flows = set(self._flows())
        # What becomes of users' packets is the gateways' to decide (GW-15), as journeys show: they may, and need not.
        self.decided = {packet for packet in flows if self.by_gateway(packet)} | set(self._taken())
        self.flows = flows - self.decided
        self.allowed = self.flows | self.decided
        self.declared = self.flows | {Packet(p.source, "icmp", p.destination, 1) for p in self.flows}
        listening = everywhere(self.hosts, self._listening)
        self.ports = {("icmp", 1)} | {(p.protocol, p.port) for p in self.allowed} | set().union(*listening.values())

    def _flows(self) -> Iterator[Packet]:
        for source in self.hosts:
            for rule in self.estate.rules(source):
                if rule.direction != "out" or rule.port is None:  # VRRP is shown by role gateway's own scenario
                    continue
                for host in self.hosts:
                    address = host.towards(source.zone)
                    if host is not source and any(address in network for network in rule.peers):
                        yield Packet(source.name, rule.protocol, host.name, rule.port)

    def _taken(self) -> Iterator[Packet]:
        """What gateways let in from users, whoever it is for."""
        for flow in self.estate.flows:
            for source in self.estate.members(flow.source) if flow.on_the_way_to else ():
                for host in self.estate.members(flow.destination):
                    yield Packet(source.name, flow.protocol, host.name, flow.port or 0)

    def by_gateway(self, packet: Packet) -> bool:
        """Whether a packet goes by way of a gateway, or to one from a user."""
        source, destination = (self.estate.hosts[name] for name in (packet.source, packet.destination))
        return destination.zone in source.routes or (
            "organisation" in source.groups and "gateway" in destination.groups
        )

    def _listening(self, host: Host) -> set[tuple[str, int]]:
        found = listeners(run(self.estate, host, "ss", "-Hlntup"))
        return {(socket.protocol, socket.port) for socket in found if not socket.local}

    def between(self, ports: Iterable[tuple[str, int]], *distances: int) -> set[Packet]:
        """Packets from every host to each other one, or to those that stand so far after it in the list."""
        count = len(self.hosts)
        return {
            Packet(source.name, protocol, self.hosts[(at + distance) % count].name, port)
            for at, source in enumerate(self.hosts)
            for distance in distances or range(1, count)
            for protocol, port in ports
        }

    def attempt(self, packets: set[Packet], patience: float, mark: int = 0) -> dict[Packet, str]:
        """What becomes of each, all hosts at once."""

        def from_one(host: Host) -> dict[Packet, str]:
            mine = sorted(packet for packet in packets if packet.source == host.name)
            hosts = self.estate.hosts
            targets = [(each.protocol, str(hosts[each.destination].towards(host.zone)), each.port) for each in mine]
            order = json.dumps({"targets": targets, "mark": mark, "patience": patience})
            return dict(zip(mine, json.loads(run(self.estate, host, "python3", "-c", PROBE, given=order)), strict=True))

        answers: dict[Packet, str] = {}
        for found in everywhere(self.hosts, from_one).values():
            answers |= found
        return answers

    def witnessed(self, what: str) -> set[Packet]:
        """New TCP and UDP connections that hosts noted in a set of `witness.nft`; outgoing ones are tried and sent."""

        def by_one(host: Host) -> set[Packet]:
            listed = json.loads(run(self.estate, host, "nft", "--json", "list", "set", "inet", "witness", what))
            seen = [element["concat"] for element in listed["nftables"][-1]["set"].get("elem", [])]
            others = [(protocol, self.named.get(address, address), port) for protocol, address, port in seen]
            if what in ("tried", "sent"):
                return {Packet(host.name, protocol, other, port) for protocol, other, port in others}
            return {Packet(other, protocol, host.name, port) for protocol, other, port in others}

        return set().union(*everywhere(self.hosts, by_one).values())

    def on_all(self, *command: str, given: str = "") -> None:
        """Run a command on every host."""
        everywhere(self.hosts, lambda host: run(self.estate, host, *command, given=given))

    def break_in(self) -> None:
        """Let packets with the mark leave every host, as if it had been broken into; the witness ends that."""
        self.on_all("nft", f"insert rule inet estate output meta mark {MARK} accept")


@pytest.fixture(scope="module")
def field(estate: Estate) -> Field:
    return Field(estate)


@pytest.fixture(autouse=True)
def witness(field: Field) -> Iterator[Callable[[str], set[Packet]]]:
    """Note what passes; afterwards each host has the rules of its file again and no others."""
    try:
        field.on_all("nft", "--file", "-", given=WITNESS)
        yield field.witnessed
    finally:
        field.on_all("sh", "-c", AS_BEFORE)


def none_of(packets: set[Packet], are: str) -> None:
    """There is no such packet; the first are named."""
    assert not packets, f"{len(packets)} {are}:\n" + "\n".join(map(str, sorted(packets)[:20]))


def opened(answers: dict[Packet, str]) -> set[Packet]:
    return {packet for packet, state in answers.items() if state == "open"}


def noted(packets: set[Packet]) -> set[Packet]:
    """Those that the witness notes."""
    return {packet for packet in packets if packet.protocol != "icmp"}


@pytest.mark.clause("CP-6.7")
def test_every_declared_flow_opens(field: Field, witness: Callable[[str], set[Packet]]) -> None:
    """TCP connects; UDP and echo requests are answered, or let in where nobody answers."""
    answers = field.attempt(field.declared, PATIENT)
    assert answers
    told = {packet for packet in field.declared if (packet.protocol, packet.port) in UNANSWERED}
    none_of(told - witness("admitted"), "were not let in, although declared")
    none_of(field.declared - told - opened(answers), "declared do not open")


@pytest.mark.clause("CP-6.7")
def test_a_host_sends_nothing_that_is_not_declared(field: Field, witness: Callable[[str], set[Packet]]) -> None:
    """Threat: a program on a host calls out. Each tries every used port of all others, and every well-known one of the
    next three."""
    packets = field.between(field.ports) | field.between(WELL_KNOWN, 1, 2, 3)
    answers = field.attempt(packets, BRIEF)
    none_of(noted(packets) - witness("tried"), "were never tried: the test proves nothing")
    sent = witness("sent")
    none_of(sent - field.allowed, "left their host, and no flow declares them")
    none_of(field.flows - sent, "did not leave their host, although declared")
    none_of(opened(answers) - field.declared - field.decided, "opened, and no flow declares them")


@pytest.mark.clause("CP-6.7")
def test_a_host_admits_nothing_that_is_not_declared(field: Field, witness: Callable[[str], set[Packet]]) -> None:
    """Threat: a host that was broken into reaches its neighbours. Past its own firewall, each tries every used port
    of all others, and every well-known one of the next."""
    packets = field.between(field.ports) | field.between(WELL_KNOWN, 1)
    field.break_in()
    answers = field.attempt(packets, BRIEF, MARK)
    unseen = {packet for packet in noted(packets) - witness("arrived") if not field.by_gateway(packet)}
    none_of(unseen, "never arrived: the test proves nothing")
    admitted = witness("admitted")
    none_of(admitted - field.allowed, "were let in, and no flow declares them")
    none_of(field.flows - admitted, "were not let in, although declared")
    none_of(opened(answers) - field.declared - field.decided, "opened, and no flow declares them")
