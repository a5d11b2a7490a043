# containerd: ctr names the runtime's program, the CRI plugin has it in its table.
load engines

IMAGE=docker.io/library/busybox:latest

setup_file() { containerd-up </dev/null >/dev/null 2>&1 3>&-; }
teardown() {
    local name
    for name in vmrt-c vmrt-c-runc; do
        ctr task kill -s KILL "$name" >/dev/null 2>&1 || true
        ctr task rm -f "$name" >/dev/null 2>&1 || true
        ctr container rm "$name" >/dev/null 2>&1 || true
    done
}

# Where ctr reads no more of a stdin that has ended, the container does not see the end (with every
# runtime): tests do not wait for it.
ctr_run() { ctr run --runtime io.containerd.runc.v2 --runc-binary "${runtime:-$RUNTIME}" "$@"; }
task_is() { [ "$(ctr task ls | awk -v n="$1" '$1 == n {print $3}')" = "$2" ]; }

@test "ctr run: streams, status, environment, mounts, user" {
    foreground() {
        mkdir -p /srv/ctr
        echo shared >/srv/ctr/f
        echo in | ctr_run --rm --env A=1 --cwd /tmp \
            --mount type=bind,src=/srv/ctr,dst=/data,options=rbind:ro "$IMAGE" "vmrt-c-$runtime" \
            sh -c 'head -n 1; echo $A; pwd; id; cat /data/f; echo err >&2; exit 7'
    }
    each foreground
    output_has 'status 7'
    output_has shared
    if [ "$RUNTIME" = vmrt ]; then
        guest_kernel "$(ctr_run --rm "$IMAGE" vmrt-c uname -r)"
    fi
}

@test "ctr task: exec, ps, metrics, pause, resume, kill, delete" {
    ctr_run -d "$IMAGE" vmrt-c sh -c 'trap "exit 9" TERM; while :; do sleep 0.1; done'
    task_is vmrt-c RUNNING
    run ctr task exec --exec-id one --cwd /tmp vmrt-c sh -c 'pwd; cat /proc/1/comm; exit 5'
    show "$output"
    [ "$status" = 5 ]
    [ "$output" = $'/tmp\nsh' ]
    [ "$(echo typed | ctr task exec --exec-id two vmrt-c cat)" = typed ]
    terminal -- ctr task exec -t --exec-id three vmrt-c sh <<'END'
retry tty\r /dev/pts/\d+\r
send exit 4\r
status 4
END
    local pid
    pid=$(ctr task ls | awk '$1 == "vmrt-c" {print $2}')
    ctr task ps vmrt-c | grep -qw "$pid"
    ctr task metrics vmrt-c | grep -q memory.usage
    ctr task pause vmrt-c
    task_is vmrt-c PAUSED
    run ctr task exec --exec-id four vmrt-c true
    [ "$status" -ne 0 ]
    ctr task resume vmrt-c
    task_is vmrt-c RUNNING
    ctr task kill -s TERM vmrt-c
    wait_for 30 task_is vmrt-c STOPPED
    run ctr task rm vmrt-c
    show "$output"
    [[ "$status $output" == *9* ]]
    ctr container rm vmrt-c
    [ -z "$(ctr container ls -q | grep vmrt-c)" ]
}

@test "ctr: what cannot run says so, and leaves nothing" {
    refused() {
        ctr_run "$@" "$IMAGE" "vmrt-c-$runtime" nosuch
        local status=$?
        ctr task ls -q
        ctr container rm "vmrt-c-$runtime" 2>/dev/null
        find /run/containerd/runc /run/containerd/io.containerd.runtime.v2.task/default -mindepth 1 2>/dev/null
        return $status
    }
    # containerd prints its own prefix; what the runtime said is at its end.
    each refused
    grep -q 'executable file not found in \$PATH' "$BATS_TEST_TMPDIR/$RUNTIME.err"
}

@test "ctr run -t, and a memory limit" {
    terminal --size 30x90 -- ctr run -t --rm --memory-limit 200000000 --runtime io.containerd.runc.v2 \
        --runc-binary "$RUNTIME" "$IMAGE" vmrt-c sh <<'END'
retry stty\x20size\r 30 90\r
send exit 6\r
status 6
END
}

@test "the CRI plugin takes the drop-in: the runtime is in its table" {
    sed "s|@VMRT@|/usr/local/bin/vmrt|; s|@CRI@|io.containerd.grpc.v1.cri|" /src/config/engines/containerd.toml >"$BATS_TEST_TMPDIR/drop-in.toml"
    printf 'version = 2\nimports = ["%s"]\n' "$BATS_TEST_TMPDIR/drop-in.toml" >"$BATS_TEST_TMPDIR/config.toml"
    run containerd --config "$BATS_TEST_TMPDIR/config.toml" config dump
    [ "$status" -eq 0 ]
    [[ "$output" == *'containerd.runtimes.vmrt]'* ]]
    [[ "$output" == *'BinaryName = "/'*'/vmrt"'* ]]
    [[ "$output" == *'containerd.runtimes.runc]'* ]] || [[ "$output" == *'default_runtime_name = "runc"'* ]]
    grep -q '^handler: vmrt' /src/config/engines/runtimeclass.yaml
    grep -q '^kind: RuntimeClass' /src/config/engines/runtimeclass.yaml
}
