# docker exec: further processes in a container that runs.
load engines

setup_file() { engines_up; }
teardown() { remove vmrt-e vmrt-e-runc; }

@test "docker exec: user, environment, directory, status, messages" {
    everything() {
        local name=vmrt-e-$runtime
        drun -d --name "$name" --init -h guest -e FROM=container -u 1000:1000 --ulimit nofile=99:99 \
            --security-opt no-new-privileges -w /tmp busybox sleep 1000 >/dev/null
        # shellcheck disable=SC2016 # the scripts are the container's
        local probe='id; pwd; umask; hostname; env | grep -v -e ^SHLVL -e ^PPID | sort; ulimit -n
            grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status; cat /proc/self/oom_score_adj; cat /proc/self/cgroup'
        docker exec "$name" sh -c "$probe; exit 7"
        echo "status $?"
        docker exec -u www-data -e A=1 -e FROM=exec -w /var "$name" sh -c "$probe"
        docker exec -u 5:6 --privileged "$name" sh -c 'id; grep CapEff /proc/self/status'
        docker exec -u root --privileged "$name" sh -c 'grep Cap /proc/self/status'
        # Sees the same processes, mounts and files as PID 1.
        docker exec -u 0 "$name" sh -c 'cat /proc/1/comm; for n in mnt uts ipc pid net cgroup; do
            [ "$(readlink /proc/1/ns/$n)" = "$(readlink /proc/self/ns/$n)" ] || echo "another $n"; done; echo x >/tmp/f'
        docker exec "$name" cat /tmp/f
        docker exec "$name" sh -c 'kill -9 $$'
        echo "status $?"
        for command in nosuch /no/such /etc/passwd; do
            docker exec "$name" "$command"
            echo "status $?"
        done
        # The words for a directory differ between versions of runc.
        docker exec "$name" /etc >/dev/null
        echo "status $?"
        docker exec -w /no/such/dir "$name" true
        echo "status $?"
        docker exec -u nosuch "$name" true
        echo "status $?"
        docker rm -f "$name" >/dev/null
    }
    each everything
    output_has 'status 7'
    output_has 'uid=33(www-data)'
}

@test "docker exec -d; the execs end with the container, a killed one ends alone" {
    drun -d --name vmrt-e busybox sleep 1000
    docker exec -d vmrt-e sh -c 'echo started >/f; exec sleep 500'
    wait_for 20 sh -c 'docker exec vmrt-e cat /f | grep -q started'
    # Its process on the host is the exec's pid; when that is killed, the guest's process is.
    local exec_id pid
    exec_id=$(inspect vmrt-e '.ExecIDs[0]')
    pid=$(docker_api "/exec/$exec_id/json" | jq .Pid)
    [ "$pid" -gt 1 ]
    [ "$(docker exec vmrt-e pidof sleep | wc -w)" = 2 ]
    kill -KILL "$pid"
    wait_for 20 sh -c '[ "$(docker exec vmrt-e pidof sleep)" = 1 ]'
    [ "$(docker_api "/exec/$exec_id/json" | jq -r '"\(.Running) \(.ExitCode)"')" = 'false 137' ]
    # A signal to it reaches the guest's process, too.
    docker exec -d vmrt-e sh -c 'trap "echo term >/g; exit 4" TERM; echo ready >/r; while :; do sleep 0.1; done'
    wait_for 20 docker exec vmrt-e test -e /r
    exec_id=$(inspect vmrt-e '.ExecIDs[-1]')
    kill -TERM "$(docker_api "/exec/$exec_id/json" | jq .Pid)"
    wait_for 20 docker exec vmrt-e test -e /g
    # The container's end is the end of all.
    docker exec vmrt-e sleep 300 &
    local waiting=$! status=0
    wait_for 20 sh -c 'docker exec vmrt-e pidof sleep | grep -q " "'
    docker_signal vmrt-e KILL
    wait "$waiting" || status=$?
    [ "$status" = 137 ]
    [ "$(docker wait vmrt-e)" = 137 ]
    run docker exec vmrt-e true
    [ "$status" = 1 ]
    [[ "$output" == *"is not running"* ]]
}

@test "8 at once: each its own output and status" {
    drun -d --name vmrt-e busybox sleep 1000
    local i pids=()
    for i in {1..8}; do
        docker exec -i vmrt-e sh -c "cat; echo $i; echo e$i >&2; exit $i" \
            <<<"in $i" >"$BATS_TEST_TMPDIR/$i.out" 2>"$BATS_TEST_TMPDIR/$i.err" &
        pids[i]=$!
    done
    for i in {1..8}; do
        local status=0
        wait "${pids[i]}" || status=$?
        show "$i: $status $(cat "$BATS_TEST_TMPDIR/$i".{out,err})"
        [ "$status" = "$i" ]
        [ "$(cat "$BATS_TEST_TMPDIR/$i.out")" = $'in '"$i"$'\n'"$i" ]
        [ "$(cat "$BATS_TEST_TMPDIR/$i.err")" = "e$i" ]
    done
    # None of them stays, in the guest or on the host.
    [ "$(docker exec vmrt-e sh -c 'ls /proc | grep -c "^[0-9]"')" -le 5 ]
}
