#!/usr/bin/env python3
"""Host memory that a virtual machine takes beside its guest's own, for the constants in
runtime/oci/plan.h (PLAN_OVERHEAD_BYTES, PLAN_OVERHEAD_FRACTION).

Runs inside the lab: memory.py [MIB...]. For each limit a container fills its memory, reads and
writes a file twice as large as its limit, walks a tree of many files, and the control group of its
vmrt-vmm is read while it does. "needed" is what cannot be taken back: everything but the page
cache of files.
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
mkdir -p /work/tree && cd /work/tree
i=0; while [ $i -lt 100 ]; do mkdir $i; ( cd $i; touch $(seq 1 50) ); i=$((i+1)); done
find . -type f | wc -l
dd if=/dev/zero of=/work/file bs=1M count={file} 2>/dev/null
cat /work/file >/dev/null
dd if=/dev/zero of=/dev/null bs={anon}M count=2 2>/dev/null
echo done
cat
"""


def bundle(directory, mib):
    os.makedirs(directory + "/work")
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    path = directory + "/config.json"
    with open(path, encoding="utf-8") as file:
        config = json.load(file)
    config["root"] = {"path": ROOTFS, "readonly": False}
    config["process"]["terminal"] = False
    script = WORK.format(file=2 * mib, anon=int(mib * 0.6))
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


def measure(mib):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        bundle(directory, mib)
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
            idle = needed(cgroup) if done else 0
            events = fields(cgroup + "/memory.events") if done else {}
            process.stdin.close()
        return done, peak, idle, events.get("oom_kill", -1)


def main():
    print("| limit, MiB | needed at most, MiB | beyond the limit | after the work | killed |")
    print("|---|---|---|---|---|")
    for text in sys.argv[1:] or ["64", "256", "1024"]:
        mib = int(text)
        done, peak, idle, kills = measure(mib)
        print(f"| {mib} | {peak / MIB:.0f} | {peak / MIB - mib:+.0f} | {idle / MIB:.0f} | "
              f"{kills if done else 'the container ended early'} |", flush=True)


if __name__ == "__main__":
    main()
