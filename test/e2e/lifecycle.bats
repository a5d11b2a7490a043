# The life of a container by hand, next to runc where both can do it.
load common

setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() { vmrt delete --force life >/dev/null 2>&1 || true; }

@test "create, state, start, state, kill, state, delete" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    vmrt create --bundle "$B" --pid-file "$B/pid" life </dev/null >"$B/out" 2>&1
    state=$(vmrt state life)
    [ "$(jq -r .status <<<"$state")" = created ]
    [ "$(jq -r .pid <<<"$state")" = "$(cat "$B/pid")" ]
    [ "$(jq -r .bundle <<<"$state")" = "$B" ]
    [ "$(jq -r .id <<<"$state")" = life ]
    [ "$(tail -c 1 "$B/pid")" != "" ] # no newline
    [ "$(cat "/proc/$(cat "$B/pid")/comm")" = vmrt-vmm ]
    vmrt start life
    status_is life running
    vmrt kill life KILL
    wait_for 20 status_is life stopped
    [ "$(vmrt state life | jq .pid)" = 0 ]
    vmrt delete life
    run vmrt state life
    [ "$status" -ne 0 ]
    [[ "$output" == *"does not exist"* ]]
}

@test "state has the same keys as runc's" {
    bundle "$B" "$(args '["sleep", "1000"]') | .annotations = {\"a.b\": \"c\"}"
    for runtime in runc vmrt; do
        $runtime create --bundle "$B" life </dev/null >/dev/null 2>&1
        $runtime state life | jq -S 'del(.pid, .created) | .ociVersion = ""' >"$B/$runtime.json"
        $runtime delete --force life
    done
    diff "$B/runc.json" "$B/vmrt.json"
}

@test "the process ends: its status comes from the monitor, the container is stopped" {
    bundle "$B" "$(args '["sh", "-c", "exit 42"]')"
    vmrt create --bundle "$B" --pid-file "$B/pid" life </dev/null >/dev/null 2>&1
    pid=$(cat "$B/pid")
    vmrt start life
    wait_for 20 status_is life stopped
    [ ! -d "/proc/$pid" ] || [ "$(awk '{print $3}' "/proc/$pid/stat")" = Z ]
    vmrt delete life
}

@test "a running container is not deleted without --force" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    vmrt create --bundle "$B" life </dev/null >/dev/null 2>&1
    vmrt start life
    run vmrt delete life
    [ "$status" -ne 0 ]
    [[ "$output" == *"running"* ]]
    vmrt delete --force life
    run vmrt state life
    [ "$status" -ne 0 ]
}

@test "start works once, and only on a created container" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    run vmrt start life
    [ "$status" -ne 0 ]
    vmrt create --bundle "$B" life </dev/null >/dev/null 2>&1
    vmrt start life
    run vmrt start life
    [ "$status" -ne 0 ]
    status_is life running
}

@test "exec runs in a container that was only created, however soon it comes" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    for runtime in runc vmrt; do
        $runtime create --bundle "$B" life </dev/null >/dev/null 2>&1
        run --separate-stderr $runtime exec life sh -c 'echo ran; exit 3'
        [ "$status" -eq 3 ]
        [ "$output" = ran ]
        [ "$($runtime state life | jq -r .status)" = created ]
        $runtime start life
        [ "$($runtime exec life echo again)" = again ]
        $runtime delete --force life
    done
}

@test "list shows containers as runc does: table, json, quiet" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    vmrt create --bundle "$B" life </dev/null >/dev/null 2>&1
    [ "$(vmrt list -q)" = life ]
    vmrt list | grep -E '^life +[0-9]+ +created +'
    [ "$(vmrt list --format json | jq -r '.[0].id')" = life ]
}

@test "SIGTERM reaches a process with a handler; one without ignores it as PID 1" {
    bundle "$B" "$(args '["sh", "-c", "trap \"echo got it; exit 5\" TERM; echo ready; while :; do sleep 0.1; done"]')"
    vmrt create --bundle "$B" life </dev/null >"$B/out" 2>&1
    vmrt start life
    wait_for 20 grep -q ready "$B/out"
    vmrt kill life TERM
    wait_for 20 status_is life stopped
    grep -q 'got it' "$B/out"
    vmrt delete life

    bundle "$B-2" "$(args '["sleep", "1000"]')"
    vmrt create --bundle "$B-2" life </dev/null >/dev/null 2>&1
    vmrt start life
    vmrt kill life TERM
    sleep 1 # nothing is to happen: the only way to see that is to look later
    status_is life running
}

@test "kill knows numbers, names and SIG names, and refuses others" {
    bundle "$B" "$(args '["sh", "-c", "for s in HUP USR1 USR2; do trap \"echo $s\" $s; done; echo ready; while :; do sleep 0.1; done"]')"
    vmrt create --bundle "$B" life </dev/null >"$B/out" 2>&1
    vmrt start life
    wait_for 20 grep -q ready "$B/out"
    vmrt kill life 1
    wait_for 20 grep -q HUP "$B/out"
    vmrt kill life USR1
    wait_for 20 grep -q USR1 "$B/out"
    vmrt kill life SIGUSR2
    wait_for 20 grep -q USR2 "$B/out"
    run vmrt kill life NOSUCH
    [ "$status" -ne 0 ]
    [[ "$output" == *NOSUCH* ]]
}

@test "kill on a stopped container fails as runc does; --all succeeds" {
    bundle "$B" "$(args '["true"]')"
    vmrt create --bundle "$B" life </dev/null >/dev/null 2>&1
    vmrt start life
    wait_for 20 status_is life stopped
    run vmrt kill life TERM
    [ "$status" -ne 0 ]
    [[ "$output" == *"container not running"* ]]
    vmrt kill --all life KILL
}

@test "the monitor killed from outside: stopped, and delete cleans up" {
    footprint >"$BATS_TEST_TMPDIR/before"
    bundle "$B" "$(args '["sleep", "1000"]')"
    vmrt create --bundle "$B" --pid-file "$B/pid" life </dev/null >/dev/null 2>&1
    vmrt start life
    kill -KILL "$(cat "$B/pid")"
    wait_for 20 status_is life stopped
    vmrt delete life
    footprint >"$BATS_TEST_TMPDIR/after"
    diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
}

@test "delete --force of what does not exist succeeds, delete fails" {
    vmrt delete --force nosuch
    run vmrt delete nosuch
    [ "$status" -ne 0 ]
    [[ "$output" == *"does not exist"* ]]
}
