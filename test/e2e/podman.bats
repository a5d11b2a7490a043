# podman drives vmrt through conmon.
load engines

setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() {
    podman rm -f -t 0 --ignore vmrt-test >/dev/null 2>&1 || true
    podman pod rm -f vmrt-pod >/dev/null 2>&1 || true
}

pod() { podman --runtime "${runtime:-$RUNTIME}" "$@"; }
prun() { pod run --network none "$@"; }

@test "podman run: guest kernel, streams and status" {
    local status=0
    prun --rm busybox sh -c 'uname -r; echo err >&2; exit 7' \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
    show "$(cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err")"
    [ "$status" = 7 ]
    [ "$RUNTIME" = runc ] || guest_kernel "$(cat "$BATS_TEST_TMPDIR/out")"
    grep -q err "$BATS_TEST_TMPDIR/err"
}

@test "podman run: identity, limits, mounts, sysctl, read-only, as with runc" {
    mkdir -p /srv/podman
    echo shared >/srv/podman/f
    many_flags() {
        # shellcheck disable=SC2016
        prun --rm -i -u 1000:1001 -w /tmp -e A=1 -h guest --init=false --read-only --tmpfs /t:size=2m \
            --shm-size 8m --cap-drop all --cap-add chown --ulimit nofile=99:99 --sysctl kernel.msgmax=4096 \
            -v /srv/podman:/data:ro -v /srv/podman/f:/one --umask 0077 --timeout 100 busybox sh -c '
            id; pwd; echo $A; hostname; umask; ulimit -n; cat /proc/sys/kernel/msgmax /data/f /one; cat
            grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status; df -k /t /dev/shm | awk "{print \$2}"
            touch /x 2>&1; touch /data/x 2>&1; touch /t/x && echo ok' <<<typed
    }
    each many_flags
    output_has typed
    output_has 'uid=1000(1000) gid=1001'
}

@test "podman: detached, logs, exec, cp, top, inspect, stats, pause, kill, stop, rm" {
    prun -d --name vmrt-test busybox \
        sh -c 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    ready() { podman logs vmrt-test 2>&1 | grep -q ready; }
    wait_for 30 ready
    run pod exec -i -e A=b -u 1000 -w /tmp vmrt-test sh -c 'id -u; echo $A; pwd; cat; echo err >&2; exit 6' <<<typed
    show "$output"
    [ "$status" = 6 ]
    [ "$output" = $'1000\nb\n/tmp\ntyped\nerr' ] || [ "$(sort <<<"$output")" = "$(printf '1000\nb\n/tmp\ntyped\nerr\n' | sort)" ]
    run -127 pod exec vmrt-test nosuch
    echo content >"$BATS_TEST_TMPDIR/f"
    pod cp "$BATS_TEST_TMPDIR/f" vmrt-test:/copied
    [ "$(pod exec vmrt-test cat /copied)" = content ]
    pod exec vmrt-test sh -c 'echo back >/made'
    pod cp vmrt-test:/made "$BATS_TEST_TMPDIR/made"
    [ "$(cat "$BATS_TEST_TMPDIR/made")" = back ]
    run pod top vmrt-test
    show "$output"
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" == USER*PID* ]]
    # What the host has of it: its monitor.
    [ "${#lines[@]}" -eq 2 ]
    [[ "${lines[1]}" == *" $(podman inspect -f '{{.State.Pid}}' vmrt-test) "*vmrt-vmm* ]]
    # With arguments of ps, podman asks the container's own.
    pod top vmrt-test -o pid,comm | grep -qE '^ *1 sh'
    pod stats --no-stream vmrt-test | grep -q vmrt-test
    pod pause vmrt-test
    [ "$(podman inspect -f '{{.State.Status}}' vmrt-test)" = paused ]
    run pod exec vmrt-test true
    [ "$status" -ne 0 ]
    pod unpause vmrt-test
    pod kill -s USR1 vmrt-test || true
    pod stop -t 60 vmrt-test
    [ "$(podman inspect -f '{{.State.ExitCode}}' vmrt-test)" = 3 ]
    podman logs vmrt-test | grep -q bye
    pod start vmrt-test
    pod kill vmrt-test
    pod wait vmrt-test
    [ "$(podman inspect -f '{{.State.ExitCode}}' vmrt-test)" = 137 ]
    pod rm vmrt-test
}

@test "podman run -it and exec -it: a terminal" {
    terminal --size 31x91 -- podman --runtime "$RUNTIME" run -it --name vmrt-test --network none busybox sh <<'END'
retry tty\r /dev/pts/0\r
retry stty\x20size\r 31 91\r
resize 41 81
retry stty\x20size\r 41 81\r
run podman exec vmrt-test true
send exit 5\r
status 5
END
    pod start vmrt-test
    terminal -- podman --runtime "$RUNTIME" exec -it vmrt-test sh <<'END'
retry tty\r /dev/pts/\d+\r
send sh -c 'echo started; exec sleep 100'\r
expect \nstarted\r
send \x03
expect \^C
send exit 4\r
status 4
END
}

@test "podman: what cannot be executed: 126, 127; messages name it" {
    run -127 prun --rm busybox nosuch
    [[ "$output" == *"executable file"*"not found in \$PATH"* ]]
    run -126 prun --rm busybox /etc/passwd
    [[ "$output" == *"permission denied"* ]]
}

@test "podman: containers.conf alone selects it" {
    printf '[engine]\nruntime = "mine"\n[engine.runtimes]\nmine = ["%s"]\n' "$(command -v "$RUNTIME")" >"$B.conf"
    [ "$(CONTAINERS_CONF_OVERRIDE=$B.conf CONTAINERS_CONF=$B.conf podman --cgroup-manager cgroupfs info --format '{{.Host.OCIRuntime.Name}}')" = mine ]
    # The drop-in that is shipped: the lists that podman keeps of what runtimes can do.
    sed "s|@VMRT@|$(command -v "$RUNTIME")|" /src/config/engines/podman.conf >"$B.shipped"
    CONTAINERS_CONF=$B.shipped podman --runtime vmrt --cgroup-manager cgroupfs --events-backend file \
        run --rm --network none --log-driver k8s-file busybox echo shipped | grep -q shipped
    # Containers without a control group are among them.
    [ "$RUNTIME" = runc ] || CONTAINERS_CONF=$B.shipped podman --runtime vmrt --cgroup-manager cgroupfs \
        --events-backend file run --rm --network none --log-driver k8s-file --cgroups disabled busybox true
}

@test "podman: a health check" {
    prun -d --name vmrt-test --health-cmd 'cat /ok' --health-interval disable busybox sh -c 'echo fine >/ok; exec sleep 1000'
    healthy() { podman healthcheck run vmrt-test; }
    wait_for 30 healthy
    podman exec vmrt-test rm /ok
    run podman healthcheck run vmrt-test
    [ "$status" = 1 ]
}

@test "podman: pods are refused clearly" {
    [ "$RUNTIME" = vmrt ] || skip "runc can have pods"
    podman pod create --name vmrt-pod --infra=false >/dev/null
    podman pod rm -f vmrt-pod >/dev/null
    # A container that is to join another's namespaces cannot be a machine of its own.
    prun -d --name vmrt-test busybox sleep 1000
    run pod run --rm --network none --pid container:vmrt-test busybox true
    show "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *pid* ]]
}
