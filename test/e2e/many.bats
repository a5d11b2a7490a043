# Many containers: at once, and one after the other without a trace.
load common

# 30 of Docker's: docker_many.bats.
@test "10 containers at once" {
    for i in $(seq 10); do
        bundle "$BATS_TEST_TMPDIR/$i" "$(args "[\"sh\", \"-c\", \"echo $i; sleep 1; exit $((i + 10))\"]") | .process.env += [\"VMRT_MEMORY=96\"]"
    done
    declare -A pids
    for i in $(seq 10); do
        vmrt run --bundle "$BATS_TEST_TMPDIR/$i" "many-$i" </dev/null >"$BATS_TEST_TMPDIR/$i.out" 2>&1 &
        pids[$i]=$!
    done
    for i in $(seq 10); do
        status=0; wait "${pids[$i]}" || status=$?
        show "$i: $status $(cat "$BATS_TEST_TMPDIR/$i.out")"
        [ "$status" = $((i + 10)) ]
        [ "$(cat "$BATS_TEST_TMPDIR/$i.out")" = "$i" ]
    done
}

@test "50 in a row leave nothing behind" {
    bundle "$BATS_TEST_TMPDIR/b" "$(args '["sh", "-c", "echo x"]')"
    vmrt run --bundle "$BATS_TEST_TMPDIR/b" row </dev/null
    footprint >"$BATS_TEST_TMPDIR/before"
    fds=$(cut -f1 /proc/sys/fs/file-nr)
    for i in $(seq 50); do
        [ "$(vmrt run --bundle "$BATS_TEST_TMPDIR/b" row </dev/null)" = x ]
    done
    footprint >"$BATS_TEST_TMPDIR/after"
    diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
    # Open files of the whole host: others come and go, a leak of one each would be 50.
    [ $(($(cut -f1 /proc/sys/fs/file-nr) - fds)) -lt 40 ]
}
