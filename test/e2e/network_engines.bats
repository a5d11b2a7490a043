# Networks that others than Docker make: podman's netavark, CNI's plugins, pasta, and by hand.
load engines
load networks

BLOCKED=/etc/modprobe.d/vmrt-test.conf
B() { echo "$BATS_TEST_TMPDIR/bundle"; }

teardown() {
    rm -f "$BLOCKED"
    vmrt delete --force net-test >/dev/null 2>&1 || true
    podman rm -f -t 0 --ignore vmrt-net >/dev/null 2>&1 || true
    podman network rm -f vmrt-pod-net >/dev/null 2>&1 || true
    namespace_gone vmrt-ns
    ip link del vmrt-cni 2>/dev/null || true
    # shellcheck disable=SC2086 # pids
    [ -z "${PASTA:-}" ] || kill $PASTA 2>/dev/null || true
}

# in_both FILTER: the same bundle with runc and with vmrt, in the same namespace; what they write
# must be the same, and stays in $BATS_TEST_TMPDIR/RUNTIME.out.
in_both() {
    netns_bundle "$(B)" vmrt-ns "$1"
    run_here() { "$runtime" run --bundle "$(B)" net-test; }
    SHOW=1 each run_here
    # Nothing of ours stays.
    wait_for 20 no_watcher
    ip -n vmrt-ns link >"$BATS_TEST_TMPDIR/left"
    ip netns exec vmrt-ns tc qdisc show >>"$BATS_TEST_TMPDIR/left"
    run ! grep -E 'vmrt|clsact|ingress' "$BATS_TEST_TMPDIR/left"
}

# cni ADD|DEL IFNAME JSON: calls the plugin as an engine does.
cni() {
    printf '%s' "$3" | CNI_COMMAND=$1 CNI_CONTAINERID=vmrt-test CNI_NETNS=/run/netns/vmrt-ns CNI_IFNAME=$2 \
        CNI_PATH=/usr/lib/cni "/usr/lib/cni/$(jq -r .type <<<"$3")"
}

@test "CNI: bridge, ptp and macvlan in one namespace: as with runc, the world is reached" {
    local bridge='{"cniVersion":"0.4.0","name":"b","type":"bridge","bridge":"vmrt-cni","isGateway":true,"ipMasq":true,
        "ipam":{"type":"static","addresses":[{"address":"10.78.0.2/24","gateway":"10.78.0.1"},
        {"address":"fd78::2/64","gateway":"fd78::1"}],"routes":[{"dst":"0.0.0.0/0"}]}}'
    local ptp='{"cniVersion":"0.4.0","name":"p","type":"ptp","mtu":1400,
        "ipam":{"type":"static","addresses":[{"address":"10.79.0.2/24","gateway":"10.79.0.1"}],
        "routes":[{"dst":"10.99.0.0/16"}]}}'
    local macvlan='{"cniVersion":"0.4.0","name":"m","type":"macvlan","master":"eth0","mode":"bridge",
        "ipam":{"type":"static","addresses":[{"address":"192.0.2.20/24"}]}}'
    ip netns add vmrt-ns
    ip -n vmrt-ns link set lo up
    cni ADD eth0 "$bridge"
    cni ADD eth1 "$ptp"
    cni ADD net2 "$macvlan"
    in_both "$(script "$seen"'
        for a in 10.78.0.1 fd78::1 10.79.0.1 192.0.2.1; do ping -c 1 -W 20 $a >/dev/null && echo reached $a; done
        ping -c 1 -W 20 -I eth0 192.0.2.1 >/dev/null && echo out through the bridge')"
    local word
    for word in 10.78.0.2/24 fd78::2/64 10.79.0.2/24 192.0.2.20/24 'reached fd78::1' 'reached 10.79.0.1' \
        'reached 192.0.2.1' 'out through the bridge' 'eth1 <BROADCAST,MULTICAST,UP,LOWER_UP> 1400'; do
        output_has "$word"
    done
    cni DEL net2 "$macvlan"
    cni DEL eth1 "$ptp"
    cni DEL eth0 "$bridge"
    # The plugins have taken everything of theirs; nothing of ours is in the way.
    [ "$(ip -n vmrt-ns -o link | wc -l)" = 1 ]
}

@test "MTU 9000 and 576: as with runc, packets of that size arrive" {
    local mtu
    for mtu in 9000 576; do
        namespace vmrt-ns $mtu
        in_both "$(script "$seen"'
            ping -c 1 -W 20 -s '$((mtu - 28))' 10.77.0.1 >/dev/null && echo full size
            ping -c 1 -W 20 -s 20000 10.77.0.1 >/dev/null && echo fragments')"
        output_has "LOWER_UP> $mtu link/ether 02:00:00:00:77:02"
        output_has 'full size'
        output_has fragments
        namespace_gone vmrt-ns
    done
}

# without MODULE...: takes kernel modules out, and keeps the kernel from loading them again.
without() {
    mkdir -p "${BLOCKED%/*}"
    printf 'install %s /bin/false\n' "$@" >"$BLOCKED"
    out() { for m; do ! grep -q "^$m " /proc/modules || rmmod "$m" 2>/dev/null || return 1; done; }
    wait_for 20 out "$@"
}

@test "a host's kernel without what it takes: one line names the option, nothing stays" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    mkdir -p /run/vmrt
    namespace vmrt-ns
    netns_bundle "$(B)" vmrt-ns "$(args '["true"]')"
    here() {
        footprint
        ip -n vmrt-ns -o link
        ip netns exec vmrt-ns tc qdisc show
        ip netns exec vmrt-ns cat /proc/sys/net/ipv4/ip_local_port_range
    }
    here >"$BATS_TEST_TMPDIR/before"
    local module option
    while read -r module option; do
        without "$module"
        run vmrt run --bundle "$(B)" net-test
        show "$module: $output"
        [ "$status" = 1 ]
        [ "${#lines[@]}" = 1 ]
        [[ "$output" == *" is $option in the host's kernel"* ]]
        as_before() { diff "$BATS_TEST_TMPDIR/before" <(here) >&2; }
        wait_for 20 as_before
    done <<'END'
tun CONFIG_TUN
sch_ingress CONFIG_NET_SCH_INGRESS
cls_u32 CONFIG_NET_CLS_U32
act_mirred CONFIG_NET_ACT_MIRRED
END
    rm "$BLOCKED"
    vmrt run --bundle "$(B)" net-test
}

@test "an interface removed by hand, then the namespace deleted under a running container: it goes on and ends cleanly" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    mkdir -p /run/vmrt
    footprint >"$BATS_TEST_TMPDIR/before"
    namespace vmrt-ns
    netns_bundle "$(B)" vmrt-ns "$(script 'trap "exit 7" TERM; while :; do sleep 0.1; done')"
    vmrt run --detach --bundle "$(B)" net-test </dev/null >/dev/null 2>&1 3>&-
    ping -c 1 -W 20 10.77.0.2
    ip link del vmrt-ns-h
    no_link() { ! vmrt exec net-test ip link show eth7 2>/dev/null; }
    wait_for 20 no_link
    ip netns del vmrt-ns
    [ "$(vmrt exec net-test echo alive)" = alive ]
    status_is net-test running
    vmrt kill net-test TERM
    wait_for 20 status_is net-test stopped
    vmrt delete net-test
    rm -rf "$(B)"
    as_before() { diff "$BATS_TEST_TMPDIR/before" <(footprint) >&2; }
    wait_for 20 as_before
}

# A server with a published port, and a client that knows its name, in a network of netavark.
by_name() {
    podman --runtime "$runtime" run -d --name vmrt-net --network vmrt-pod-net --ip 10.81.0.9 --ip6 fd81::9 \
        --mac-address 02:00:00:00:81:09 -p 8098:80 busybox sh -c 'echo hello >/f; exec httpd -f -h /' >/dev/null
    podman --runtime "$runtime" run --rm --network vmrt-pod-net --ip 10.81.0.8 --ip6 fd81::8 \
        --mac-address 02:00:00:00:81:08 --hostname me --cap-add net_raw busybox \
        sh -c "$seen
        cat /etc/resolv.conf
        nslookup vmrt-net 10.81.0.1 | grep -oE '(10.81.0.9|fd81::9)$' | sort
        nslookup vmrt-net fd81::1 | grep -oE '(10.81.0.9|fd81::9)$' | sort
        wget -q -O - http://10.81.0.9/f
        for a in 10.81.0.9 fd81::9; do ping -c 1 -W 20 \$a >/dev/null && echo pong \$a; done"
    curl -sS -m 20 http://127.0.0.1:8098/f
    world curl -sS -m 20 http://192.0.2.2:8098/f
    podman rm -f -t 0 vmrt-net >/dev/null
}

@test "podman: netavark's bridge, names by aardvark-dns, fixed addresses, a published port; as with runc" {
    podman network create --ipv6 --subnet 10.81.0.0/24 --subnet fd81::/64 vmrt-pod-net >/dev/null
    SHOW=1 each by_name
    output_has 10.81.0.8/24
    output_has fd81::8/64
    output_has 'pong 10.81.0.9'
    output_has 'pong fd81::9'
    # Both name servers, both families.
    [ "$(grep -cxE '10.81.0.9|fd81::9' "$BATS_TEST_TMPDIR/$RUNTIME.out")" = 4 ]
    [ "$(grep -c hello "$BATS_TEST_TMPDIR/$RUNTIME.out")" = 3 ]
}

alone() {
    podman --runtime "$runtime" run --rm --network none --cap-add net_raw busybox sh -c "$seen_alone"
}

@test "podman --network none: itself by IPv4 and IPv6 and nobody else, as with runc" {
    SHOW=1 each alone
    output_has 'pong 127.0.0.1'
    output_has 'pong ::1'
    output_has 'Network is unreachable'
}

# Somebody in the namespace, where the container's addresses are, but not its servers.
@test "connections made within the namespace, to the container's address and to 127.0.0.1: as with runc" {
    mkdir -p /run/vmrt /run/runc
    namespace vmrt-ns
    here() {
        footprint
        ip netns exec vmrt-ns tc qdisc show
        ip netns exec vmrt-ns sh -c 'grep . /proc/sys/net/ipv4/conf/lo/*' | sort
    }
    here >"$BATS_TEST_TMPDIR/before"
    served() {
        netns_bundle "$(B)" vmrt-ns "$(args '["chroot", "/host", "python3", "'"$BATS_TEST_DIRNAME"'/within.py", "serve"]') |
            .process.capabilities |= map_values(. + [\"CAP_SYS_CHROOT\", \"CAP_NET_BIND_SERVICE\"]) |
            .mounts += [{destination: \"/host\", source: \"/\", options: [\"rbind\", \"ro\"]}]"
        "$runtime" run --detach --bundle "$(B)" net-test </dev/null >/dev/null 2>&1 3>&-
        up() { ip netns exec vmrt-ns python3 -c 'import socket; socket.create_connection(("10.77.0.2", 80), 5)' 2>/dev/null; }
        wait_for 60 up
        ip netns exec vmrt-ns python3 "$BATS_TEST_DIRNAME/within.py" ask 10.77.0.2 127.0.0.1
        "$runtime" delete --force net-test
    }
    SHOW=1 each served
    [ "$(grep -c True "$BATS_TEST_TMPDIR/$RUNTIME.out")" = 6 ]
    [ "$(grep -c 'Connection refused' "$BATS_TEST_TMPDIR/$RUNTIME.out")" = 4 ]
    rm -rf "$(B)"
    wait_for 20 no_watcher
    diff "$BATS_TEST_TMPDIR/before" <(here) >&2
}

@test "pasta's TAP: as with runc, the host is reached" {
    ip netns add vmrt-ns
    ip -n vmrt-ns link set lo up
    echo hello >"$BATS_TEST_TMPDIR/f"
    chmod 755 "$BATS_TEST_TMPDIR"
    # pasta's gateway is the host, its loopback interface included.
    busybox httpd -f -p 127.0.0.1:8000 -h "$BATS_TEST_TMPDIR" 3>&- &
    PASTA=$!
    pasta --config-net --foreground --quiet --runas 0 -I tap0 --netns /run/netns/vmrt-ns \
        >"$BATS_TEST_TMPDIR/pasta" 2>&1 3>&- &
    PASTA="$PASTA $!"
    there() { ip -n vmrt-ns -4 addr show dev tap0 2>/dev/null | grep -q inet; }
    wait_for 20 there || { cat "$BATS_TEST_TMPDIR/pasta" >&2; return 1; }
    in_both "$(script "$seen; timeout 30 wget -q -O - http://192.0.2.1:8000/f")"
    output_has hello
    output_has 192.0.2.2/24
}
