# Docker with many machines at a time.
load engines

COUNT=30

setup_file() { engines_up; }
teardown() {
    local i pids=()
    for ((i = 1; i <= COUNT; i++)); do
        docker_api "/containers/vmrt-many-$i?force=1" -X DELETE >/dev/null &
        pids+=($!)
    done
    # Not those that bats has in the background itself.
    for i in "${pids[@]}"; do wait "$i" || true; done
}

# The API instead of 30 clients, whose own start would be most of the time.
make_one() {
    docker_api "/containers/create?name=vmrt-many-$1" -f -H 'Content-Type: application/json' -d '{
        "Image": "busybox", "Cmd": ["sh", "-c", "ip -o -4 addr show eth0; echo number '"$1"'; exec cat"], "OpenStdin": true,
        "HostConfig": {"Runtime": "'"$RUNTIME"'", "Memory": 100663296}}' -o /dev/null
}

@test "30 containers at once: started together, each with its address and output, all ended together" {
    local i pids=() states addresses
    for ((i = 1; i <= COUNT; i++)); do make_one "$i"; done
    for ((i = 1; i <= COUNT; i++)); do
        docker_api "/containers/vmrt-many-$i/start" -X POST -f &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    for ((i = 1; i <= COUNT; i++)); do wait_for 60 logs_have "vmrt-many-$i" "number $i"; done
    states=$(docker_api '/containers/json' | jq -r '.[] | select(.Names[0] | startswith("/vmrt-many-")) | .State' | sort | uniq -c)
    [ "$(tr -d ' ' <<<"$states")" = "${COUNT}running" ]
    addresses=$(for ((i = 1; i <= COUNT; i++)); do
        docker_api "/containers/vmrt-many-$i/logs?stdout=1" --output - | grep -ao 'inet [0-9.]*'
    done | sort -u | wc -l)
    [ "$addresses" = "$COUNT" ]
    pids=()
    for ((i = 1; i <= COUNT; i++)); do
        docker_api "/containers/vmrt-many-$i/kill" -X POST -f &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    for ((i = 1; i <= COUNT; i++)); do wait_for 60 inspect_is "vmrt-many-$i" '.State | "\(.Status) \(.ExitCode)"' 'exited 137'; done
    [ "$RUNTIME" != vmrt ] || ! pgrep -x vmrt-vmm
}
