#!/usr/bin/env python3
"""descriptors.py KIND COMMAND...: runs COMMAND with a socket as descriptor 3 and talks to it there.

pair: one end of a socketpair. tcp, listen, datagram: what their names say. Writes "question\n", ends
its direction, prints what comes back; the status is the command's.
"""
import os
import socket
import subprocess
import sys

kind, command = sys.argv[1], sys.argv[2:]
near = None
if kind == "pair":
    near, far = socket.socketpair()
elif kind == "datagram":
    near, far = socket.socketpair(type=socket.SOCK_DGRAM)
else:
    listener = socket.create_server(("127.0.0.1", 0))
    far = listener
    if kind == "tcp":
        near = socket.create_connection(listener.getsockname())
        far = listener.accept()[0]
if kind == "listen-fds":
    near, far = socket.socketpair()
os.dup2(far.fileno(), 3, inheritable=True)


def prepare():
    if kind == "listen-fds":
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))


child = subprocess.Popen(command, pass_fds=[3], preexec_fn=prepare, stdin=subprocess.DEVNULL)
far.close()
os.close(3)
if near is not None and kind != "datagram":
    near.sendall(b"question\n")
    near.shutdown(socket.SHUT_WR)
    while data := near.recv(65536):
        sys.stdout.buffer.write(data)
    sys.stdout.flush()
sys.exit(child.wait())
