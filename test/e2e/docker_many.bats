# Docker with many machines at a time.
load engines

# As many begin or end together as an emulated CPU can carry without the whole host standing still.
COUNT=30 WAVE=5

# Starting them takes an emulated CPU minutes, most of them the engine's: longer than one test may take.
setup_file() {
    engines_up
    in_waves create_one
    in_waves start_one
}
teardown_file() { in_waves remove_one; }

# in_waves FUNCTION: calls it with 1 to $COUNT, $WAVE side by side; fails when one does.
in_waves() {
    local i j pids failed=0
    for ((i = 1; i <= COUNT; i += WAVE)); do
        pids=()
        for ((j = i; j < i + WAVE && j <= COUNT; j++)); do
            "$1" "$j" &
            pids+=($!)
        done
        # Not those that bats has in the background itself.
        for j in "${pids[@]}"; do wait "$j" || failed=1; done
    done
    return $failed
}

# The API instead of 30 clients, whose own start would be most of the time.
create_one() {
    docker_api "/containers/create?name=vmrt-many-$1" -f -H 'Content-Type: application/json' -o /dev/null -d '{
        "Image": "busybox", "OpenStdin": true,
        "Cmd": ["sh", "-c", "ip -o -4 addr show eth0; echo number '"$1"'; exec cat"],
        "HostConfig": {"Runtime": "'"$RUNTIME"'", "Memory": 100663296}}'
}
# Both wait in the engine: asking it again and again would be most of what the emulated CPU does.
start_one() {
    local log reader found=0
    docker_api "/containers/vmrt-many-$1/start" -X POST --fail-with-body || return
    exec {log}< <(exec curl -sSN -m 240 --unix-socket /run/docker.sock --output - 3>&- \
        "http://docker/containers/vmrt-many-$1/logs?stdout=1&stderr=1&follow=1")
    reader=$!
    grep -aqm 1 "number $1" <&"$log" || found=$?
    exec {log}<&-
    kill "$reader"
    return $found
}
kill_one() {
    docker_signal "vmrt-many-$1" KILL &&
        [ "$(docker_api "/containers/vmrt-many-$1/wait" -m 120 -f -X POST | jq .StatusCode)" = 137 ]
}
remove_one() { docker_api "/containers/vmrt-many-$1?force=1" -X DELETE >/dev/null; }

address_of() { docker_api "/containers/vmrt-many-$1/logs?stdout=1" --output - | grep -ao 'inet [0-9.]*'; }
# A packet's way to number $1, from the bridge to the guest's stack: whose counters stand still?
show_way() {
    local pid id
    pid=$(inspect "vmrt-many-$1" .State.Pid) id=$(inspect "vmrt-many-$1" .Id)
    show "number $1, $(inspect "vmrt-many-$1" ".State | tojson")" "$(
        ip neigh show dev docker0
        nsenter -t "$pid" -n ip -s addr
        timeout 20 docker exec "vmrt-many-$1" sh -c 'ifconfig; ip neigh; cat /proc/interrupts'
        ps -Lo pid,tid,stat,time,wchan:20,comm -p "$pid"
        pgrep -a "vmrt-(vmm|net)"
        find /run -type f -path "*$id*" -name "*log*" -exec tail -n 20 {} +
        bridge link
        tail -n 20 /var/log/dockerd.log
    )" 2>&1
}
is_reached() { ping -q -c 1 -W 5 "$(inspect "vmrt-many-$1" .NetworkSettings.IPAddress)" >/dev/null; }
states() {
    docker_api '/containers/json?all=1' |
        jq -r '.[] | select(.Names[0] | startswith("/vmrt-many-")) | .State' | sort | uniq -c | tr -d ' '
}

@test "30 containers at once: all run, each with its address, and each is reached" {
    local i
    [ "$(states)" = "${COUNT}running" ]
    [ "$RUNTIME" != vmrt ] || [ "$(pgrep -xc vmrt-vmm)" = "$COUNT" ]
    [ "$(for ((i = 1; i <= COUNT; i++)); do address_of "$i"; done | sort -u | wc -l)" = "$COUNT" ]
    for ((i = 1; i <= COUNT; i++)); do
        # The kernel asks three seconds for a neighbour, the emulated CPU may stand still as long.
        wait_for 60 is_reached "$i" || { show_way "$i"; return 1; }
    done
}

@test "30 containers at once: all are killed, and no machine is left" {
    in_waves kill_one
    [ "$(states)" = "${COUNT}exited" ]
    [ "$RUNTIME" != vmrt ] || run ! pgrep -x vmrt-vmm
}
