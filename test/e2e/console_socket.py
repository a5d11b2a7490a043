#!/usr/bin/env python3
"""What an engine does with a terminal: listens on SOCKET, takes the terminal's master, plays a user.

    console_socket.py SOCKET [--size ROWSxCOLUMNS]

Writes "listening", and then what the terminal gives, to stdout; what comes on stdin is typed. On
stderr: the message and the number of descriptors. Ends at the end of the terminal.
"""
import array
import fcntl
import os
import select
import socket
import struct
import sys
import termios


def main():
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(sys.argv[1])
    listener.listen(1)
    print("listening", file=sys.stderr, flush=True)
    peer, _ = listener.accept()
    data, control, flags, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4 * 4))
    fds = array.array("i")
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
    rest = peer.recv(1)
    raw = not termios.tcgetattr(fds[0])[1] & termios.OPOST
    print("message %s descriptors %d tty %d rest %d raw %d size %s" % (
        data.decode(), len(fds), os.isatty(fds[0]), len(rest), raw,
        "%dx%d" % struct.unpack("HHHH", fcntl.ioctl(fds[0], termios.TIOCGWINSZ, bytes(8)))[:2]),
        file=sys.stderr, flush=True)
    if "--size" in sys.argv:
        rows, columns = map(int, sys.argv[sys.argv.index("--size") + 1].split("x"))
        fcntl.ioctl(fds[0], termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    sources = [fds[0], 0]
    while True:
        for source in select.select(sources, [], [])[0]:
            try:
                chunk = os.read(source, 65536)
            except OSError:  # EIO: the other side is closed
                chunk = b""
            if source == fds[0]:
                if not chunk:
                    return
                os.write(1, chunk)
            elif chunk:
                os.write(fds[0], chunk)
            else:
                sources.remove(0)


main()
