#!/usr/bin/env python3
"""Host memory that a virtual machine takes beside its guest's own, for the constants in
runtime/oci/plan.h (PLAN_OVERHEAD_BYTES, PLAN_OVERHEAD_FRACTION).

Runs inside the lab: memory.py [MIB[:FILES]...]. For each limit a container fills its memory, reads
and writes a file twice as large as its limit (at most 512 MiB), walks a tree of FILES files of the
host (default 5000), and the control group of its vmrt-vmm is read while it does. "at most" is
everything but the page cache of files and slabs that can be freed; "kept" is what is left when the
kernel was told to reclaim all it can while the guest still knows its files.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
ROOTFS = "/var/lib/vmrt-test/rootfs/busybox"
CGROUPS = "/sys/fs/cgroup"
WORK = """
dd if=/dev/zero of=/work/file bs=1M count={file} 2>/dev/null
cat /work/file >/dev/null
dd if=/dev/zero of=/dev/null bs={anon}M count=2 2>/dev/null
find /work/tree -type f -size +1k
echo done
cat
"""


def tree(directory, files):
    for number in range(files):
        if number % 500 == 0:
            folder = f"{directory}/{number // 500}"
            os.makedirs(folder)
        os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY, 0o644))


def bundle(directory, mib, files):
    tree(directory + "/work/tree", files)
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    path = directory + "/config.json"
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["root"] = {"path": ROOTFS, "readonly": False}
    config["process"]["terminal"] = False
    script = WORK.format(file=min(2 * mib, 512), anon=int(mib * 0.6))
    config["process"]["args"] = ["sh", "-c", script]
    config["mounts"].append({"destination": "/work", "type": "bind", "source": directory + "/work",
                             "options": ["rbind", "rw"]})
    config["linux"]["resources"]["memory"] = {"limit": mib * MIB, "swap": mib * MIB}
    config["linux"]["cgroupsPath"] = f"/vmrt-bench-{mib}"
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)


def fields(path):
    with open(path, encoding="utf-8") as file:
        return {key: int(value) for key, value in (line.split() for line in file)}


def needed(cgroup):
    """Bytes that the kernel cannot reclaim by dropping clean pages of files."""
    stat = fields(cgroup + "/memory.stat")
    reclaimable = stat["file"] - stat["shmem"] + stat["slab_reclaimable"]
    with open(cgroup + "/memory.current", encoding="utf-8") as file:
        return int(file.read()) - reclaimable


def kept(cgroup):
    """Bytes left when all was taken back that can be (cgroup-v2.rst, memory.reclaim)."""
    for _ in range(20):
        try:
            with open(cgroup + "/memory.reclaim", "w", encoding="utf-8") as file:
                file.write(str(64 * MIB))
        except OSError:
            break  # EAGAIN: there was less than that.
    with open(cgroup + "/memory.current", encoding="utf-8") as file:
        return int(file.read())


def measure(mib, files):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        bundle(directory, mib, files)
        cgroup = f"{CGROUPS}/vmrt-bench-{mib}"
        with subprocess.Popen(["vmrt", "run", "-b", directory, f"bench{mib}"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            peak, done = 0, False
            os.set_blocking(process.stdout.fileno(), False)
            while process.poll() is None and not done:
                try:
                    peak = max(peak, needed(cgroup))
                except OSError:
                    pass
                done = b"done" in (process.stdout.read() or b"")
                time.sleep(0.05)
            rest = kept(cgroup) if done else 0
            events = fields(cgroup + "/memory.events") if done else {}
            process.stdin.close()
        return done, peak, rest, events.get("oom_kill", -1)


def main():
    print("| limit, MiB | files | at most, MiB | beyond the limit | kept, MiB | beyond the limit | killed |")
    print("|---|---|---|---|---|---|---|")
    for text in sys.argv[1:] or ["64", "256", "256:50000"]:
        mib, _, files = text.partition(":")
        mib, files = int(mib), int(files or 5000)
        done, peak, rest, kills = measure(mib, files)
        print(f"| {mib} | {files} | {peak / MIB:.0f} | {peak / MIB - mib:+.0f} | {rest / MIB:.0f} | "
              f"{rest / MIB - mib:+.0f} | {kills if done else 'the container ended early'} |", flush=True)


if __name__ == "__main__":
    main()
