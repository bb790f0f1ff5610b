"""Runs on a host of the estate: tries many connections at once and tells what became of each.

Standard input: {"targets": [[protocol, address, port], ...], "mark": number, "patience": seconds}. Protocols are tcp,
udp and icmp, whose port means nothing. Standard output: for each target open, silent, or an error's name.
"""

from __future__ import annotations

import errno
import json
import resource
import secrets
import select
import socket
import struct
import sys
import time

AT_ONCE = 4000
STEP, PAUSE_SECONDS = 50, 0.01
"""So many packets go out between two pauses: all hosts share a kernel, which drops what it has no time to pass on."""
KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "icmp": (socket.SOCK_RAW, socket.IPPROTO_ICMP),
}
TIME_REQUEST = b"\x23" + bytes(47)  # what an NTP server answers: version 4, mode client (RFC 5905 section 7.3)
ECHO_REQUEST, ECHO_REPLY = 8, 0  # RFC 792


def echo_request(identifier: int) -> bytes:
    """An echo request without data."""
    total = (ECHO_REQUEST << 8) + identifier
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, ~(total % 0xFFFF) & 0xFFFF, identifier, 0)


class Attempt:
    """One connection, or one question where the protocol knows no connections."""

    def __init__(self, protocol: str, address: str, port: int, mark: int) -> None:
        self.protocol, self.state = protocol, "silent"
        self.identifier = secrets.randbelow(2**16)
        self.socket = socket.socket(socket.AF_INET, *KINDS[protocol])
        self.socket.setblocking(False)
        if mark:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        try:
            self.socket.connect((address, port))
            if protocol != "tcp":
                self.socket.send(echo_request(self.identifier) if protocol == "icmp" else TIME_REQUEST)
        except (BlockingIOError, PermissionError):  # a connection under way; a datagram that the host's own rules drop
            pass
        except OSError as error:
            self.state = errno.errorcode[error.errno or 0]

    def hear(self) -> None:
        """Take what the kernel has to tell."""
        try:
            if self.protocol == "tcp":
                error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, "")
                self.state = "open"
            elif self.answered(self.socket.recv(2048)):
                self.state = "open"
        except BlockingIOError:
            pass
        except OSError as error:
            self.state = errno.errorcode[error.errno or 0]

    def answered(self, packet: bytes) -> bool:
        """Whether a packet is the answer; a raw socket hears everything that the other host sends it."""
        if self.protocol == "udp":
            return True
        kind, _, _, identifier = struct.unpack_from("!BBHH", packet, 4 * (packet[0] & 0x0F))
        return bool(kind == ECHO_REPLY and identifier == self.identifier)


def attempt(targets: list[tuple[str, str, int]], mark: int, patience: float) -> list[str]:
    """What becomes of each; waits until all have an answer, or until patience is at its end."""
    poll = select.epoll()
    attempts = []
    for start in range(0, len(targets), STEP):
        attempts += [Attempt(*target, mark) for target in targets[start : start + STEP]]
        time.sleep(PAUSE_SECONDS)
    waiting = {made.socket.fileno(): made for made in attempts if made.state == "silent"}
    for descriptor, made in waiting.items():
        poll.register(descriptor, select.EPOLLOUT if made.protocol == "tcp" else select.EPOLLIN)
    deadline = time.monotonic() + patience
    while waiting and (left := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left):
            waiting[descriptor].hear()
            if waiting[descriptor].state != "silent":
                poll.unregister(descriptor)
                del waiting[descriptor]
    for made in attempts:
        made.socket.close()
    return [made.state for made in attempts]


def main() -> None:
    """Entry point."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    order = json.load(sys.stdin)
    targets = [tuple(target) for target in order["targets"]]
    states: list[str] = []
    for start in range(0, len(targets), AT_ONCE):
        states += attempt(targets[start : start + AT_ONCE], order["mark"], order["patience"])
    json.dump(states, sys.stdout)


if __name__ == "__main__":
    main()
