# What init makes of a config.json in the guest, beside runc: user namespaces, copied-up tmpfs,
# limits of the container's cgroup, memory that runs out.
load common

# Where ids that are mapped may go: not below the 0700 of a test's own directory.
setup() {
    PLACE=$(mktemp -d /var/tmp/guest.XXXXXX)
    chmod 755 "$PLACE"
    B=$PLACE/b
}
teardown() {
    vmrt delete --force r >/dev/null 2>&1 || true
    runc delete --force r >/dev/null 2>&1 || true
    rm -rf "$PLACE"
}

# both FILTER [OWNER]: runs the same bundle with runc and vmrt; outputs and status must be the same.
both() {
    bundle "$B" "$1"
    chown -R "${2:-0:0}" "$B/rootfs"
    for runtime in runc vmrt; do
        local status=0
        $runtime run --bundle "$B" r </dev/null >"$B/$runtime.out" 2>"$B/$runtime.err" || status=$?
        echo "status $status" >>"$B/$runtime.out"
    done
    diff "$B/runc.out" "$B/vmrt.out" >&2
    diff "$B/runc.err" "$B/vmrt.err" >&2
}

mapped='.linux.namespaces += [{type: "user"}] |
    .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
    .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'

@test "user namespace: ids, owners, mounts and devices as with runc" {
    both "$mapped | $(args '["sh", "-c", "id; cat /proc/self/uid_map /proc/self/gid_map; touch /new; stat -c \"%n %u %g %a\" /new / /proc /sys /dev /dev/pts /dev/shm; stat -c %u /dev/mqueue; ls /dev | grep -v core; echo x > /dev/null && head -c 4 /dev/zero | wc -c; cut -d\" \" -f2,3 /proc/mounts | grep -E \"^/(proc|sys|dev)/?[a-z/]* (proc|sysfs|cgroup2|devpts|mqueue)\""]')" 100000:100000
    grep -q '^status 0' "$B/vmrt.out"
    [ "$(stat -c %u "$B/rootfs/new")" = 100000 ]
}

@test "user namespace: another user, its groups, limits and OOM score" {
    both "$mapped"' | .process.user = {uid: 1000, gid: 1001, additionalGids: [7]} |
        .process.oomScoreAdj = -300 | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 2000, hard: 500000}] |
        .process.args = ["sh", "-c", "id; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj"]' 100000:100000
    grep -q '^status 0' "$B/vmrt.out"
}

@test "tmpcopyup fills a tmpfs with what it covers" {
    both '.mounts += [{destination: "/etc", type: "tmpfs", source: "tmpfs", options: ["nosuid", "tmpcopyup"]}] |
        .process.args = ["sh", "-c", "cd /etc; stat -c \"%n %a %u %g %s\" *; cat passwd; touch new && ls new"]'
    grep -q '^status 0' "$B/vmrt.out"
    [ ! -e "$B/rootfs/etc/new" ]
}

@test "pids.limit acts in the guest" {
    bundle "$B" '.linux.resources.pids = {limit: 4} |
        .process.args = ["sh", "-c", "for i in 1 2 3 4 5 6; do sleep 9 & done; echo reached"]'
    run vmrt run --bundle "$B" r
    [ "$status" -ne 0 ]
    [[ "$output" == *"Resource temporarily unavailable"* ]]
}

@test "memory that runs out ends the workload with 137, not the machine with an error" {
    bundle "$B" '.linux.resources.memory = {limit: 268435456} |
        .mounts += [{destination: "/big", type: "tmpfs", source: "tmpfs", options: ["size=1g"]}] |
        .process.args = ["dd", "if=/dev/zero", "of=/big/file", "bs=1M"]'
    run vmrt run --bundle "$B" r
    [ "$status" -eq 137 ]
    [[ "$output" == *"out of memory"* ]]
}

@test "a guest kernel that panics is reported with its own words" {
    bundle "$B" '.linux.readonlyPaths = null | .linux.resources.memory = {limit: 134217728} |
        .mounts += [{destination: "/big", type: "tmpfs", source: "tmpfs", options: ["size=1g"]}] |
        .process.args = ["sh", "-c", "echo 2 >/proc/sys/vm/panic_on_oom; dd if=/dev/zero of=/big/file bs=1M"]'
    run vmrt run --bundle "$B" r
    show "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *'reset the machine: "Kernel panic - not syncing: Out of memory: '* ]]
}

@test "time namespace with offsets" {
    bundle "$B" '.linux.namespaces += [{type: "time"}] |
        .linux.timeOffsets = {boottime: {secs: 1000000, nanosecs: 0}} |
        .process.args = ["cut", "-c1-4", "/proc/uptime"]'
    run vmrt run --bundle "$B" r
    [ "$output" = 1000 ]
}

@test "many files: the guest forgets those that it does not use, and vmrt-vmm holds few of them" {
    cp -a "$ROOTFS/busybox" "$PLACE/root"
    mkdir "$PLACE/root/many"
    (cd "$PLACE/root/many" && seq 4000 | xargs touch)
    mkfifo "$PLACE/in"
    local prefix
    prefix=$(dirname "$(dirname "$(command -v vmrt)")")
    # shellcheck disable=SC2016 # jq's variables
    jq -n --arg root "$PLACE/root" --arg prefix "$prefix" '{
        kernel: ($prefix + "/lib/vmrt/vmlinux"), init: ($prefix + "/libexec/vmrt/vmrt-init"),
        root: $root, files_max: 400, args: ["sh", "-c",
        "exec 9</etc/passwd; find /many -type f -size +9 | wc -l; cat; cat <&9 | head -n 1"]}' >"$PLACE/plan"
    "$prefix/libexec/vmrt/vmrt-vmm" "$PLACE/plan" <"$PLACE/in" >"$PLACE/out" 2>"$PLACE/err" &
    local vmm=$!
    exec 8>"$PLACE/in"
    wait_for 100 grep -q 0 "$PLACE/out"
    few() { [ "$(ls "/proc/$vmm/fd" | wc -l)" -lt 600 ]; }
    wait_for 20 few
    exec 8>&-
    wait "$vmm"
    # The one it had open is still the same file.
    grep -q '^root:' "$PLACE/out"
}
