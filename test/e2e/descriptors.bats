# --preserve-fds and LISTEN_FDS: open files of the caller in the process, next to runc.
load common

setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() {
    for runtime in vmrt runc; do $runtime delete --force fds >/dev/null 2>&1 || true; done
}

talk() { python3 "$BATS_TEST_DIRNAME/descriptors.py" "$@"; }

@test "files and pipes of run and exec arrive at their numbers, as with runc" {
    bundle "$B" "$(args '["sh", "-c", "read a <&3; echo \"3 $a\"; cat <&4 >&5; echo end >&5; exit 4"]')"
    echo "from a file" >"$B/in"
    for runtime in runc vmrt; do
        run bash -c "seq 20000 | $runtime run --preserve-fds 3 --bundle '$B' fds 3<'$B/in' 4<&0 5>'$B/out' </dev/null"
        [ "$status" -eq 4 ]
        [ "$output" = "3 from a file" ]
        [ "$(sha256sum <"$B/out")" = "$({ seq 20000; echo end; } | sha256sum)" ]
    done
    bundle "$B-2" "$(args '["sleep", "1000"]')"
    for runtime in runc vmrt; do
        $runtime run --detach --bundle "$B-2" fds </dev/null >/dev/null 2>&1
        run bash -c "echo piped | $runtime exec --preserve-fds 2 fds sh -c 'cat <&3 >&4; [ ! -e /proc/self/fd/5 ]' 3<&0 4>'$B/out' </dev/null"
        [ "$status" -eq 0 ]
        [ "$(cat "$B/out")" = piped ]
        $runtime delete --force fds
    done
}

@test "a connected socket carries bytes both ways, as with runc" {
    bundle "$B" "$(args '["sh", "-c", "read q <&3; cat <&3; echo \"heard $q\" >&3; exit 6"]')"
    for kind in pair tcp; do
        for runtime in runc vmrt; do
            run talk $kind $runtime run --preserve-fds 1 --bundle "$B" fds
            [ "$status" -eq 6 ]
            [ "$output" = "heard question" ]
        done
    done
}

@test "LISTEN_FDS of the runtime become the container's, as with runc" {
    bundle "$B" "$(args '["sh", "-c", "read q <&3; echo \"$q $LISTEN_FDS $LISTEN_PID $$\" >&3"]')"
    for runtime in runc vmrt; do
        run talk listen-fds $runtime run --bundle "$B" fds
        [ "$status" -eq 0 ]
        [ "$output" = "question 1 1 1" ]
    done
}

@test "descriptors of create live until the container ends, and no longer" {
    bundle "$B" "$(args '["sh", "-c", "cat <&3"]')"
    mkfifo "$B/fifo"
    sleep 60 >"$B/fifo" & # holds the pipe open
    writer=$!
    vmrt create --preserve-fds 1 --bundle "$B" fds 3<"$B/fifo" </dev/null >"$B/out" 2>&1
    vmrt start fds
    echo late >"$B/fifo"
    wait_for 20 grep -q late "$B/out"
    kill $writer
    wait_for 20 status_is fds stopped
}

@test "what is no stream of bytes is refused by name in create" {
    bundle "$B" "$(args '["true"]')"
    for case in listen:"a listening socket" datagram:"a socket of packets"; do
        run talk "${case%%:*}" vmrt create --preserve-fds 1 --bundle "$B" fds
        [ "$status" -eq 1 ]
        [[ "$output" == *"--preserve-fds 1: descriptor 3 is ${case#*:}, which cannot be passed into a virtual machine"* ]]
    done
    run vmrt state fds
    [ "$status" -ne 0 ]
}
