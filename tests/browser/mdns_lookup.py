#!/usr/bin/env python3
"""tests/browser/mdns_lookup.py NAME.local ADDRESS: asks the network of this address for the name, prints what it is.

It asks once by multicast DNS (RFC 6762 section 5.1): whoever has the name answers to the port that asked. Exits with 1
if nobody does within two seconds.
"""

import socket
import struct
import sys

GROUP = ("224.0.0.251", 5353)
IPV4, INTERNET = 1, 1


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return struct.pack(">6H", 1, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", IPV4, INTERNET)


def after_name(data, at):
    """Where a name in a message ends: with an empty label, or with a pointer."""
    while 0 < data[at] < 0xC0:
        at += 1 + data[at]
    return at + (1 if data[at] == 0 else 2)


def addresses(data):
    questions, answers = struct.unpack_from(">2H", data, 4)
    at = 12
    for _ in range(questions):
        at = after_name(data, at) + 4
    for _ in range(answers):
        at = after_name(data, at)
        kind, _, _, length = struct.unpack_from(">HHIH", data, at)
        at += 10
        if kind == IPV4:
            yield socket.inet_ntoa(data[at : at + length])
        at += length


def main():
    name, own = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        link.bind((own, 0))
        link.settimeout(2)
        link.sendto(question(name), GROUP)
        try:
            found = list(addresses(link.recv(9000)))
        except TimeoutError:
            return 1
    print(*found)
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
