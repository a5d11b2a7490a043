# Fields of config.json that no engine's flag asks for, as the workload sees them; next to runc where
# runc can do the same.
load common

setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() {
    vmrt delete --force fields >/dev/null 2>&1 || true
    runc delete --force fields >/dev/null 2>&1 || true
}

# change FILTER: edits the bundle's config.json.
change() { jq "$1" "$B/config.json" >"$B/config.new" && mv "$B/config.new" "$B/config.json"; }
run_in() { (cd "$B" && "$1" run fields </dev/null); }

@test "commands that cannot be executed: create says what runc says" {
    bundle "$B"
    cp "$B/rootfs/bin/busybox" "$B/rootfs/bin/mine" && chmod 700 "$B/rootfs/bin/mine"
    mkdir -m 700 "$B/rootfs/locked" && cp "$B/rootfs/bin/busybox" "$B/rootfs/locked/x"
    : >"$B/rootfs/bin/plain" && chmod 644 "$B/rootfs/bin/plain"
    ln -s nowhere "$B/rootfs/bin/dangling" && ln -s loop "$B/rootfs/bin/loop"
    mkdir "$B/noexec" && cp "$B/rootfs/bin/busybox" "$B/noexec/bb"
    change ".mounts += [{destination: \"/noexec\", type: \"bind\", source: \"$B/noexec\", options: [\"bind\", \"noexec\"]}]"
    cp "$B/config.json" "$B/base.json"
    while read -r uid path command; do
        jq --arg c "$command" --arg p "$path" --argjson u "$uid" \
            '.process.args = [$c] | .process.user = {uid: $u, gid: $u} | .process.env = ["PATH=" + $p]' \
            "$B/base.json" >"$B/config.json"
        for runtime in runc vmrt; do
            (cd "$B" && "$runtime" create fields </dev/null >/dev/null 2>"$B/$runtime") && return 1
            sed -n 's/.*unable to start container process: //p' "$B/$runtime" | tr -d '\\' |
                sed 's/"$//; s/is a directory: //' >"$B/$runtime.said"
        done
        show "$uid $path $command" "$(cat "$B/runc.said" "$B/vmrt.said")"
        [ -s "$B/runc.said" ]
        cmp "$B/runc.said" "$B/vmrt.said"
    done <<'END'
0 /bin nosuch
0 /bin /nosuch
0 /bin /bin
0 /bin /bin/plain
0 /bin plain
0 /bin /bin/dangling
0 /bin /bin/loop
0 /bin /bin/busybox/x
0 bin busybox
0 /bin /noexec/bb
0 /noexec bb
1000 /bin mine
1000 /bin /bin/mine
1000 /bin /locked/x
END
}

@test "user namespace: ids in the container, and on the host's files" {
    bundle "$B" "$(args '["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map; id -u; stat -c %u:%g /; touch /new && chown 7:8 /new; stat -c %u:%g /new; mount -t tmpfs x /tmp || echo no mount"]')"
    chown -R 100000:200000 "$B/rootfs"
    change '.linux.namespaces += [{type: "user"}]
        | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
        | .linux.gidMappings = [{containerID: 0, hostID: 200000, size: 65536}]
        | .process.capabilities[] += ["CAP_CHOWN"]'
    run run_in vmrt
    show "$output"
    [ "$status" -eq 0 ]
    [ "$(tr -s ' ' <<<"${lines[0]}${lines[1]}")" = ' 0 100000 65536 0 200000 65536' ]
    [ "${lines[2]} ${lines[3]} ${lines[4]}" = '0 0:0 7:8' ]
    [ "${lines[-1]}" = 'no mount' ]
    [ "$(stat -c %u:%g "$B/rootfs/new")" = 100007:200008 ]
}

@test "limits that config.json does not name are the caller's, beyond what a kernel allows at first" {
    bundle "$B" "$(args '["sh", "-c", "cat /proc/self/limits"]') | .process.rlimits = []"
    sysctl -qw fs.nr_open=1073741816
    for runtime in runc vmrt; do
        (cd "$B" && prlimit --nofile=1500000 --nproc=777:888 --memlock=4096000 --core=0 \
            "$runtime" run fields </dev/null) >"$BATS_TEST_TMPDIR/$runtime" 2>&1
    done
    show "$(cat "$BATS_TEST_TMPDIR/vmrt")"
    diff "$BATS_TEST_TMPDIR/runc" "$BATS_TEST_TMPDIR/vmrt"
    grep -q '^Max open files *1500000 *1500000 ' "$BATS_TEST_TMPDIR/vmrt"
}

@test "a bind mount of a nodev place opens no device nodes, as with runc" {
    local place=$BATS_TEST_TMPDIR/place
    mkdir "$place" && mount -t tmpfs -o nodev,nosuid none "$place"
    mknod -m 666 "$place/null" c 1 3
    bundle "$B" "$(args '["sh", "-c", "echo x >/place/null"]')
        | .mounts += [{destination: \"/place\", type: \"bind\", source: \"$place\", options: [\"bind\"]}]"
    for runtime in runc vmrt; do
        run run_in "$runtime"
        show "$runtime: $output"
        [[ "$output" == *'Permission denied'* ]] || failed=1
    done
    umount "$place"
    [ -z "${failed:-}" ]
}

# As for containers behind lxcfs, whose files show the container's share of the host.
@test "bind mounts on files below /proc, as with runc" {
    local dir=$BATS_TEST_TMPDIR/lxcfs name
    mkdir "$dir"
    bundle "$B" "$(args '["sh", "-c", "cd /proc; cat cpuinfo meminfo stat uptime loadavg; echo x >meminfo || echo read-only; ls -d self"]')"
    for name in cpuinfo meminfo stat uptime loadavg; do
        echo "$name of lxcfs" >"$dir/$name"
        change ".mounts += [{destination: \"/proc/$name\", type: \"bind\", source: \"$dir/$name\", options: [\"bind\", \"ro\"]}]"
    done
    for runtime in runc vmrt; do
        run_in "$runtime" >"$B/$runtime" 2>&1 || echo "status $?" >>"$B/$runtime"
    done
    show "$(cat "$B/vmrt")"
    diff "$B/runc" "$B/vmrt"
    [ "$(grep -c ' of lxcfs$' "$B/vmrt")" = 5 ]
    grep -q '^read-only$' "$B/vmrt"
}

@test "scheduler, I/O priority, personality, time offsets" {
    # Field 41 of /proc/PID/stat is the policy, 19 is nice (proc(5)).
    bundle "$B" "$(args '["sh", "-c", "awk \"{print \\$41, \\$19}\" /proc/1/stat; ionice -p 1; uname -m; cut -d. -f1 /proc/uptime"]')"
    change '.process.scheduler = {policy: "SCHED_BATCH", nice: 5}
        | .process.ioPriority = {class: "IOPRIO_CLASS_IDLE", priority: 3}
        | .linux.personality = {domain: "LINUX32"}
        | .linux.namespaces += [{type: "time"}]
        | .linux.timeOffsets = {boottime: {secs: 864000, nanosecs: 0}}'
    run run_in vmrt
    show "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = '3 5' ]
    [[ "${lines[1]}" == idle* ]]
    [ "${lines[2]}" = i686 ]
    [ "${lines[3]}" -ge 864000 ] && [ "${lines[3]}" -lt 870000 ]
}

@test "a tmpfs filled with what it covers; options for a whole tree" {
    mkdir -p "$BATS_TEST_TMPDIR/tree"
    bundle "$B" "$(args '["sh", "-c", "cat /full/file; touch /full/new && echo writable; touch /tree/x /tree/below/x; /tree/below/true; echo $?"]')"
    mkdir "$B/rootfs/full" "$BATS_TEST_TMPDIR/tree/below" && echo kept >"$B/rootfs/full/file"
    cp "$B/rootfs/bin/busybox" "$BATS_TEST_TMPDIR/tree/below/true"
    change ".mounts += [{destination: \"/full\", type: \"tmpfs\", source: \"tmpfs\", options: [\"tmpcopyup\"]},
        {destination: \"/tree\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/tree\", options: [\"rbind\", \"rro\", \"rnoexec\"]}]"
    run run_in vmrt
    show "$output"
    [ "${lines[0]} ${lines[1]}" = 'kept writable' ]
    [[ "$output" == *'/tree/x: Read-only file system'* ]]
    [[ "$output" == *'/tree/below/x: Read-only file system'* ]]
    [ "${lines[-1]}" = 126 ]
    [ ! -e "$B/rootfs/full/new" ]
}

@test "seccomp: actions, arguments and the flags of the filter" {
    bundle "$B" "$(args '["sh", "-c", "mkdir /made; mkdir -m 700 /made2; sethostname x 2>/dev/null; hostname y; echo $?; grep Seccomp: /proc/self/status"]')"
    change '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"],
        flags: ["SECCOMP_FILTER_FLAG_LOG"], syscalls: [
        {names: ["mkdir", "mkdirat", "no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 28},
        {names: ["sethostname"], action: "SCMP_ACT_KILL_PROCESS"}]}'
    run run_in vmrt
    show "$output"
    [[ "$output" == *"mkdir: can't create directory '/made': No space left on device"* ]]
    [[ "$output" == *$'159\nSeccomp:\t2' ]]
}

@test "what is refused is refused in runc's words" {
    bundle "$B"
    cp "$B/config.json" "$B/base.json"
    while IFS= read -r filter; do
        jq "$filter" "$B/base.json" >"$B/config.json"
        for runtime in runc vmrt; do
            (cd "$B" && "$runtime" create fields </dev/null >/dev/null 2>"$B/$runtime") && return 1
        done
        # The end of the line is runc's; what stands before it names the field.
        said=$(sed 's/.*msg="//; s/"$//; s/\\//g; s/.*failed: //; s/.*container init: //' "$B/runc")
        show "$said" "$(cat "$B/vmrt")"
        [[ "$(cat "$B/vmrt")" == *"$said"* ]]
    done <<'END'
.linux.sysctl = {"vm.swappiness": "1"}
.linux.sysctl = {"kernel.hostname": "x"}
.linux.seccomp = {defaultAction: "NONE", syscalls: []}
.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["VAX"]}
.mounts += [{destination: "/x", type: "bind", source: "/nosuch", options: ["bind"]}]
.process.args = []
.process.selinuxLabel = "system_u:system_r:x_t:s0"
END
}
