# Docker 28 and later call a runtime like this: create without a network hook, then bind the network
# namespace of the pid, put interfaces and the files of /etc in their place, and then start.
load engines

setup() {
    B=$BATS_TEST_TMPDIR/b
    F=$BATS_TEST_TMPDIR/files
    ROOT=$BATS_TEST_TMPDIR/root
}
teardown() {
    "$RUNTIME" --root "$ROOT" delete --force flow >/dev/null 2>&1 || true
    [ ! -e "$B/netns" ] || umount "$B/netns" || true
    ip link del vmrt-flow0 2>/dev/null || true
}

# As containerd's shim calls it: subreaper, log, pid-file, pipes.
shim() { "$RUNTIME" --root "$ROOT" --log "$B/log.json" --log-format json "$@"; }

@test "files and interfaces that appear between create and start are there in the container" {
    mkdir -p "$F"
    for f in hosts resolv.conf hostname; do : >"$F/$f"; done
    # shellcheck disable=SC2016
    bundle "$B" "$(args '["sh", "-c", "cat /etc/hosts /etc/resolv.conf /etc/hostname; until grep -q later /etc/hosts; do usleep 50000; done; cat /etc/hosts; ls /sys/class/net; exit 8"]') |
        .mounts += ([\"hosts\", \"resolv.conf\", \"hostname\"] | map({destination: \"/etc/\(.)\", source: \"$F/\(.)\", type: \"bind\", options: [\"rbind\", \"rprivate\"]})) |
        .linux.namespaces |= map(if .type == \"network\" then {type} else . end)"
    mkfifo "$B.out"
    cat "$B.out" >"$B.text" &
    shim create --bundle "$B" --pid-file "$B/init.pid" flow </dev/null >"$B.out" 2>&1
    local pid
    pid=$(cat "$B/init.pid")
    # A namespace of its own, which the engine keeps by a bind mount and fills.
    [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
    touch "$B/netns"
    mount --bind "/proc/$pid/ns/net" "$B/netns"
    ip link add vmrt-flow0 type veth peer name eth0 netns "$pid"
    nsenter --net="$B/netns" ip address add 172.30.0.2/24 dev eth0
    nsenter --net="$B/netns" ip link set eth0 up
    nsenter --net="$B/netns" ip link set lo up
    printf '127.0.0.1 localhost\n172.30.0.2 flow\n' >"$F/hosts"
    echo 'nameserver 192.0.2.53' >"$F/resolv.conf"
    echo flow-host >"$F/hostname"
    [ "$(shim state flow | jq -r '"\(.status) \(.pid)"')" = "created $pid" ]
    shim start flow
    wait_for 30 grep -q flow-host "$B.text"
    grep -qx 'nameserver 192.0.2.53' "$B.text"
    grep -qx '172.30.0.2 flow' "$B.text"
    # Later changes, as when a container joins another network.
    echo '172.30.0.9 later' >>"$F/hosts"
    flow_is_stopped() { [ "$(shim state flow | jq -r .status)" = stopped ]; }
    wait_for 30 flow_is_stopped
    grep -q later "$B.text"
    shim kill --all flow 9
    shim delete flow
    [ ! -e "$ROOT/flow" ]
    # One line of JSON a failure, and there was none.
    [ ! -s "$B/log.json" ]
}

@test "create, then delete without start: the engine gave up" {
    bundle "$B" "$(args '["true"]')"
    shim create --bundle "$B" --pid-file "$B/init.pid" flow </dev/null >/dev/null 2>&1
    shim delete --force flow
    [ ! -d "/proc/$(cat "$B/init.pid")" ] || grep -q 'State:.Z' "/proc/$(cat "$B/init.pid")/status"
    run shim state flow
    [ "$status" -ne 0 ]
    [[ "$output" == *"does not exist"* ]]
}

@test "features, as Docker 25 and later ask for them" {
    run --separate-stderr "$RUNTIME" features
    [ "$status" -eq 0 ]
    [ -z "$stderr" ]
    jq -e '(.ociVersionMin | startswith("1.")) and (.ociVersionMax | startswith("1.")) and
        (.mountOptions | index("rbind") and index("ro")) and (.linux.namespaces | index("network")) and
        (.linux.capabilities | index("CAP_CHOWN")) and .linux.seccomp.enabled and (.hooks | index("prestart"))' <<<"$output"
}
