#!/usr/bin/env python3
"""A name server for tests, on the lab's host: dns_server.py ADDRESS, port 53, UDP and TCP.

NAME.lab.test is ADDRESS; big.lab.test has 1200 bytes of text, which over UDP needs EDNS; what ends
in .slow.test gets no answer; everything else does not exist.
"""
import socket
import struct
import sys
import threading


def name_of(data):
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("ascii", "replace").lower())
        at += 1 + data[at]
    return ".".join(labels), at + 5


def answer(data, address, limit):
    name, end = name_of(data)
    kind = struct.unpack(">H", data[end - 4:end - 2])[0]
    records = b""
    count = code = 0
    if name.endswith(".slow.test"):
        return None
    if name == "big.lab.test":
        if kind == 16:
            text = b"".join(b"\xc8" + b"x" * 200 for _ in range(6))
            records, count = struct.pack(">HHHIH", 0xC00C, 16, 1, 60, len(text)) + text, 1
    elif name.endswith(".lab.test"):
        if kind == 1:
            records = struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address)
            count = 1
    else:
        code = 3
    flags = 0x8180 | code
    if end + len(records) > limit:
        records, count, flags = b"", 0, flags | 0x0200
    return data[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + data[12:end] + records


def udp_limit(data):
    """What the question's EDNS allows (RFC 6891): the OPT record is the last one."""
    _, end = name_of(data)
    if len(data) >= end + 11 and data[end:end + 3] == b"\0\0\x29":
        return struct.unpack(">H", data[end + 3:end + 5])[0]
    return 512


def read_full(peer, length):
    data = b""
    while len(data) < length:
        more = peer.recv(length - len(data))
        if not more:
            return None
        data += more
    return data


def serve_peer(peer, address):
    with peer:
        while (head := read_full(peer, 2)) and (data := read_full(peer, head[0] << 8 | head[1])):
            reply = answer(data, address, 65535)
            if reply:
                peer.sendall(struct.pack(">H", len(reply)) + reply)


def serve_tcp(address):
    listener = socket.create_server((address, 53), backlog=64)
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=serve_peer, args=(peer, address), daemon=True).start()


def main():
    address = sys.argv[1]
    threading.Thread(target=serve_tcp, args=(address,), daemon=True).start()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    udp.bind((address, 53))
    while True:
        data, peer = udp.recvfrom(65535)
        reply = answer(data, address, udp_limit(data))
        if reply:
            udp.sendto(reply, peer)


main()
