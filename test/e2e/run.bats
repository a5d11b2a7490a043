# vmrt run: the guest's kernel, streams, identity, surroundings, exit status.
load common

setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() { vmrt delete --force r >/dev/null 2>&1 || true; }

# both FILTER: runs the same bundle with runc and vmrt; outputs and status must be the same.
both() {
    B=$(mktemp -d "$BATS_TEST_TMPDIR/both.XXXXXX")
    bundle "$B" "$1" "${2:-busybox}"
    for runtime in runc vmrt; do
        local status=0
        $runtime run --bundle "$B" r <"${3:-/dev/null}" >"$B/$runtime.out" 2>"$B/$runtime.err" ||
            status=$?
        echo "status $status" >>"$B/$runtime.out"
    done
    diff "$B/runc.out" "$B/vmrt.out"
    diff "$B/runc.err" "$B/vmrt.err"
}

@test "the guest's own kernel runs" {
    bundle "$B" "$(args '["uname", "-r"]')"
    run vmrt run --bundle "$B" r
    [ "$status" -eq 0 ]
    guest_kernel "$output"
    [ "$output" != "$(uname -r)" ]
}

@test "stdout, stderr and exit status" {
    both "$(args '["sh", "-c", "echo out; echo err >&2; exit 7"]')"
    grep -q 'status 7' "$B/vmrt.out"
}

@test "arguments arrive exactly" {
    both "$(args '["printf", "<%s>\n", "", "a b", "$HOME", "\"q\"", "\\", "ä\nb"]')"
}

@test "environment, working directory, umask, user and groups" {
    both "$(args '["sh", "-c", "env | sort | grep -v ^SHLVL; pwd; umask; id"]') |
        .process.env = [\"PATH=/bin:/usr/bin\", \"A=1\", \"B=two words\", \"EMPTY=\"] | .process.cwd = \"/tmp\" |
        .process.user = {uid: 1000, gid: 1001, umask: 63, additionalGids: [5, 6]}"
}

@test "a working directory that does not exist is made" {
    both "$(args '["pwd"]') | .process.cwd = \"/srv/new/dir\""
}

@test "death by signal gives 128 + n" {
    both "$(args '["sh", "-c", "kill -9 $$; sleep 5"]') | .process.args[2] = \"sh -c \\\"kill -9 \\\\\$\\\\\$\\\"\""
}

@test "stdin from a pipe: end of file is seen, and a reader that stops early breaks the writer" {
    bundle "$B" "$(args '["head", "-n", "1"]')"
    run bash -c "set -o pipefail; (echo first; yes) | vmrt run --bundle $B r"
    [ "${lines[0]}" = first ]
}

@test "a reader that goes away ends the workload by SIGPIPE" {
    bundle "$B" "$(args '["sh", "-c", "yes; echo status $? >&2"]')"
    timeout 60 vmrt run --bundle "$B" r </dev/null 2>"$B/err" | head -n 2 >"$B/out"
    [ "$(wc -l <"$B/out")" = 2 ]
}

@test "stdout closed, /dev/null and a file as stdio" {
    bundle "$B" "$(args '["sh", "-c", "echo x; echo y >&2; exit 3"]')"
    run -3 vmrt run --bundle "$B" r </dev/null >/dev/null 2>&1
    status=0; vmrt run --bundle "$B" r <&- >&- 2>"$B/e" || status=$?
    [ "$status" = 3 ]
    status=0; vmrt run --bundle "$B" r </dev/null >"$B/f" 2>&1 || status=$?
    [ "$status" = 3 ]
    [ "$(sort "$B/f" | tr '\n' ' ')" = "x y " ]
}

@test "/dev/stdout can be opened again" {
    both "$(args '["sh", "-c", "echo a >/dev/stdout; echo b >/dev/stderr; cat </dev/stdin"]')"
}

@test "PID 1 is the workload, and nothing of init is visible" {
    both "$(args '["sh", "-c", "echo $$; set -- /proc/[0-9]*; echo $#; ls /proc/self/fd | sort -n | head -n 3 | tr \"\\n\" \" \""]')"
}

@test "mounts: targets, types and options are runc's" {
    # What differs by nature: the root's source and type, cgroup's view, and files that the guest's
    # kernel does not have, so that nothing masks them.
    both "$(args '["sh", "-c", "while read -r src dst type opts rest; do case $dst in /|/sys/fs/cgroup*|/proc/acpi|/proc/kcore|/proc/sysrq-trigger) ;; *) echo $dst $type;; esac; done </proc/mounts | sort"]')"
}

@test "default devices and links in /dev" {
    both "$(args '["sh", "-c", "cd /dev; ls -l null zero full random urandom tty fd stdin stdout stderr ptmx | sed \"s/  *[A-Z][a-z][a-z]  *[0-9].*[0-9]:[0-9][0-9] / /\" "]')"
}

@test "masked and read-only paths" {
    both "$(args '["sh", "-c", "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l; (echo 1 >/proc/sys/vm/overcommit_memory) 2>/dev/null || echo refused"]')"
}

@test "capabilities and no_new_privs are those asked for" {
    both "$(args '["sh", "-c", "grep -E \"^(Cap|NoNewPrivs)\" /proc/self/status"]')"
    both "$(args '["sh", "-c", "grep -E \"^(Cap|NoNewPrivs)\" /proc/self/status"]') | .process.user = {uid: 1000, gid: 1000} | .process.noNewPrivileges = false |
        .process.capabilities |= (.ambient = .inheritable)"
}

@test "rlimits, oom score, hostname" {
    both "$(args '["sh", "-c", "ulimit -n; ulimit -c; cat /proc/self/oom_score_adj; hostname"]') | .hostname = \"guest-name\" |
        .process.rlimits = [{type: \"RLIMIT_NOFILE\", soft: 512, hard: 1024}, {type: \"RLIMIT_CORE\", soft: 0, hard: 0}] | .process.oomScoreAdj = 100"
}

@test "a read-only root is read-only, on the host's side too" {
    bundle "$B" "$(args '["sh", "-c", "touch /x; echo $?; mount -o remount,rw / ; touch /x; echo $?"]') | .root.readonly = true |
        .process.capabilities = {bounding: [\"CAP_SYS_ADMIN\"], effective: [\"CAP_SYS_ADMIN\"], permitted: [\"CAP_SYS_ADMIN\"]}"
    run vmrt run --bundle "$B" r
    [[ "$output" != *$'\n0'* ]]
    [ ! -e "$B/rootfs/x" ]
}

@test "files: written in the guest, owned as there, seen on the host, and back" {
    bundle "$B" "$(args '["sh", "-c", "cd /data; cat f; echo new >g; chmod 640 g; mkdir d; ln -s g l; ln g h; mv f d/f; mkfifo p"]') |
        .process.user = {uid: 1000, gid: 1001} | .mounts += [{destination: \"/data\", source: \"$B-data\", type: \"bind\", options: [\"rbind\", \"rw\"]}]"
    mkdir "$B-data"; echo text >"$B-data/f"; chown -R 1000:1001 "$B-data"
    run vmrt run --bundle "$B" r
    show "$output"
    [ "$status" -eq 0 ]
    [ "$output" = text ]
    [ "$(stat -c '%u:%g %a %h' "$B-data/g")" = "1000:1001 640 2" ]
    [ "$(readlink "$B-data/l")" = g ]
    [ "$(cat "$B-data/d/f")" = text ]
    [ -p "$B-data/p" ]
}

@test "bind mounts: single files, nested, read-only on the host's side" {
    mkdir -p "$B-v/sub" "$B-n"; echo one >"$B-f"; echo in >"$B-n/x"
    bundle "$B" "$(args '["sh", "-c", "cat /etc/one; cat /v/sub/x; echo w >/v/w && echo wrote; mount -o remount,rw /v/ 2>/dev/null; echo w >/v/w2 && echo wrote"]') |
        .process.capabilities = {bounding: [\"CAP_SYS_ADMIN\"], effective: [\"CAP_SYS_ADMIN\"], permitted: [\"CAP_SYS_ADMIN\"]} |
        .mounts += [
        {destination: \"/etc/one\", source: \"$B-f\", type: \"bind\", options: [\"bind\", \"ro\"]},
        {destination: \"/v\", source: \"$B-v\", type: \"bind\", options: [\"rbind\", \"ro\"]},
        {destination: \"/v/sub\", source: \"$B-n\", type: \"bind\", options: [\"rbind\", \"ro\"]}]"
    run vmrt run --bundle "$B" r
    show "$output"
    [ "${lines[0]}" = one ]
    [ "${lines[1]}" = in ]
    [[ "$output" != *wrote* ]]
    [ -z "$(find "$B-v" -name 'w*')" ]
}

@test "a symlink in the image cannot lead a mount out of it" {
    bundle "$B" "$(args '["cat", "/data/x"]') | .mounts += [{destination: \"/data\", source: \"$B-d\", type: \"bind\", options: [\"rbind\"]}]"
    mkdir "$B-d"; echo inside >"$B-d/x"
    ln -s /tmp/outside-of-the-image "$B/rootfs/data"
    run vmrt run --bundle "$B" r
    [ "$output" = inside ]
    [ ! -e /tmp/outside-of-the-image ]
}

@test "hooks run on the host with the state on stdin" {
    bundle "$B" "$(args '["true"]') | .hooks = {
        prestart: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"cat >$B/prestart\"]}],
        poststart: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"cat >$B/poststart\"]}],
        poststop: [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"cat >$B/poststop\"]}]}"
    vmrt run --bundle "$B" r
    for hook in prestart poststart poststop; do [ "$(jq -r .id "$B/$hook")" = r ]; done
    [ "$(jq -r .pid "$B/prestart")" -gt 1 ]
}

@test "--detach returns at once and the container lives on; --pid-file names the monitor" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    vmrt run --detach --pid-file "$B/pid" --bundle "$B" r </dev/null >/dev/null 2>&1
    status_is r running
    [ "$(vmrt state r | jq .pid)" = "$(cat "$B/pid")" ]
    vmrt delete --force r
}

@test "SIGTERM to a foreground run reaches the workload" {
    bundle "$B" "$(args '["sh", "-c", "trap \"exit 9\" TERM; echo ready; while :; do sleep 0.1; done"]')"
    vmrt run --bundle "$B" r >"$B/out" 2>&1 </dev/null &
    wait_for 30 grep -q ready "$B/out"
    kill -TERM $!
    status=0; wait $! || status=$?
    [ "$status" = 9 ]
}

@test "two and four CPUs; memory as asked" {
    bundle "$B" "$(args '["sh", "-c", "nproc; grep -c ^processor /proc/cpuinfo; awk \"/MemTotal/ {print (\\$2 > 150000 && \\$2 < 263000)}\" /proc/meminfo"]') | .process.env += [\"VMRT_CPUS=2\", \"VMRT_MEMORY=256\"]"
    run vmrt run --bundle "$B" r
    [ "$output" = $'2\n2\n1' ]
    jq '.process.env |= map(if startswith("VMRT_CPUS") then "VMRT_CPUS=4" else . end)' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    run vmrt run --bundle "$B" r
    [ "$output" = $'4\n4\n1' ]
}

@test "settings do not reach the workload" {
    bundle "$B" "$(args '["env"]') | .process.env += [\"VMRT_CPUS=1\"]"
    run vmrt run --bundle "$B" r
    [ "$status" -eq 0 ]
    [[ "$output" != *VMRT_* ]]
}

@test "the kernel's log on request, and only then" {
    bundle "$B" "$(args '["true"]') | .process.env += [\"VMRT_CONSOLE=stderr\"]"
    run vmrt run --bundle "$B" r
    # hvc0 gets what is printed from its own registration on.
    [[ "$output" == *"Run /init as init process"* ]]
    bundle "$B-q" "$(args '["true"]')"
    run vmrt run --bundle "$B-q" r
    [ -z "$output" ]
}

@test "a guest whose kernel panics ends with its own message" {
    # Without an init there is nothing the kernel can do but panic.
    bundle "$B" "$(args '["true"]') | .process.env += [\"VMRT_CONSOLE=stderr\", \"VMRT_KERNEL_ARGS=rdinit=/nosuch\"]"
    status=0; timeout 60 vmrt run --bundle "$B" r </dev/null >"$B/out" 2>&1 || status=$?
    show "$(cat "$B/out")"
    [ "$status" -ne 0 ] && [ "$status" -ne 124 ]
    grep -q 'guest kernel panicked' "$B/out"
}
