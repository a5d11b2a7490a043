#!/usr/bin/env python3
"""Network figures of vmrt beside runc and QEMU's microvm with the same guest kernel.

Runs inside the lab: network.py ROUNDS [SECONDS [PART OF A FIGURE'S NAME]]. Every contender hangs on
one bridge of the host, runs the same programs from the same root, and takes its turn at each
figure. Times in the lab say nothing by themselves; ratios of one run do.
"""
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

KERNEL = "/usr/local/lib/vmrt/vmlinux"
HOST = "10.99.0.1"
SHELL, ECHO, HTTP, IPERF = 7000, 7001, 80, 5201
PROGRAMS = ["/usr/bin/iperf3", "/usr/sbin/nginx"]
START = """
netbench echo 7001 &
iperf3 -s -D
mkdir -p /tmp /run /var/log/nginx /var/lib/nginx /dev/shm/www
cp /srv/file /dev/shm/www/file
nginx -c /etc/bench.conf
exec netbench shell 7000
"""
NGINX = """
worker_processes 1; error_log /dev/null crit; pid /run/nginx.pid; user root;
events { worker_connections 512; }
http { access_log off; keepalive_requests 1000000; server { listen 80; root /dev/shm/www; } }
"""
# As vmrt-vmm passes it, plus what QEMU's guest needs to find its address.
CMDLINE = "quiet loglevel=0 panic=-1 reboot=t"


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def libraries(program):
    text = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", text)


def make_root(root):
    """busybox, the servers with their libraries, and a file to fetch."""
    for name in ("bin", "etc", "srv", "proc", "sys", "dev", "tmp", "run", "var/log/nginx",
                 "var/lib/nginx", "root", "usr/bin", "usr/sbin"):
        os.makedirs(f"{root}/{name}")
    shutil.copy("/bin/busybox", f"{root}/bin/busybox")
    for name in ("sh", "mkdir", "ip", "mount", "cat", "cp"):
        os.symlink("busybox", f"{root}/bin/{name}")
    shutil.copy("/share/build/netbench", f"{root}/bin/netbench")
    for program in PROGRAMS:
        for path in [program] + libraries(program):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            shutil.copy(os.path.realpath(path), root + path)
    texts = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n",
             "etc/bench.conf": NGINX, "srv/file": "x" * 1024, "start": START}
    for name, text in texts.items():
        with open(f"{root}/{name}", "w", encoding="ascii") as file:
            file.write(text)


class Contender:
    """Something on the bridge that runs START."""

    def __init__(self, name, address):
        self.name, self.address = name, address

    def wait(self):
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                socket.create_connection((self.address, SHELL), 2).close()
                return
            except OSError:
                time.sleep(0.2)
        sys.exit(f"{self.name} does not answer")

    def shell(self, command):
        """Runs a command there. Returns what it prints."""
        with socket.create_connection((self.address, SHELL), 120) as connection:
            connection.sendall((command + "\nexit\n").encode())
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts).decode()


def make_namespace(namespace, address):
    """A network namespace whose eth0 is a veth to the bridge."""
    run("ip", "netns", "add", namespace)
    run("ip", "link", "add", f"v{address[-2:]}", "master", "bench", "up", "type", "veth", "peer",
        "name", "eth0", "netns", namespace)
    for link in ("lo", "eth0"):
        run("ip", "-n", namespace, "link", "set", link, "up")


class Container(Contender):
    def __init__(self, name, runtime, address, root, directory, environment=()):
        super().__init__(name, address)
        self.runtime, self.id = runtime, "bench-" + name.replace(" ", "-")
        namespace = self.id
        make_namespace(namespace, address)
        run("ip", "-n", namespace, "addr", "add", address + "/24", "dev", "eth0")
        bundle = f"{directory}/{self.id}"
        os.makedirs(bundle)
        run("runc", "spec", cwd=bundle)
        with open(bundle + "/config.json", encoding="utf-8") as file:
            config = json.load(file)
        config["root"] = {"path": root, "readonly": False}
        process = config["process"]
        process.update(terminal=False, args=["sh", "/start"])
        process["env"].extend(environment)
        process["rlimits"] = []
        for names in process["capabilities"].values():
            names.extend(["CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE", "CAP_CHOWN",
                          "CAP_DAC_OVERRIDE"])
        for namespaces in config["linux"]["namespaces"]:
            if namespaces["type"] == "network":
                namespaces["path"] = "/run/netns/" + namespace
        with open(bundle + "/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        with open(f"{bundle}/log", "wb") as log:
            run(runtime, "run", "-d", "-b", bundle, self.id, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def end(self):
        subprocess.run([self.runtime, "delete", "--force", self.id], check=False)
        subprocess.run(["ip", "netns", "del", self.id], check=False)


class Qemu(Contender):
    """By a TAP that is a port of the bridge, or as in a container, joined with the container's end
    of a veth by tc: what Kata Containers does with it, and vmrt."""

    def __init__(self, name, address, root, directory, vhost=False, contained=False):
        super().__init__(name, address)
        self.tap, self.namespace = f"t{address[-2:]}", None
        command = []
        if contained:
            self.namespace = "bench-" + name.replace(" ", "-")
            make_namespace(self.namespace, address)
            command = ["ip", "netns", "exec", self.namespace]
            run(*command, "ip", "tuntap", "add", self.tap, "mode", "tap", "vnet_hdr")
            run(*command, "ip", "link", "set", self.tap, "up")
            for one, other in (("eth0", self.tap), (self.tap, "eth0")):
                run(*command, "tc", "qdisc", "add", "dev", one, "ingress")
                run(*command, "tc", "filter", "add", "dev", one, "parent", "ffff:", "protocol", "all", "u32",
                    "match", "u8", "0", "0", "action", "mirred", "egress", "redirect", "dev", other)
        else:
            run("ip", "tuntap", "add", self.tap, "mode", "tap", "vnet_hdr")
            run("ip", "link", "set", self.tap, "master", "bench", "up")
        own = f"{directory}/qemu-{address[-2:]}"
        shutil.copytree(root, own, symlinks=True)
        with open(own + "/init", "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nmount -t proc proc /proc\nmount -t devtmpfs dev /dev\n"
                       "exec </dev/null >/dev/kmsg 2>&1\n"
                       "ip link set lo up\nip link set eth0 up\n"
                       f"ip addr add {address}/24 dev eth0\n. /start\n")
        os.chmod(own + "/init", 0o755)
        archive = own + ".cpio"
        with open(archive, "wb") as out:
            names = subprocess.run(["find", "."], cwd=own, stdout=subprocess.PIPE, check=True)
            run("cpio", "--quiet", "-o", "-H", "newc", input=names.stdout, stdout=out, cwd=own)
        self.process = subprocess.Popen(
            command + ["qemu-system-x86_64", "-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=off",
             "-enable-kvm", "-cpu", "host", "-m", "512", "-nodefaults", "-no-user-config",
             "-nographic", "-no-reboot", "-kernel", KERNEL, "-initrd", archive, "-append",
             CMDLINE, "-netdev",
             f"tap,id=n,ifname={self.tap},script=no,downscript=no,vhost={'on' if vhost else 'off'}",
             "-device", "virtio-net-device,netdev=n,mac=02:00:00:00:00:" + address[-2:]],
            stdin=subprocess.DEVNULL)

    def end(self):
        self.process.kill()
        self.process.wait()
        if self.namespace:
            subprocess.run(["ip", "netns", "del", self.namespace], check=False)
        else:
            subprocess.run(["ip", "link", "del", self.tap], check=False)


def busy():
    """Seconds the CPU has been at work."""
    with open("/proc/stat", encoding="ascii") as file:
        times = [int(word) for word in file.readline().split()[1:]]
    return (sum(times) - times[3] - times[4]) / os.sysconf("SC_CLK_TCK")


def stream(extra):
    def figure(contender, seconds):
        text = contender.shell(f"iperf3 -J -c {HOST} -t {seconds} {extra}")
        end = json.loads(text)["end"]
        return end["sum_received"]["bits_per_second"] / 1e6
    return figure


def packets(contender, seconds):
    end = json.loads(contender.shell(f"iperf3 -J -u -b 0 -l 64 -c {HOST} -t {seconds}"))["end"]["sum"]
    return (end["packets"] - end["lost_packets"]) / end["seconds"]


def round_trips(contender, seconds):
    return float(run("/share/build/netbench", "rr", contender.address, str(ECHO), str(seconds),
                     stdout=subprocess.PIPE).stdout)


def requests(*options):
    """By wrk, 8 connections at a time. What was not answered, or late, is in none of its rates: it
    ends the run."""
    def figure(contender, seconds):
        text = run("wrk", "-t1", "-c8", f"-d{seconds}s", *options,
                   f"http://{contender.address}:{HTTP}/file", stdout=subprocess.PIPE,
                   text=True).stdout
        rate = re.search(r"^Requests/sec: +([0-9.]+)$", text, re.M)
        if re.search("Socket errors|Non-2xx", text) or not rate or float(rate[1]) == 0:
            sys.exit(f"wrk: {contender.name} did not answer every request in time:\n{text}")
        return float(rate[1])
    return figure


FIGURES = {
    "TCP out, 1 stream, Mbit/s": stream(""),
    "TCP out, 4 streams, Mbit/s": stream("-P 4"),
    "TCP in, 1 stream, Mbit/s": stream("-R"),
    "TCP in, 4 streams, Mbit/s": stream("-R -P 4"),
    "UDP out, 64 bytes, packets/s": packets,
    "TCP round trips/s": round_trips,
    "nginx, kept connections, requests/s": requests(),
    "nginx, new connections, requests/s": requests("-H", "Connection: close"),
}


def contenders(directory):
    root = directory + "/root"
    make_root(root)
    # A root of its own for each: they write pid files.
    def own(name):
        shutil.copytree(root, f"{directory}/{name}", symlinks=True)
        return f"{directory}/{name}"
    yield Container("runc", "runc", "10.99.0.11", own("runc"), directory)
    yield Container("vmrt", "vmrt", "10.99.0.12", own("vmrt"), directory)
    yield Qemu("QEMU", "10.99.0.13", root, directory)
    yield Qemu("QEMU contained", "10.99.0.16", root, directory, contained=True)
    if os.path.exists("/dev/vhost-net"):
        yield Qemu("QEMU vhost", "10.99.0.14", root, directory, vhost=True)
        yield Container("vmrt vhost", "vmrt", "10.99.0.15", own("vhost"), directory,
                        ["VMRT_NET_VHOST=1"])


def table(names, results):
    rivals = [name for name in names if name.startswith("QEMU")]
    heads = names + ["vmrt / " + rival for rival in rivals]
    print("| | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    for figure, values in results.items():
        middle = {name: statistics.median(value[0] for value in values[name]) for name in names}
        print(f"| {figure} | " + " | ".join(
            [f"{middle[name]:.0f}" for name in names] +
            [f"{middle['vmrt'] / middle[rival]:.2f}" for rival in rivals]) + " |")
    print("\nSeconds of the CPU for a Gbit, or for a thousand of what the figure counts:\n")
    print("| | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for figure, values in results.items():
        print(f"| {figure} | " + " | ".join(
            f"{statistics.median(1000 * share / value for value, share in values[name]):.2f}"
            for name in names) + " |")


def main():
    rounds = int(sys.argv[1])
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    wanted = sys.argv[3] if len(sys.argv) > 3 else ""
    figures = {name: figure for name, figure in FIGURES.items() if wanted in name}
    subprocess.run(["modprobe", "-a", "vhost_net", "tun"], check=False)
    run("ip", "link", "add", "bench", "type", "bridge")
    run("ip", "addr", "add", HOST + "/24", "dev", "bench")
    run("ip", "link", "set", "bench", "up")
    server = subprocess.Popen(["iperf3", "-s"], stdout=subprocess.DEVNULL)
    running = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        try:
            # What was learnt from one connection must not slow down the next.
            run("sysctl", "-q", "-w", "net.ipv4.tcp_no_metrics_save=1")
            # wrk closes first more often than not: its ports must not run out on a fast machine.
            run("sysctl", "-q", "-w", "net.ipv4.tcp_tw_reuse=1")
            for contender in contenders(directory):
                running.append(contender)
                contender.wait()
                print(f"{contender.name} runs", file=sys.stderr)
            results = {figure: {c.name: [] for c in running} for figure in figures}
            for number in range(rounds):
                for figure, measure in figures.items():
                    for contender in running:
                        begin, before = time.monotonic(), busy()
                        value = measure(contender, seconds)
                        share = (busy() - before) / (time.monotonic() - begin)
                        results[figure][contender.name].append((value, share))
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
            table([c.name for c in running], results)
        finally:
            for contender in running:
                contender.end()
            server.kill()
            server.wait()
            run("ip", "link", "del", "bench")


if __name__ == "__main__":
    main()
