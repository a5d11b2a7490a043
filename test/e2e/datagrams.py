#!/usr/bin/env python3
"""Datagrams of every length.

datagrams.py serve: sends each back.
datagrams.py ask HOST FIRST-LAST[/STEP]...: sends one of each length in these ranges, bytes, and wants it
back as it was. Datagrams may get lost, but that is the exception: a few are sent again.
"""
import select
import socket
import sys

PORT, WAIT, LOST_MAX = 7, 5, 30
# On their way at a time: what a socket holds without asking for more.
COUNT_MAX, BYTES_MAX = 16, 100000
PATTERN = bytes((7 * i + 3) & 255 for i in range(65536 + 256))


def content(length):
    """Bytes that are others for each length, wherever they are."""
    begin = length % 251
    return PATTERN[begin : begin + length]


def serve():
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind(("", PORT))
        while True:
            data, client = listener.recvfrom(65536)
            listener.sendto(data, client)


def lengths(words):
    for word in words:
        bounds, _, step = word.partition("/")
        first, last = bounds.split("-")
        yield from range(int(first), int(last) + 1, int(step or 1))


def ask(host, words):
    rest, waiting, count, lost = list(lengths(words)), set(), 0, 0
    rest.reverse()
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect((host, PORT))
        while rest or waiting:
            while rest and len(waiting) < COUNT_MAX and sum(waiting) + rest[-1] <= BYTES_MAX:
                waiting.add(length := rest.pop())
                peer.send(content(length))
            if not select.select([peer], [], [], WAIT)[0]:
                lost += len(waiting)
                if lost > LOST_MAX:
                    sys.exit(f"{lost} datagrams got lost, the last of {sorted(waiting)} bytes")
                for length in waiting:
                    peer.send(content(length))
                continue
            data = peer.recv(65536)
            if data != content(len(data)):
                sys.exit(f"the datagram of {len(data)} bytes comes back changed")
            count += len(data) in waiting
            waiting.discard(len(data))
    print(f"{count} lengths; {lost} sent again")


if sys.argv[1] == "serve":
    serve()
else:
    ask(sys.argv[2], sys.argv[3:])
