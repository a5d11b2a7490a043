#!/usr/bin/env python3
"""A user at a terminal: runs a command on a pseudo-terminal and follows the steps on stdin.

    terminal.py [--size ROWSxCOLUMNS] [--timeout SECONDS] -- COMMAND [ARGUMENT]...

Steps, one a line; empty lines and lines that begin with "#" are nothing:
    expect REGEX      wait until the screen's bytes since the last match match it
    send TEXT         type it; escapes as in Python: \\r is Enter, \\x03 Ctrl-C, \\x1b Escape
    retry TEXT REGEX  type the TEXT (spaces in it as \\x20) once a second until the REGEX matches:
                      for what comes true by itself, such as a size that the engine sets late
    resize ROWS COLUMNS
    run COMMAND       a shell command on the host, which must succeed
    status N          wait for the command's end; it must exit with N
    print REGEX       like expect, and writes what the first group matched to stdout
Ends with 0 when every step worked, else with 1 and the transcript on stderr.
"""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time


class Failed(Exception):
    pass


class Terminal:
    def __init__(self, command, rows, columns, timeout):
        self.transcript = b""
        self.seen = 0
        self.timeout = timeout
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.setdefault("TERM", "vt100")
            try:
                os.execvp(command[0], command)
            except OSError as error:
                print(f"{command[0]}: {error.strerror}")
                os._exit(127)

    def read(self, seconds):
        """Takes what is there; False at the end of the terminal."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # EIO: nobody holds the other side any more
            data = b""
        self.transcript += data
        return bool(data)

    def find(self, regex):
        match = regex.search(self.transcript, self.seen)
        if match:
            self.seen = match.end()
        return match

    def expect(self, pattern, seconds=None):
        regex = re.compile(pattern.encode(), re.S)
        deadline = time.monotonic() + (seconds or self.timeout)
        more = True
        while True:
            match = self.find(regex)
            if match:
                return match
            left = deadline - time.monotonic()
            if not more:
                raise Failed(f"the terminal ended before: {pattern}")
            if left <= 0:
                raise Failed(f"not seen in time: {pattern}")
            more = self.read(left)

    def retry(self, text, pattern):
        deadline = time.monotonic() + self.timeout
        while True:
            self.send(text)
            try:
                return self.expect(pattern, 1)
            except Failed:
                if time.monotonic() > deadline:
                    raise

    def send(self, text):
        data = codecs.decode(text.encode("latin-1", "backslashreplace"), "unicode_escape")
        data = data.encode("latin-1")
        while data:
            data = data[os.write(self.fd, data):]

    def resize(self, rows, columns):
        # The kernel sends SIGWINCH to the foreground process group of the terminal.
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def status(self, expected):
        deadline = time.monotonic() + self.timeout
        while True:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                raise Failed("the command has not ended in time")
        while self.read(0.2) and time.monotonic() < deadline:
            if not select.select([self.fd], [], [], 0)[0]:
                break
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code != expected:
            raise Failed(f"status {code}, expected {expected}")

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def follow(terminal, line):
    verb, _, rest = line.partition(" ")
    if verb == "expect":
        terminal.expect(rest)
    elif verb == "print":
        print(terminal.expect(rest).group(1).decode("utf-8", "replace"), flush=True)
    elif verb == "send":
        terminal.send(rest)
    elif verb == "retry":
        terminal.retry(*rest.split(" ", 1))
    elif verb == "resize":
        terminal.resize(*map(int, rest.split()))
    elif verb == "run":
        if subprocess.run(rest, shell=True, stdin=subprocess.DEVNULL).returncode:
            raise Failed("failed: " + rest)
    elif verb == "status":
        terminal.status(int(rest))
    else:
        raise Failed("unknown step: " + line)


def main():
    arguments = sys.argv[1:]
    rows, columns, timeout = 24, 80, 60
    while arguments and arguments[0] != "--":
        option = arguments.pop(0)
        if option == "--size":
            rows, columns = map(int, arguments.pop(0).split("x"))
        elif option == "--timeout":
            timeout = float(arguments.pop(0))
        else:
            sys.exit(f"terminal.py: unknown option {option}")
    steps = sys.stdin.read().splitlines()
    terminal = Terminal(arguments[1:], rows, columns, timeout)
    try:
        for line in steps:
            line = line.strip()
            if line and not line.startswith("#"):
                follow(terminal, line)
    except (Failed, OSError) as error:
        print(f"terminal.py: step \"{line}\": {error}\n{terminal.transcript!r}", file=sys.stderr)
        return 1
    finally:
        terminal.end()
    return 0


sys.exit(main())
