# No byte lost, none reordered, none invented: stdin, stdout and stderr through docker and without.
load engines

setup_file() { engines_up; }
setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() {
    remove vmrt-s
    "$RUNTIME" delete --force vmrt-s >/dev/null 2>&1 || true
}

@test "64 MiB through stdin and stdout; 16 MiB of them through docker" {
    head -c 64M /dev/urandom >"$BATS_TEST_TMPDIR/in"
    bundle "$B" "$(args '["cat"]')"
    [ "$("$RUNTIME" run --bundle "$B" vmrt-s <"$BATS_TEST_TMPDIR/in" | sha256sum)" = "$(sha256sum <"$BATS_TEST_TMPDIR/in")" ]
    truncate -s 16M "$BATS_TEST_TMPDIR/in"
    [ "$(drun --rm -i --log-driver none busybox cat <"$BATS_TEST_TMPDIR/in" | sha256sum)" = "$(sha256sum <"$BATS_TEST_TMPDIR/in")" ]
    rm "$BATS_TEST_TMPDIR/in"
}

@test "stdout and stderr apart, end of file both ways, what is written last" {
    ends() {
        # The reader sees the end of stdin; the last line has no newline; both streams are full at the end.
        printf 'one\ntwo' | drun --rm -i busybox sh -c 'cat; echo; cat | wc -c; seq 5000 >&2; printf last; exit 4'
        local status=$?
        # stdin is closed early: the writer is not kept waiting for it.
        seq 100000 | drun --rm -i busybox head -n 2
        # Output is closed early, the process goes on.
        drun --rm busybox sh -c 'echo first; exec >&- 2>&-; for i in 1 2 3; do usleep 1000; done; exit 3'
        echo "then $?"
        return $status
    }
    each ends
    output_has last
    output_has 'then 3'
    [ "$(wc -l <"$BATS_TEST_TMPDIR/$RUNTIME.err")" = 5000 ]
}

@test "order: each of 2000 lines on its own, none twice, with docker logs" {
    drun -d --name vmrt-s busybox sh -c 'i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done; printf end'
    [ "$(docker wait vmrt-s)" = 0 ]
    diff <(seq 0 1999; printf end) <(docker logs vmrt-s)
}

@test "closed and null stdio, files that are appended to, one file for both" {
    bundle "$B" "$(args '["sh", "-c", "echo out; echo err >&2; wc -c; exit 3"]')"
    printf 'before\n' >"$BATS_TEST_TMPDIR/file"
    closed() {
        local f=$BATS_TEST_TMPDIR/$runtime.file
        cp "$BATS_TEST_TMPDIR/file" "$f"
        "$runtime" run --bundle "$B" vmrt-s </dev/null >/dev/null 2>&1
        echo "$?"
        "$runtime" run --bundle "$B" vmrt-s <"$BATS_TEST_TMPDIR/file" >>"$f" 2>>"$f"
        echo "$?"
        sort "$f"
        "$runtime" run --bundle "$B" vmrt-s <"$BATS_TEST_TMPDIR/file" 3>&1 >/dev/full 2>&1
        echo "$?"
    }
    each closed
    output_has before
    # A closed descriptor is /dev/null to the workload.
    local status=0
    "$RUNTIME" run --bundle "$B" vmrt-s <&- >&- 2>&- || status=$?
    [ "$status" = 3 ]
}

# Where nobody reads, the writer stops, and nobody hoards what it wrote.
@test "a reader that stops reading stops the writer; nothing is lost when it reads on" {
    mkdir "$B-count"
    bundle "$B" "$(args '["sh", "-c", "dd if=/dev/urandom bs=64k count=256 2>/dev/null | tee /count/all"]') |
        .mounts += [{destination: \"/count\", source: \"$B-count\", type: \"bind\", options: [\"rbind\", \"rw\"]}]"
    mkfifo "$B.fifo"
    "$RUNTIME" run --bundle "$B" --pid-file "$B.pid" vmrt-s </dev/null >"$B.fifo" 2>"$B.err" &
    local runner=$!
    exec 7<"$B.fifo"
    wait_for 30 test -s "$B-count/all"
    # It stands still: the size is the same over a second.
    still() {
        local before
        before=$(stat -c %s "$B-count/all")
        sleep 1
        [ "$before" = "$(stat -c %s "$B-count/all")" ]
    }
    wait_for 30 still
    local written rss
    written=$(stat -c %s "$B-count/all")
    rss=$(awk '/VmRSS/ {print $2} /RssAnon/ {print $2}' "/proc/$(cat "$B.pid")/status" | paste -sd ' ')
    show "written $written bytes; resident $rss KiB"
    # 16 MiB come in all; a pipe each in the guest and on the host, a socket's buffer and a block.
    [ "$written" -lt 4000000 ]
    sha256sum <&7 >"$B.sum"
    exec 7<&-
    wait "$runner"
    [ "$(cat "$B.sum")" = "$(sha256sum <"$B-count/all")" ]
    [ "$(stat -c %s "$B-count/all")" = $((256 * 64 * 1024)) ]
}

@test "stdin that its writer keeps open does not keep the container" {
    bundle "$B" "$(args '["true"]')"
    mkfifo "$B.fifo"
    exec 7<>"$B.fifo"
    timeout 60 "$RUNTIME" run --bundle "$B" vmrt-s <"$B.fifo" >/dev/null
    exec 7>&-
}

@test "docker exec: streams apart, stdin to its end, 8 MiB both ways" {
    drun -d --name vmrt-s busybox sleep 1000
    head -c 8M /dev/urandom >"$BATS_TEST_TMPDIR/in"
    docker exec -i vmrt-s sh -c 'cat; echo err >&2; exit 6' <"$BATS_TEST_TMPDIR/in" \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
    [ "$status" = 6 ]
    cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
    [ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
    # Left in the background with the streams: its output still arrives.
    [ "$(docker exec vmrt-s sh -c '(usleep 300000; echo late) & echo now')" = $'now\nlate' ]
}
