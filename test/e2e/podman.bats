# podman drives vmrt through conmon.
load common

teardown() { podman rm -f vmrt-test >/dev/null 2>&1 || true; }

@test "podman run: guest kernel, streams and status" {
    status=0
    podman --runtime vmrt run --rm --network none busybox sh -c 'uname -r; echo err >&2; exit 7' \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
    show "$(cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err")"
    [ "$status" = 7 ]
    guest_kernel "$(cat "$BATS_TEST_TMPDIR/out")"
    grep -q err "$BATS_TEST_TMPDIR/err"
}

@test "podman: detached, logs, stop, rm" {
    podman --runtime vmrt run -d --name vmrt-test --network none busybox \
        sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for 30 sh -c 'podman logs vmrt-test | grep -q ready'
    podman --runtime vmrt stop vmrt-test
    [ "$(podman inspect -f '{{.State.ExitCode}}' vmrt-test)" = 3 ]
}

@test "podman: a missing program is 127" {
    run -127 podman --runtime vmrt run --rm --network none busybox nosuch
}
