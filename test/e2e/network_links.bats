# What a network card is: how many there are, that they come and go, carrier, sizes, queues, vhost.
load engines

setup_file() { engines_up; }
teardown() {
    remove vmrt-links vmrt-echo
    vmrt delete -f vmrt-many >/dev/null 2>&1 || true
    docker network rm vmrt-n1 >/dev/null 2>&1 || true
    [ ! -e /run/netns/vmrt-many ] || ip netns del vmrt-many
}

# many_up COUNT: a namespace with interfaces e0, e1 …; their far ends v0, v1 … have 10.70.N.1.
many_up() {
    ip netns add vmrt-many
    ip -n vmrt-many link set lo up
    local i
    for ((i = 0; i < $1; i++)); do many_add "$i"; done
}

many_add() {
    ip link add "v$1" type veth peer name "e$1" netns vmrt-many
    ip addr add "10.70.$1.1/24" dev "v$1"
    ip link set "v$1" up
    ip -n vmrt-many addr add "10.70.$1.2/24" dev "e$1"
    ip -n vmrt-many link set "e$1" up
}

in_guest() { vmrt exec vmrt-many sh -c "$1"; }
# The far end asks, so that nothing has to be executed in the guest.
answers() { ping -q -c 1 -W 5 "$@" >/dev/null; }

@test "sixteen interfaces; carrier, MTU and a change of interfaces reach the guest" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    local B=$BATS_TEST_TMPDIR/bundle i
    many_up 16
    ip link set v2 mtu 9000 && ip -n vmrt-many link set e2 mtu 9000
    ip link set v3 mtu 576 && ip -n vmrt-many link set e3 mtu 576
    ip link set v4 down
    bundle "$B" '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/vmrt-many" | '"$(
        args '["sleep", "1000"]')"
    vmrt run --detach --bundle "$B" vmrt-many </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
    for ((i = 0; i < 16; i++)); do
        [ "$i" = 4 ] || answers "10.70.$i.2" || { show "e$i does not answer"; false; }
    done
    # Packets as large as the MTU, and fragments.
    answers -M do -s 8972 10.70.2.2
    answers -M do -s 548 10.70.3.2
    answers -s 20000 10.70.3.2
    run -0 in_guest 'ip -o link'
    show "$output"
    [[ "$output" == *" e2: "*"mtu 9000 "* ]]
    [[ "$output" == *" e3: "*"mtu 576 "* ]]
    [[ "$output" == *" e4: <NO-CARRIER,BROADCAST,MULTICAST,UP>"* ]]
    [ "$(grep -c ' e[0-9]*: ' <<<"$output")" = 16 ]

    # The far end of one comes up, that of another goes down; MTUs grow and shrink.
    ip link set v4 up
    ip link set v5 down
    ip link set v3 mtu 9000 && ip -n vmrt-many link set e3 mtu 9000
    ip link set v2 mtu 1400 && ip -n vmrt-many link set e2 mtu 1400
    changed='grep -q 1 /sys/class/net/e4/carrier && grep -q 0 /sys/class/net/e5/carrier &&
        grep -q 9000 /sys/class/net/e3/mtu && grep -q 1400 /sys/class/net/e2/mtu'
    wait_for 20 in_guest "$changed"
    answers 10.70.4.2
    answers -M do -s 8972 10.70.3.2
    answers -M do -s 1372 10.70.2.2
    ip link set v5 up
    wait_for 20 answers 10.70.5.2

    # A machine that is full takes another one in the place of one that went.
    ip link del v9
    many_add 20
    wait_for 20 answers 10.70.20.2
    run -0 in_guest 'ip -o link'
    [[ "$output" != *" e9: "* ]]
    vmrt delete -f vmrt-many
    for i in 0 1 2 3 4 5 6 7 8 10 11 12 13 14 15 20; do ip link del "v$i"; done
}

# plug connect|disconnect: as `docker network` does, without its half a second.
plug() {
    docker_api "/networks/vmrt-n1/$1" -f -X POST -H 'Content-Type: application/json' -d '{
        "Container": "vmrt-links", "Force": true,
        "EndpointConfig": { "IPAMConfig": { "IPv4Address": "172.30.1.77" } } }'
}

@test "docker network connect and disconnect, twenty times, with traffic each time" {
    docker network create --subnet 172.30.1.0/24 vmrt-n1
    docker run -d --name vmrt-links --runtime="$RUNTIME" busybox sleep 1000
    local pid i before after
    pid=$(inspect vmrt-links .State.Pid)
    for ((i = 0; i < 20; i++)); do
        # While it stands still it does not notice, but it is not forgotten.
        [ "$i" != 5 ] || docker pause vmrt-links
        plug connect
        [ "$i" != 5 ] || docker unpause vmrt-links
        wait_for 20 answers 172.30.1.77 || { show "round $i"; false; }
        plug disconnect
        # What the first round has opened besides (the engine's own) is no leak.
        [ "$i" != 1 ] || before=$(ls "/proc/$pid/fd" | wc -l)
    done
    gone() { ! docker exec vmrt-links ip link show eth1 >/dev/null 2>&1; }
    wait_for 20 gone
    after=$(ls "/proc/$pid/fd" | wc -l)
    show "descriptors: $before, $after"
    [ "$after" -le "$before" ]
}

# datagrams SERVER CLIENT RANGES ARGUMENT...: between containers of the two runtimes.
datagrams() {
    docker run -d --name vmrt-echo --runtime="$1" "${@:4}" -v "$BATS_TEST_DIRNAME:/t:ro" debian python3 /t/datagrams.py serve
    # shellcheck disable=SC2086 # several words
    run -0 docker run --rm --runtime="$2" "${@:4}" -v "$BATS_TEST_DIRNAME:/t:ro" debian \
        python3 /t/datagrams.py ask "$(inspect vmrt-echo '.NetworkSettings.Networks[].IPAddress')" $3
    show "$output"
    remove vmrt-echo
}

# All of them, with VMRT_ALL_LENGTHS=1, take an emulated CPU five minutes.
@test "datagrams of 1 byte to 65507, between runc and vmrt, a packet each" {
    docker network create --subnet 172.30.1.0/24 -o com.docker.network.driver.mtu=65535 vmrt-n1
    datagrams "$RUNTIME" runc "1-2100 2101-65399/${VMRT_ALL_LENGTHS:-53} 65400-65507" --network vmrt-n1
}

@test "datagrams in fragments, between runc and vmrt, both ways" {
    datagrams runc "$RUNTIME" '1400-1500 2940-2970 8950-8980 65490-65507'
    datagrams "$RUNTIME" runc '1470-1480 2950-2962 65490-65507' -e VMRT_CPUS=2
}

# vhost_threads PID: the host's kernel's threads that move the packets of that monitor, a path each.
vhost_threads() { pgrep -x "vhost-$1" | sed 's|.*|/proc/&/status|'; }
# vhost_switches PID: how often they have been given a processor.
vhost_switches() {
    local threads
    mapfile -t threads < <(vhost_threads "$1")
    [ "${#threads[@]}" -gt 0 ] && awk '/ctxt_switches/ {n += $2} END {print n}' "${threads[@]}"
}

@test "two CPUs have two queues, moved by the host's kernel if it is asked to" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    local address pid before
    modprobe vhost_net
    docker run -d --name vmrt-echo --runtime="$RUNTIME" -e VMRT_CPUS=2 -e VMRT_NET_VHOST=1 \
        -v "$BATS_TEST_DIRNAME:/t:ro" debian python3 /t/datagrams.py serve
    address=$(inspect vmrt-echo .NetworkSettings.IPAddress)
    pid=$(inspect vmrt-echo .State.Pid)
    [ "$(cat "/proc/$pid/comm")" = vmrt-vmm ]
    [ "$(vhost_threads "$pid" | wc -l)" = 2 ]
    before=$(vhost_switches "$pid")
    run -0 docker exec vmrt-echo sh -c 'ls -d /sys/class/net/eth0/queues/*'
    [ "$(wc -l <<<"$output")" = 4 ]
    run -0 docker run --rm --runtime=runc -v "$BATS_TEST_DIRNAME:/t:ro" debian python3 /t/datagrams.py ask "$address" \
        1-64 1470-1476 2950-2962 8950-8980 65490-65507
    show "$output"
    [[ "$output" == "133 lengths;"* ]]
    # 16 datagrams are on their way at a time: each time one of them was woken.
    show "$before, $(vhost_switches "$pid")"
    [ "$(vhost_switches "$pid")" -ge $((before + 133 / 16)) ]
    # Plugged in later, and out again.
    docker network create --subnet 172.30.1.0/24 vmrt-n1
    for _ in 1 2 3; do
        docker network connect --ip 172.30.1.77 vmrt-n1 vmrt-echo
        wait_for 20 answers 172.30.1.77
        docker network disconnect vmrt-n1 vmrt-echo
    done
    docker rm -f vmrt-echo
    no_thread() { ! pgrep -x "vhost-$pid" >/dev/null; }
    wait_for 10 no_thread
    # Taken from its driver and given back: the driver resets the card, and the rings begin anew.
    docker run -d --name vmrt-links --privileged --runtime="$RUNTIME" -e VMRT_NET_VHOST=1 busybox sleep 1000
    run -0 docker exec vmrt-links sh -c '
        address=$(ip -o -4 addr show eth0 | awk "{print \$4}")
        slot=$(basename "$(readlink -f /sys/class/net/eth0/device/..)")
        for _ in 1 2 3; do
            echo "$slot" >/sys/bus/platform/drivers/virtio-mmio/unbind
            [ ! -e /sys/class/net/eth0 ] || exit 9
            echo "$slot" >/sys/bus/platform/drivers/virtio-mmio/bind
            ip addr add "$address" dev eth0 && ip link set eth0 up
            ping -q -c 2 -W 20 172.17.0.1 || exit 8
        done'
    show "$output"
    vhost_switches "$(inspect vmrt-links .State.Pid)" >/dev/null
}

@test "vhost without /dev/vhost-net: a warning, and the network works" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    rmmod vhost_net 2>/dev/null || true
    [ ! -e /dev/vhost-net ] || mv /dev/vhost-net /dev/vhost-net.away
    local B=$BATS_TEST_TMPDIR/bundle
    many_up 1
    bundle "$B" '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/vmrt-many" |
        .process.env += ["VMRT_NET_VHOST=1"] | .process.capabilities |= map_values(. + ["CAP_NET_RAW"]) | '"$(
        args '["ping", "-q", "-c", "1", "-W", "20", "10.70.0.1"]')"
    run -0 vmrt run --bundle "$B" vmrt-many
    [ ! -e /dev/vhost-net.away ] || mv /dev/vhost-net.away /dev/vhost-net
    ip link del v0
    show "$output"
    [[ "$output" == *"/dev/vhost-net: "*": packets are moved by vmrt-vmm"* ]]
    [[ "$output" == *"1 packets received"* || "$output" == *"1 received"* ]]
}
