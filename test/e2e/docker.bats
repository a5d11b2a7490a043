# Docker drives vmrt through its ordinary commands.
load common

# Started here unless `lab run --docker` has done so; 3 is bats' own descriptor, not for daemons.
setup_file() { docker-up </dev/null >/dev/null 2>&1 3>&-; }
setup() {
    mkdir -p /srv/data && echo from-the-host >/srv/data/f
}
teardown() { docker rm -f vmrt-test >/dev/null 2>&1 || true; }

# Interfaces of the bridge network and the runtime's root come and go on their own.
docker_footprint() { footprint | grep -v -E '^link |/run/docker/runtime-runc/moby$'; }

@test "docker run as in the README: guest kernel, identity, volume, streams, status" {
    status=0
    docker run --rm --runtime=vmrt -e A=1 -w /tmp -u 1000:1000 -v /srv/data:/data debian \
        sh -c 'uname -r; id; pwd; echo $A; cat /data/f; echo err >&2; exit 7' \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
    show "$(cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err")"
    [ "$status" = 7 ]
    mapfile -t lines <"$BATS_TEST_TMPDIR/out"
    guest_kernel "${lines[0]}"
    [[ "${lines[1]}" == "uid=1000 gid=1000"* ]]
    [ "${lines[2]}" = /tmp ]
    [ "${lines[3]}" = 1 ]
    [ "${lines[4]}" = from-the-host ]
    [ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
}

@test "nothing is left behind by docker run" {
    docker run --rm --runtime=vmrt busybox true
    docker_footprint >"$BATS_TEST_TMPDIR/before"
    docker run --rm --runtime=vmrt -v /srv/data:/data busybox cat /data/f
    docker_footprint >"$BATS_TEST_TMPDIR/after"
    diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
}

@test "a missing program is 127, one that cannot be executed 126" {
    for runtime in runc vmrt; do
        run -127 docker run --rm --runtime=$runtime busybox nosuch
        [[ "$output" == *"executable file not found in \$PATH"* ]]
        run -126 docker run --rm --runtime=$runtime busybox /etc/passwd
        [[ "$output" == *"permission denied"* ]]
        run -127 docker run --rm --runtime=$runtime busybox /no/such/file
    done
    # A directory: which status that is differs between versions of docker, not between runtimes.
    run docker run --rm --runtime=runc busybox /etc
    expected=$status
    run docker run --rm --runtime=vmrt busybox /etc
    show "$output"
    [ "$status" = "$expected" ]
}

@test "docker stop: a process that handles SIGTERM ends by itself" {
    docker run -d --name vmrt-test --runtime=vmrt busybox \
        sh -c 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for 30 sh -c 'docker logs vmrt-test 2>&1 | grep -q ready'
    docker stop -t 60 vmrt-test
    [ "$(docker inspect -f '{{.State.ExitCode}}' vmrt-test)" = 3 ]
    docker logs vmrt-test | grep -q bye
}

@test "docker stop: one that ignores SIGTERM is killed after its time, with 137" {
    docker run -d --name vmrt-test --runtime=vmrt busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for 30 sh -c 'docker logs vmrt-test 2>&1 | grep -q ready'
    docker stop -t 2 vmrt-test
    [ "$(docker inspect -f '{{.State.ExitCode}}' vmrt-test)" = 137 ]
}

@test "docker kill and wait" {
    docker run -d --name vmrt-test --runtime=vmrt busybox sleep 1000
    docker kill vmrt-test
    [ "$(docker wait vmrt-test)" = 137 ]
}

@test "docker run -i: stdin to its end" {
    head -c 4M /dev/urandom >"$BATS_TEST_TMPDIR/in"
    docker run --rm -i --runtime=vmrt busybox cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
}

@test "what docker cannot have yet is refused by name" {
    run docker run --rm --network host --runtime=vmrt busybox true
    [ "$status" -ne 0 ]
    [[ "$output" == *network* ]]
}

@test "docker start of the same container again" {
    docker create --name vmrt-test --runtime=vmrt busybox sh -c 'echo run >>/count; wc -l </count'
    [ "$(docker start -a vmrt-test)" = 1 ]
    [ "$(docker start -a vmrt-test)" = 2 ]
}

@test "docker restart policy, logs and inspect" {
    docker run -d --name vmrt-test --restart on-failure:1 --runtime=vmrt busybox sh -c 'echo once; exit 4'
    wait_for 60 sh -c '[ "$(docker inspect -f "{{.State.Status}} {{.RestartCount}}" vmrt-test)" = "exited 1" ]'
    [ "$(docker logs vmrt-test | wc -l)" = 2 ]
    [ "$(docker inspect -f '{{.State.ExitCode}}' vmrt-test)" = 4 ]
}
