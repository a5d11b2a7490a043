# Host networking as far as a machine can have it, and namespaces that are another container's.
load engines

setup_file() { engines_up; }
teardown() {
    remove vmrt-host vmrt-other
    for id in host-a host-b; do vmrt delete --force $id >/dev/null 2>&1 || true; done
    ip netns exec world pkill -x busybox || true
    iptables -P FORWARD ACCEPT
    sysctl -q net.ipv4.ip_forward=1
}

# The host's packet filter and interfaces, as they are to be again.
traces() {
    iptables-save | grep -v '^#' | sed -E 's/\[[0-9]+:[0-9]+\]//'
    nft list tables | grep vmrt || true
    ip -o link | sed -E 's/^[0-9]+: //'
    lsns -n -t net -o NS | sort
}
as_before() { traces >"$BATS_TEST_TMPDIR/now"; cmp -s "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/now"; }

# Somebody outside who tells callers their address.
outside() {
    mkdir -p "$BATS_TEST_TMPDIR/cgi-bin"
    printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n$REMOTE_ADDR\\n"\n' \
        >"$BATS_TEST_TMPDIR/cgi-bin/me"
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/cgi-bin" "$BATS_TEST_TMPDIR/cgi-bin/me"
    ip netns exec world busybox httpd -p 8000 -h "$BATS_TEST_TMPDIR"
}

host_bundle() {
    bundle "$1" '.linux.namespaces |= map(select(.type != "network")) |
        .process.env += ["VMRT_NETWORK_MODE=host"] | '"$2"
}

@test "host networking is refused in one line that says how to ask for the next best" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    run docker run --rm --network host --runtime=vmrt busybox true
    show "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"host networking is not supported"*"VMRT_NETWORK_MODE=host"* ]]
}

@test "VMRT_NETWORK_MODE=host: out under the host's address, through docker's FORWARD DROP, and nothing stays" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    outside
    iptables -P FORWARD DROP
    traces >"$BATS_TEST_TMPDIR/before"
    docker run -d --name vmrt-host --network host --runtime=vmrt -e VMRT_NETWORK_MODE=host busybox \
        sh -c 'env | grep VMRT; cat /etc/resolv.conf; ip -o -4 addr show eth0; ip route
               wget -q -O - http://192.0.2.1:8000/cgi-bin/me; exec sleep 1000' >/dev/null
    wait_for 60 logs_have vmrt-host '192.0.2.2]'
    run docker logs vmrt-host
    show "$output"
    [[ "$output" == *"nameserver 192.0.2.1"* ]]
    [[ "$output" == *"default via 10.237.0.1 dev eth0"* ]]
    [[ "$output" != *VMRT* ]]
    # The host reaches it, and it the host.
    ping -c 1 -W 20 10.237.0.2
    docker exec vmrt-host ping -c 1 -W 20 192.0.2.2
    # What cannot be trusted cannot speak for others either.
    [ "$(sysctl -n net.ipv6.conf.vmrtu0.disable_ipv6 net.ipv4.conf.vmrtu0.rp_filter)" = $'1\n1' ]
    docker rm -f vmrt-host
    wait_for 20 as_before
}

@test "VMRT_NETWORK_MODE=host: ip_forward is turned on and that is said; two at a time; networks that the host has are left alone" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    outside
    ip link add vmrt-d type dummy && ip addr add 10.237.0.1/28 dev vmrt-d && ip link set vmrt-d up
    sysctl -q net.ipv4.ip_forward=0
    traces >"$BATS_TEST_TMPDIR/before"
    host_bundle "$BATS_TEST_TMPDIR/a" "$(args '["sh", "-c", "ip -o -4 addr show eth0; exec sleep 1000"]')"
    cp -a "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
    vmrt run --detach --bundle "$BATS_TEST_TMPDIR/a" host-a >"$BATS_TEST_TMPDIR/a.out" 2>&1 </dev/null &
    local first=$!
    vmrt run --detach --bundle "$BATS_TEST_TMPDIR/b" host-b >"$BATS_TEST_TMPDIR/b.out" 2>&1 </dev/null
    wait "$first"
    [ "$(sysctl -n net.ipv4.ip_forward)" = 1 ]
    grep -q 'net.ipv4.ip_forward was 0 and is 1 now' "$BATS_TEST_TMPDIR"/[ab].out
    wait_for 20 grep -q inet "$BATS_TEST_TMPDIR/a.out"
    wait_for 20 grep -q inet "$BATS_TEST_TMPDIR/b.out"
    cat "$BATS_TEST_TMPDIR"/[ab].out | grep -o '10\.237\.[0-9.]*/30' | sort >"$BATS_TEST_TMPDIR/addresses"
    printf '10.237.0.18/30\n10.237.0.22/30\n' | diff - "$BATS_TEST_TMPDIR/addresses"
    # Killed, and deleted later: what it left is found.
    kill -KILL "$(vmrt state host-a | jq .pid)"
    wait_for 20 status_is host-a stopped
    iptables-save | grep -c 'A FORWARD -j vmrt-' | grep -qx 2
    vmrt delete --force host-a
    vmrt delete --force host-b
    wait_for 20 as_before
    ip link del vmrt-d
}

@test "VMRT_NETWORK_MODE=host: without iptables by nft; without either, the message names them" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    outside
    traces >"$BATS_TEST_TMPDIR/before"
    host_bundle "$BATS_TEST_TMPDIR/a" "$(args '["wget", "-q", "-O", "-", "http://192.0.2.1:8000/cgi-bin/me"]')"
    mkdir "$BATS_TEST_TMPDIR/empty"
    # A mount namespace in which the tool is not there.
    without() { unshare -m sh -c 'for t in '"$1"'; do mount --bind /dev/null $t; done; shift; exec "$@"' sh "${@:2}"; }
    run without "/usr/sbin/iptables-restore" x vmrt run --bundle "$BATS_TEST_TMPDIR/a" host-a
    show "$output"
    [ "$output" = '[::ffff:192.0.2.2]' ]
    wait_for 20 as_before
    run without "/usr/sbin/iptables-restore /usr/sbin/nft" x vmrt run --bundle "$BATS_TEST_TMPDIR/a" host-a
    show "$output"
    [ "$status" = 1 ]
    [[ "$output" == *"install iptables or nftables"* ]]
    wait_for 20 as_before
}

@test "--network container:X is refused in one line, and X keeps its network" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    for other in runc vmrt; do
        docker run -d --name vmrt-other --runtime=$other busybox sleep 1000 >/dev/null
        run docker run --rm --network container:vmrt-other --runtime=vmrt busybox true
        show "$output"
        [ "$status" -ne 0 ]
        [[ "$output" == *"that of another container"*"not supported yet"* ]]
        docker exec vmrt-other ping -c 1 -W 20 172.17.0.1
        docker rm -f vmrt-other >/dev/null
    done
}

@test "a pod is refused in one line" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    podman --runtime vmrt pod create --name vmrt-pod --infra-image busybox \
        --infra-command '/bin/sleep 1000' >/dev/null
    run podman --runtime vmrt run --rm --pod vmrt-pod busybox true
    podman pod rm -f vmrt-pod >/dev/null
    show "$output"
    [ "$status" -ne 0 ]
    [[ "$output" == *"pods"* ]]
}
