# What docker does with containers besides running them.
load engines

setup_file() { engines_up; }
setup() { mkdir -p /srv/manage; }
teardown() {
    remove vmrt-m vmrt-m-runc vmrt-m2 vmrt-renamed
    docker ps -aq --filter label=vmrt-set | xargs -r docker rm -f >/dev/null 2>&1
    docker rmi -f vmrt-committed >/dev/null 2>&1 || true
    docker volume rm -f vmrt-shared >/dev/null 2>&1 || true
}

@test "cp both ways, diff, commit, logs -f, rename, of a running container" {
    manage() {
        local name=vmrt-m-$runtime dir=$BATS_TEST_TMPDIR/$runtime.d
        mkdir -p "$dir/in/sub"
        echo content >"$dir/in/sub/f"
        chmod 640 "$dir/in/sub/f"
        drun -d --name "$name" busybox sh -c 'mkdir /made; echo a >/made/f; rm /etc/shadow; echo one; until grep -qs content /tree/in/sub/f; do usleep 50000; done; cat /tree/in/sub/f; echo >/done; while [ ! -e /stop ]; do usleep 50000; done; echo last; exit 3' >/dev/null
        docker logs -f "$name" >"$dir/logs" 2>&1 &
        local follower=$!
        docker exec "$name" mkdir /tree
        docker cp "$dir/in" "$name:/tree"
        wait_for 20 docker exec "$name" test -e /done
        docker exec "$name" stat -c '%a %u:%g %n' /tree/in/sub/f
        docker cp "$name:/made" "$dir/out"
        cat "$dir/out/f"
        docker cp "$name:/made/f" - | tar -tv | awk '{print $1, $2, $3, $6}'
        echo from-a-tar >"$dir/t"
        tar -C "$dir" -c t | docker cp - "$name:/"
        docker exec "$name" cat /t
        docker diff "$name" | sort
        docker commit -c 'ENV COMMITTED=yes' "$name" vmrt-committed >/dev/null
        docker run --rm --network none --runtime="$runtime" vmrt-committed sh -c 'cat /made/f; echo $COMMITTED; ls /etc/shadow'
        docker rename "$name" vmrt-renamed
        docker exec vmrt-renamed touch /stop
        docker wait vmrt-renamed
        wait "$follower"
        cat "$dir/logs"
        docker logs --tail 1 vmrt-renamed
        docker rm vmrt-renamed >/dev/null
    }
    each manage
    output_has from-a-tar
    output_has content
}

@test "top, stats, inspect, pause and unpause, update" {
    drun -d --name vmrt-m -m 256m --cpus 1 --pids-limit 50 busybox \
        sh -c 'while :; do date +%s%N >/tick; usleep 20000; done'
    wait_for 30 docker exec vmrt-m test -s /tick
    # top: host's processes of the container, with titles.
    run docker top vmrt-m
    show "$output"
    [ "$status" -eq 0 ]
    [[ "${lines[0]}" == *PID*CMD* ]]
    [ "${#lines[@]}" -ge 2 ]
    [[ "$output" == *"$(inspect vmrt-m .State.Pid)"* ]]
    run docker top vmrt-m -o pid,comm
    [[ "${lines[0]}" == *PID*COMMAND* ]]
    # stats: a limit as asked (vmrt: plus what the VMM itself needs), memory and processes in use.
    local stats
    stats=$(docker_api '/containers/vmrt-m/stats?stream=false')
    jq -c '{m: .memory_stats.usage, l: .memory_stats.limit, c: .cpu_stats.cpu_usage.total_usage, p: .pids_stats.current}' <<<"$stats" >&2
    jq -e '.memory_stats.limit >= 268435456 and .memory_stats.limit < 600000000 and .memory_stats.usage > 100000
        and .memory_stats.usage < .memory_stats.limit and .cpu_stats.cpu_usage.total_usage > 1000000
        and .pids_stats.current > 0' <<<"$stats"
    docker stats --no-stream vmrt-m | grep -q vmrt-m
    [ "$(docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.Runtime}} {{.State.Running}}' vmrt-m)" = "268435456 1000000000 $RUNTIME true" ]
    # pause: nothing moves; exec is refused; the clock is right afterwards.
    docker pause vmrt-m
    inspect_is vmrt-m .State.Status paused
    run docker exec vmrt-m true
    [ "$status" -ne 0 ]
    [[ "$output" == *"is paused"* ]]
    local file before
    file=$(docker inspect -f '{{.GraphDriver.Data.UpperDir}}' vmrt-m)/tick
    before=$(cat "$file")
    sleep 2 # nothing is to happen: the only way to see that is to look later
    [ "$(cat "$file")" = "$before" ]
    docker unpause vmrt-m
    inspect_is vmrt-m .State.Status running
    moved() { [ "$(cat "$file")" != "$before" ]; }
    wait_for 20 moved
    local skew
    skew=$(($(docker exec vmrt-m date +%s) - $(date +%s)))
    show "the guest's clock differs by $skew s"
    [ "$skew" -ge -2 ] && [ "$skew" -le 2 ]
    # update: accepted, and acts where it can act now.
    docker update --cpu-shares 512 --pids-limit 20 --restart on-failure:3 vmrt-m
    [ "$(docker inspect -f '{{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}' vmrt-m)" = '512 20 on-failure' ]
    run docker exec vmrt-m sh -c 'i=0; while [ $i -lt 30 ]; do sleep 3 & i=$((i+1)); done; wait; echo all'
    show "$output"
    [[ "$output" == *"can't fork"* ]]
    docker update --memory 200m --memory-swap 400m vmrt-m
    docker exec vmrt-m true
    # Paused containers can be killed and removed.
    docker pause vmrt-m
    docker rm -f vmrt-m
}

@test "restart policies: always after a crash, on-failure counts, stop ends it; docker restart" {
    drun -d --name vmrt-m --restart always busybox sh -c 'echo up >>/up; sleep 1000'
    wait_for 30 docker exec vmrt-m test -s /up
    kill -KILL "$(inspect vmrt-m .State.Pid)"
    wait_for 30 inspect_is vmrt-m .RestartCount 1
    wait_for 30 inspect_is vmrt-m .State.Running true
    wait_for 30 sh -c '[ "$(docker exec vmrt-m wc -l </up 2>/dev/null || docker exec vmrt-m sh -c "wc -l </up")" = 2 ]'
    docker restart -t 0 vmrt-m
    wait_for 30 sh -c '[ "$(docker exec vmrt-m sh -c "wc -l </up")" = 3 ]'
    docker stop -t 0 vmrt-m
    inspect_is vmrt-m .State.Status exited
    inspect_is vmrt-m .State.ExitCode 137
}

@test "health checks: starting, healthy, unhealthy, with what the check says" {
    drun -d --name vmrt-m --health-cmd 'cat /ok' --health-interval 1s --health-retries 2 --health-timeout 20s \
        busybox sh -c 'echo fine >/ok; sleep 1000'
    wait_for 40 inspect_is vmrt-m .State.Health.Status healthy
    inspect vmrt-m '.State.Health.Log[-1].Output' | grep -q fine
    docker exec vmrt-m rm /ok
    wait_for 40 inspect_is vmrt-m .State.Health.Status unhealthy
    [ "$(inspect vmrt-m '.State.Health.Log[-1].ExitCode')" = 1 ]
}

@test "a set of containers by plain commands: shared volume, volumes-from, order, all stopped" {
    docker volume create vmrt-shared >/dev/null
    drun -d --name vmrt-m --label vmrt-set -v vmrt-shared:/v busybox \
        sh -c 'until [ -e /v/question ]; do usleep 50000; done; sed s/question/answer/ /v/question >/v/.a; mv /v/.a /v/answer; sleep 1000'
    [ "$(drun --rm --label vmrt-set --volumes-from vmrt-m busybox \
        sh -c 'echo the question >/v/question; until [ -e /v/answer ]; do usleep 50000; done; cat /v/answer')" = 'the answer' ]
    drun -d --name vmrt-m2 --label vmrt-set --label tier=b busybox sleep 1000
    [ "$(docker ps -q --filter label=vmrt-set | wc -l)" = 2 ]
    [ "$(docker ps --filter label=tier=b --format '{{.Names}} {{.State}}')" = 'vmrt-m2 running' ]
    docker ps -q --filter label=vmrt-set | xargs docker kill >/dev/null
    docker wait vmrt-m vmrt-m2
    [ -z "$(docker ps -q --filter label=vmrt-set)" ]
    docker ps -aq --filter label=vmrt-set | xargs docker rm >/dev/null
    [ -z "$(docker ps -aq --filter label=vmrt-set)" ]
}

@test "8 containers at once" {
    seq 8 | xargs -P 4 -I N docker run -d --name vmrt-set-N --label vmrt-set --network none \
        --runtime="$RUNTIME" -e VMRT_MEMORY=96 busybox sh -c 'echo here N; trap "exit N" TERM; while :; do sleep 0.2; done' >/dev/null
    [ "$(docker ps -q --filter label=vmrt-set | wc -l)" = 8 ]
    local i
    for i in {1..8}; do wait_for 60 logs_have "vmrt-set-$i" "here $i"; done
    seq 8 | xargs -I N curl -sS --unix-socket /run/docker.sock -X POST 'http://docker/containers/vmrt-set-N/kill?signal=TERM'
    for i in {1..8}; do wait_for 60 inspect_is "vmrt-set-$i" .State.ExitCode "$i"; done
    docker ps -aq --filter label=vmrt-set | xargs docker rm -f >/dev/null
}
