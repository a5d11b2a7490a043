#!/usr/bin/env python3
"""Asks 127.0.0.11 in the ways that programs do, and prints what comes back: one line a question.

dns_client.py {udp|tcp|mapped|edns|loose} NAME TYPE ..., or dns_client.py many COUNT NAME
"""
import select
import socket
import struct
import sys
import time

SERVER = ("127.0.0.11", 53)
TYPES = {"A": 1, "PTR": 12, "TXT": 16, "AAAA": 28}
CODES = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN"}


def question(name, kind, number, edns=False):
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    data = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, int(edns)) + labels + b"\0"
    data += struct.pack(">HH", TYPES[kind], 1)
    return data + (b"\0\0\x29" + struct.pack(">HIH", 4096, 0, 0) if edns else b"")


def skip_name(data, at):
    while data[at]:
        if data[at] >= 0xC0:
            return at + 2
        at += 1 + data[at]
    return at + 1


def describe(data):
    _, flags, asked, answers = struct.unpack(">HHHH", data[:8])
    at, seen = 12, []
    for _ in range(asked):
        at = skip_name(data, at) + 4
    for _ in range(answers):
        at = skip_name(data, at)
        kind, _, _, length = struct.unpack(">HHIH", data[at:at + 10])
        at += 10
        value = data[at:at + length]
        seen.append(socket.inet_ntoa(value) if kind == 1 else f"type {kind}, {length} bytes")
        at += length
    truncated = " truncated" if flags & 0x0200 else ""
    return CODES.get(flags & 15, str(flags & 15)) + truncated + "".join(" " + s for s in seen)


def read_full(peer, length):
    data = b""
    while len(data) < length:
        more = peer.recv(length - len(data))
        if not more:
            raise ConnectionError("end of the connection")
        data += more
    return data


def ask(way, name, kind):
    data = question(name, kind, 4711, way == "edns")
    family = socket.AF_INET6 if way == "mapped" else socket.AF_INET
    server = ("::ffff:127.0.0.11", 53) if way == "mapped" else SERVER
    with socket.socket(family, socket.SOCK_STREAM if way == "tcp" else socket.SOCK_DGRAM) as peer:
        peer.settimeout(60)
        if way in ("loose", "mapped"):
            peer.sendto(data, server)
            reply, sender = peer.recvfrom(65535)
            if sender[:2] != server:
                return f"answered by {sender[0]} {sender[1]}"
        else:
            peer.connect(server)
            if peer.getpeername() != server:
                return f"connected to {peer.getpeername()}"
            peer.sendall((struct.pack(">H", len(data)) if way == "tcp" else b"") + data)
            if way == "tcp":
                reply = read_full(peer, struct.unpack(">H", read_full(peer, 2))[0])
            else:
                reply = peer.recv(65535)
    return describe(reply) if reply[:2] == data[:2] else "the answer to another question"


def many(count, name):
    """As many questions at once, each on a socket of its own."""
    peers = []
    for number in range(count):
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.connect(SERVER)
        peer.send(question(name, "A", number))
        peers.append((number, peer))
    answers, end = {}, time.monotonic() + 60
    waiting = {peer: number for number, peer in peers}
    while waiting and time.monotonic() < end:
        for peer in select.select(list(waiting), [], [], 1)[0]:
            reply = peer.recv(65535)
            right = struct.unpack(">H", reply[:2])[0] == waiting.pop(peer)
            text = describe(reply) if right else "the answer to another question"
            answers[text] = answers.get(text, 0) + 1
    return " ".join(f"{n} times {text}" for text, n in answers.items())


def main(words):
    if words[0] == "many":
        print(many(int(words[1]), words[2]))
        return
    for way, name, kind in zip(words[::3], words[1::3], words[2::3]):
        print(way, name, kind, end=": ", flush=True)
        try:
            print(ask(way, name, kind))
        except OSError as reason:
            print(reason)


main(sys.argv[1:])
