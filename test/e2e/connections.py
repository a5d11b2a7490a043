#!/usr/bin/env python3
"""Connections to a web server: in a row, at the same time, and a storm that it need not survive well.

connections.py HOST PORT KIND...: sequential, held, storm; fails when one of the first two kinds gets
no answer; says how long each took. The storm opens sockets without waiting for any, and drops them.
"""
import os
import resource
import selectors
import socket
import sys
import time

SEQUENTIAL, HELD, STORM, LIMIT = 1000, 10000, 4000, 120
# So many connections are begun, and so many questions asked, before the first of them is answered:
# fewer than the queues on the way hold (a TAP has room for 1000 packets), because an emulated guest
# takes so long that what overflows must be sent again many times.
WINDOW = 200
REQUEST = b"GET /small HTTP/1.0\r\n\r\n"
# An answer that needs no file, after which the connection stays.
REQUEST_HELD = b"GET /held HTTP/1.1\r\nHost: held\r\n\r\n"


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


def in_windows(peers, event, begin, goes_on):
    """begin(peer) for each, WINDOW of them at a time; then goes_on(peer) at the event while it is true."""
    rest, left = iter(peers), len(peers)
    with selectors.DefaultSelector() as waiting:
        while left:
            while len(waiting.get_map()) < WINDOW and (peer := next(rest, None)):
                begin(peer)
                waiting.register(peer, event)
            ready = waiting.select(LIMIT)
            if not ready:
                sys.exit(f"{left} of {len(peers)} connections hang")
            for key, _ in ready:
                if not goes_on(key.fileobj):
                    waiting.unregister(key.fileobj)
                    left -= 1


def connected(peer):
    if error := peer.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        sys.exit(f"a connection fails: {os.strerror(error)}")


def held(address):
    """All are open at the same time: none is closed before all have had their second answer."""
    begin = time.monotonic()
    peers = [socket.socket() for _ in range(HELD)]
    for peer in peers:
        peer.setblocking(False)
    in_windows(peers, selectors.EVENT_WRITE, lambda peer: peer.connect_ex(address), connected)
    say("connected", HELD, begin)
    for time_of_asking in ("the first time", "again, all being open"):
        begin = time.monotonic()
        answers = dict.fromkeys(peers, b"")

        def incomplete(peer):
            answers[peer] += (data := peer.recv(4096))
            if data and not answers[peer].endswith(b"\r\n\r\nheld\n"):
                return True
            if not data or not answers[peer].startswith(b"HTTP/1.1 200 "):
                sys.exit(f"a wrong answer: {answers[peer]!r}")
            return False

        in_windows(peers, selectors.EVENT_READ, lambda peer: peer.send(REQUEST_HELD), incomplete)
        say(f"answered {time_of_asking}", HELD, begin)
    for peer in peers:
        peer.close()


def storm(address):
    begin = time.monotonic()
    for _ in range(STORM):
        with socket.socket() as peer:
            peer.setblocking(False)
            peer.connect_ex(address)
    say("begun and dropped", STORM, begin)


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (HELD + 100, HELD + 100))
    address = (sys.argv[1], int(sys.argv[2]))
    for kind in sys.argv[3:]:
        {"sequential": sequential, "held": held, "storm": storm}[kind](address)


if __name__ == "__main__":
    main()
