#!/usr/bin/env python3
"""Start-to-exit times of whole processes, taken in turn so that drift hits all alike.

Runs inside the lab: startup.py ROUNDS. Times there say nothing by themselves; ratios do.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

KERNEL = "/usr/local/lib/vmrt/vmlinux"
LIBEXEC = "/usr/local/libexec/vmrt"
ROOTFS = "/var/lib/vmrt-test/rootfs/busybox"
# What vmrt-vmm passes as well, so that both boot the same way.
CMDLINE = "quiet loglevel=0 panic=-1 reboot=t"


def bundle(directory):
    os.makedirs(directory)
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    path = os.path.join(directory, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["root"] = {"path": ROOTFS}
    config["process"]["terminal"] = False
    config["process"]["args"] = ["true"]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def initramfs(directory):
    root = os.path.join(directory, "initramfs")
    os.makedirs(root)
    shutil.copy("/share/build/exit-init", os.path.join(root, "init"))
    archive = os.path.join(directory, "initramfs.cpio")
    with open(archive, "wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=b"init\n", stdout=out,
                       cwd=root, check=True)
    return archive


def commands(directory):
    run = ["run", "-b", directory + "/bundle", "bench"]
    plan = directory + "/plan.json"
    with open(plan, "w", encoding="utf-8") as file:
        json.dump({"kernel": KERNEL, "init": LIBEXEC + "/vmrt-init", "memory_mib": 256,
                   "root": ROOTFS, "args": ["true"]}, file)
    return {
        "crun run": ["crun"] + run,
        "runc run": ["runc"] + run,
        "vmrt run": ["vmrt"] + run,
        "vmrt-vmm alone": [LIBEXEC + "/vmrt-vmm", plan],
        "QEMU microvm": ["qemu-system-x86_64", "-M",
                         "microvm,pit=off,pic=off,rtc=off,isa-serial=off", "-enable-kvm", "-cpu",
                         "host", "-m", "256", "-nodefaults", "-no-user-config", "-nographic",
                         "-no-reboot", "-kernel", KERNEL, "-initrd", initramfs(directory),
                         "-append", CMDLINE],
    }


def measure(command):
    begin = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=120, check=False)
    took = time.monotonic() - begin
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.decode()}")
    return took * 1000


def exits(directory):
    plan = directory + "/exits.json"
    with open(directory + "/plan.json", encoding="utf-8") as file:
        config = json.load(file)
    config["exit_stats"] = True
    with open(plan, "w", encoding="utf-8") as file:
        json.dump(config, file)
    done = subprocess.run([LIBEXEC + "/vmrt-vmm", plan], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=True)
    return done.stderr.decode()


def main():
    rounds = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        bundle(directory + "/bundle")
        table = commands(directory)
        times = {name: [] for name in table}
        for number in range(rounds + 1):
            for name, command in table.items():
                took = measure(command)
                if number:  # the first round warms caches
                    times[name].append(took)
            print(f"round {number} of {rounds}", file=sys.stderr)
        base = statistics.median(times["QEMU microvm"])
        print("| command | min ms | median ms | of QEMU microvm |\n|---|---|---|---|")
        for name, values in times.items():
            middle = statistics.median(values)
            print(f"| {name} | {min(values):.0f} | {middle:.0f} | {middle / base:.2f} |")
        print("\n```\n" + exits(directory).strip() + "\n```")


if __name__ == "__main__":
    main()
