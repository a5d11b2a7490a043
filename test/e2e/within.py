#!/usr/bin/env python3
"""Both sides of a test of connections.

within.py serve: an echo by TCP on port 7, one by UDP on port 9, and 1 MB for whoever connects to port 80.
within.py ask ADDRESS...: uses them, and a port that is not served; says what came of it.
"""
import socket
import socketserver
import sys
import threading

LIMIT = 30
LARGE = bytes(range(256)) * 4096
DATAGRAM = b"datagram " * 500


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class EchoDatagram(socketserver.BaseRequestHandler):
    def handle(self):
        data, listener = self.request
        listener.sendto(data, self.client_address)


class Give(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(LARGE)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


def serve():
    servers = [Server(("", 7), Echo), socketserver.UDPServer(("", 9), EchoDatagram), Server(("", 80), Give)]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()


def all_of(peer):
    return b"".join(iter(lambda: peer.recv(65536), b""))


def ask(address):
    with socket.create_connection((address, 80), LIMIT) as peer:
        print(address, "gives all:", all_of(peer) == LARGE)
    with socket.create_connection((address, 7), LIMIT) as peer:

        def send():
            peer.sendall(LARGE)
            peer.shutdown(socket.SHUT_WR)

        threading.Thread(target=send).start()
        print(address, "echoes all:", all_of(peer) == LARGE)
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.settimeout(LIMIT)
        peer.connect((address, 9))
        peer.send(DATAGRAM)
        print(address, "echoes a datagram:", peer.recv(65536) == DATAGRAM)
        peer.connect((address, 10))
        peer.send(DATAGRAM)
        try:
            peer.recv(1)
        except OSError as error:
            print(address, "port 10:", error.strerror)
    try:
        socket.create_connection((address, 81), LIMIT)
    except OSError as error:
        print(address, "port 81:", error.strerror)


if sys.argv[1] == "serve":
    serve()
else:
    for name in sys.argv[2:]:
        ask(name)
