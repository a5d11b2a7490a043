# Signals reach the workload as PID 1 of a container; statuses are exact.
load engines

setup_file() { engines_up; }
setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() {
    remove vmrt-g
    "$RUNTIME" delete --force vmrt-g >/dev/null 2>&1 || true
}

@test "every signal that can be caught arrives" {
    # 32 and 33 are the C library's own; KILL and STOP cannot be caught.
    local signals
    signals=$(seq 1 64 | grep -vxE '9|19|32|33' | paste -sd ' ')
    drun -d --name vmrt-g debian python3 -uc '
import signal, sys
wanted = [int(n) for n in sys.argv[1:]]
signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
print("ready")
seen = set()
while seen != set(wanted):
    seen.add(signal.sigwait(wanted))
print("all of them")
sys.exit(21)
' $signals
    wait_for 30 logs_have vmrt-g ready
    # By name, without SIG, by number: as docker takes them; the rest directly by number.
    docker kill -s SIGHUP vmrt-g
    docker kill -s USR2 vmrt-g
    docker kill -s RTMIN+3 vmrt-g
    local root=/var/run/docker/runtime-runc/moby id n
    id=$(docker inspect -f '{{.Id}}' vmrt-g)
    for n in $signals; do
        [[ "$n" =~ ^(1|12|37)$ ]] || "$RUNTIME" --root "$root" kill "$id" "$n"
    done
    [ "$(docker wait vmrt-g)" = 21 ]
    logs_have vmrt-g 'all of them'
}

@test "PID 1 without handlers: what is ignored, what stops, what kills, from outside and inside" {
    drun -d --name vmrt-g busybox sleep 1000
    for s in TERM INT HUP QUIT USR1 ALRM PIPE 34; do docker_signal vmrt-g "$s"; done
    # An exec later than the signals sees it alive; its own KILL has no power over its PID 1.
    [ "$(docker exec vmrt-g sh -c 'kill -9 1; kill -TERM 1; grep State /proc/1/status')" = $'State:\tS (sleeping)' ]
    docker_signal vmrt-g STOP
    wait_for 10 sh -c 'docker exec vmrt-g grep -q "State:.T" /proc/1/status'
    docker_signal vmrt-g CONT
    wait_for 10 sh -c 'docker exec vmrt-g grep -q "State:.S" /proc/1/status'
    docker_signal vmrt-g KILL
    [ "$(docker wait vmrt-g)" = 137 ]
    inspect_is vmrt-g .State.OOMKilled false
    # Signals for what has ended are refused.
    run docker kill vmrt-g
    [ "$status" -ne 0 ]
    [[ "$output" == *"is not running"* ]]
}

@test "--stop-signal, --stop-timeout, docker stop and docker restart use them" {
    drun -d --name vmrt-g --stop-signal USR1 --stop-timeout 60 busybox \
        sh -c 'trap "echo usr1; exit 5" USR1; trap "exit 6" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for 30 logs_have vmrt-g ready
    docker stop vmrt-g
    inspect_is vmrt-g .State.ExitCode 5
    logs_have vmrt-g usr1
}

@test "statuses: plain, death by signal, a fault of PID 1" {
    statuses() {
        local code
        for code in 0 1 125 126 127 128 254 255; do
            jq ".process.args = [\"sh\", \"-c\", \"exit $code\"]" "$B/config.json" >"$B/c"
            mv "$B/c" "$B/config.json"
            "$runtime" run --bundle "$B" vmrt-g
            echo "$code: $?"
        done
    }
    bundle "$B"
    each statuses
    output_has '255: 255'
    faults() {
        drun --rm debian python3 -c "$1" 2>/dev/null
    }
    each faults 'import ctypes; ctypes.string_at(0)'
    output_has 'status 139'
    each faults 'import os; os.abort()'
}

@test "what cannot be executed: the messages and statuses of runc" {
    mkdir -p "$B-x"
    printf '#!/no/such/interpreter\n' >"$B-x/script"
    printf '\177ELFnothing' >"$B-x/elf"
    printf 'echo plain\n' >"$B-x/plain"
    printf '#!/bin/sh\necho "$0 $1"\n' >"$B-x/good"
    cp /bin/busybox "$B-x/noperm"
    chmod 755 "$B-x"/{script,elf,plain,good}
    chmod 644 "$B-x/noperm"
    mkdir "$B-x/directory"
    bundle "$B" ".mounts += [{destination: \"/x\", source: \"$B-x\", type: \"bind\", options: [\"bind\"]},
        {destination: \"/nox\", source: \"$B-x\", type: \"bind\", options: [\"bind\", \"noexec\"]}]"
    exec_table() {
        local what
        for what in '["/x/good", "1"]' '["/x/script"]' '["/x/elf"]' '["/x/plain"]' '["/x/noperm"]' \
            '["/x/directory"]' '["/nox/good"]' '["nosuch"]' '["/no/such"]' '["/etc/passwd/x"]' '[""]'; do
            jq ".process.args = $what" "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
            echo "$what"
            echo "$what" >&2
            "$runtime" run --bundle "$B" vmrt-g
            echo "status $?"
        done
    }
    each exec_table
    output_has '/x/good 1'
}

@test "out of memory in the guest: 137, and docker says so where it can know" {
    local status=0
    drun --name vmrt-g -m 128m --memory-swap 128m busybox tail /dev/zero || status=$?
    [ "$status" = 137 ]
    show "OOMKilled: $(inspect vmrt-g .State.OOMKilled)"
    [ "$RUNTIME" != runc ] || inspect_is vmrt-g .State.OOMKilled true
    remove vmrt-g
    # Of a process that is not PID 1: the container lives on.
    [ "$(drun --rm -m 128m --memory-swap 128m busybox sh -c 'tail /dev/zero; echo "$? alive"')" = '137 alive' ]
}

@test "a wedged guest: kill ends it at once, stop does not hang" {
    [ "$RUNTIME" = vmrt ] || skip "it would be the lab itself that hangs"
    # Every CPU of the guest spins at the highest priority, so that its init gets no time at all.
    drun -d --name vmrt-g --cap-add SYS_NICE --ulimit rtprio=99 debian python3 -uc '
import os
print("spinning")
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))
except OSError as error:
    print(error)
while True:
    pass
'
    wait_for 60 logs_have vmrt-g spinning
    local begin=$SECONDS
    docker stop -t 2 vmrt-g
    inspect_is vmrt-g .State.ExitCode 137
    show "stopped in $((SECONDS - begin)) s"
    [ $((SECONDS - begin)) -lt 20 ]
}
