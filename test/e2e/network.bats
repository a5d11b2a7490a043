# Interfaces of the container's network namespace appear in its machine.
load engines
load networks

setup_file() { engines_up; }
teardown() {
    remove vmrt-net vmrt-peer
    vmrt delete --force vmrt-net >/dev/null 2>&1 || true
    namespace_gone vmrt-ns
}

# What a container sees of its network, without what numbers its interfaces and queues.
seen='ip -o link | sed -E "s/^[0-9]+: ([^@:]+)(@[^:]*)?:.* mtu ([0-9]+) .*link\/[a-z]+ ([0-9a-f:]+).*/\1 \3 \4/"
    ip -o addr | sed -E "s/^[0-9]+: //"
    ip route; ip -6 route'

@test "docker's bridge: interfaces, addresses and routes are those of runc, the gateway answers" {
    for runtime in runc "$RUNTIME"; do
        docker run --rm --runtime="$runtime" --mac-address 02:42:ac:11:00:09 busybox \
            sh -c "$seen; ping -c 1 -W 20 172.17.0.1 >&2" >"$BATS_TEST_TMPDIR/$runtime.net"
    done
    diff "$BATS_TEST_TMPDIR/runc.net" "$BATS_TEST_TMPDIR/$RUNTIME.net"
    grep -q '^eth0 1500 02:42:ac:11:00:09' "$BATS_TEST_TMPDIR/$RUNTIME.net"
}

@test "a file from a container of runc, and to one: every byte; a published port" {
    docker run -d --name vmrt-net --runtime="$RUNTIME" -p 8099:80 busybox sh -c \
        'mkdir /w; dd if=/dev/urandom of=/w/f bs=1M count=8 2>/dev/null; md5sum </w/f >/w/sum; exec httpd -f -h /w'
    local address
    address=$(inspect vmrt-net .NetworkSettings.IPAddress)
    # From the host by the published port, and from another container by the address.
    wait_for 60 curl -sSf -o /dev/null "http://127.0.0.1:8099/sum"
    curl -sSf -o "$BATS_TEST_TMPDIR/f" http://127.0.0.1:8099/f
    curl -sSf -o "$BATS_TEST_TMPDIR/sum" http://127.0.0.1:8099/sum
    [ "$(md5sum <"$BATS_TEST_TMPDIR/f")" = "$(cat "$BATS_TEST_TMPDIR/sum")" ]
    run docker run --rm --runtime=runc busybox sh -c "wget -q -O - http://$address/f | md5sum"
    [ "$output" = "$(cat "$BATS_TEST_TMPDIR/sum")" ]
    run docker run --rm --runtime="$RUNTIME" busybox sh -c "wget -q -O - http://$address/f | md5sum"
    [ "$output" = "$(cat "$BATS_TEST_TMPDIR/sum")" ]
}

@test "a namespace given by path: nothing of ours stays in it" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    local B=$BATS_TEST_TMPDIR/bundle
    ip netns add vmrt-ns
    ip link add vmrt-a type veth peer name eth7 netns vmrt-ns
    ip addr add 10.77.0.1/24 dev vmrt-a && ip link set vmrt-a up
    ip -n vmrt-ns addr add 10.77.0.2/24 dev eth7
    ip -n vmrt-ns link set eth7 up
    ip -n vmrt-ns link set lo up
    ip -n vmrt-ns -o link >"$BATS_TEST_TMPDIR/before"
    ip netns exec vmrt-ns tc qdisc show >>"$BATS_TEST_TMPDIR/before"
    bundle "$B" '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/vmrt-ns" |
        .process.capabilities |= map_values(. + ["CAP_NET_RAW"]) | '"$(
        args '["sh", "-c", "ip -o -4 addr show eth7; ping -c 1 -W 20 10.77.0.1"]')"
    run vmrt run --bundle "$B" vmrt-net
    show "$output"
    [ "$status" = 0 ]
    [[ "$output" == *"10.77.0.2/24"* ]]
    unchanged() {
        ip -n vmrt-ns -o link >"$BATS_TEST_TMPDIR/after"
        ip netns exec vmrt-ns tc qdisc show >>"$BATS_TEST_TMPDIR/after"
        cmp -s "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
    }
    wait_for 10 unchanged
    ip link del vmrt-a
    ip netns del vmrt-ns
    gone() { ! pgrep -x vmrt-net >/dev/null; }
    wait_for 10 gone
}

@test "a watcher that was killed: delete takes what it left off the namespace, and runc has a network there" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    local B=$BATS_TEST_TMPDIR/bundle
    namespace vmrt-ns
    here() {
        ip -n vmrt-ns -o link
        ip netns exec vmrt-ns tc qdisc show
        ip netns exec vmrt-ns cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/net/ipv4/conf/lo/accept_local
    }
    here >"$BATS_TEST_TMPDIR/before"
    netns_bundle "$B" vmrt-ns "$(args '["sleep", "1000"]')"
    vmrt run --detach --bundle "$B" vmrt-net </dev/null >/dev/null 2>&1 3>&-
    ping -c 1 -W 20 10.77.0.2
    pkill -9 -x vmrt-net
    wait_for 20 no_watcher
    vmrt kill vmrt-net KILL
    wait_for 20 status_is vmrt-net stopped
    # It is about something.
    here >"$BATS_TEST_TMPDIR/left"
    run ! cmp -s "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/left"
    run vmrt delete vmrt-net
    show "$output"
    [ "$status" = 0 ]
    [ -z "$output" ]
    diff "$BATS_TEST_TMPDIR/before" <(here) >&2
    netns_bundle "$B" vmrt-ns "$(args '["ping", "-c", "1", "-W", "20", "10.77.0.1"]')"
    runc run --bundle "$B" vmrt-net
}
