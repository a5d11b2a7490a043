#!/usr/bin/env python3
"""Connections to a web server: in a row, side by side, and a storm that it need not survive well.

connections.py HOST PORT KIND...: sequential, parallel, storm; fails when one of the first two kinds
gets no answer; says how long each took. The storm opens sockets without waiting for any, and drops
them.
"""
import selectors
import socket
import sys
import time

SEQUENTIAL, PARALLEL, STORM, LIMIT = 1000, 500, 4000, 120
REQUEST = b"GET /small HTTP/1.0\r\n\r\n"


def say(what, count, begin):
    print(f"{count} connections {what}: {time.monotonic() - begin:.1f} s", flush=True)


def sequential(address):
    begin = time.monotonic()
    for _ in range(SEQUENTIAL):
        with socket.create_connection(address, LIMIT) as peer:
            peer.sendall(REQUEST)
            answer = b""
            while data := peer.recv(4096):
                answer += data
            if not answer.endswith(b"small\n"):
                sys.exit(f"a wrong answer: {answer!r}")
    say("in a row", SEQUENTIAL, begin)


def start(address):
    peer = socket.socket()
    peer.setblocking(False)
    peer.connect_ex(address)
    return peer


def parallel(address):
    """All are open at the same time: nobody asks before all are connected."""
    begin = time.monotonic()
    peers = [start(address) for _ in range(PARALLEL)]
    for event in (selectors.EVENT_WRITE, selectors.EVENT_READ):
        with selectors.DefaultSelector() as waiting:
            for peer in peers:
                waiting.register(peer, event)
            while waiting.get_map():
                ready = waiting.select(LIMIT)
                if not ready:
                    sys.exit(f"{len(waiting.get_map())} of {PARALLEL} connections hang")
                for key, _ in ready:
                    waiting.unregister(key.fileobj)
        if event == selectors.EVENT_WRITE:
            for peer in peers:
                peer.send(REQUEST)
    for peer in peers:
        peer.setblocking(True)
        if not (answer := peer.recv(4096)).startswith(b"HTTP/1.1 200"):
            sys.exit(f"a wrong answer: {answer!r}")
        peer.close()
    say("side by side", PARALLEL, begin)


def storm(address):
    begin = time.monotonic()
    for _ in range(STORM):
        start(address).close()
    say("begun and dropped", STORM, begin)


def main():
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    address = (sys.argv[1], int(sys.argv[2]))
    for kind in sys.argv[3:]:
        {"sequential": sequential, "parallel": parallel, "storm": storm}[kind](address)


if __name__ == "__main__":
    main()
