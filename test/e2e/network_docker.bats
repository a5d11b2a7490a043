# Docker's networks: what a container sees and who reaches it. Names (127.0.0.11) are
# network_dns.bats' business, published ports network_published.bats'.
load engines
load networks

setup_file() {
    engines_up
    docker network create --ipv6 --subnet 172.30.0.0/24 --subnet fd30::/64 vmrt-user >/dev/null
    docker network create --internal --subnet 172.31.0.0/24 vmrt-internal >/dev/null
    docker network create -d macvlan --subnet 192.0.2.0/24 -o parent=eth0 vmrt-macvlan >/dev/null
    # Somebody beyond the parent of each ipvlan: in L3 mode the far end needs a route.
    local mode
    for mode in l2 l3; do
        ip netns add vmrt-$mode
        ip link add vmrt-$mode-h type veth peer name eth0 netns vmrt-$mode
        ip link set vmrt-$mode-h up && ip -n vmrt-$mode link set eth0 up
    done
    ip -n vmrt-l2 addr add 10.88.0.1/24 dev eth0
    ip -n vmrt-l3 addr add 10.90.0.1/24 dev eth0
    ip addr add 10.90.0.2/24 dev vmrt-l3-h
    ip -n vmrt-l3 route add 10.89.0.0/24 via 10.90.0.2
    docker network create -d ipvlan --subnet 10.88.0.0/24 -o parent=vmrt-l2-h vmrt-ipvlan >/dev/null
    docker network create -d ipvlan --subnet 10.89.0.0/24 -o ipvlan_mode=l3 -o parent=vmrt-l3-h \
        vmrt-ipvlan3 >/dev/null
}

teardown() { remove vmrt-net vmrt-peer vmrt-many; }

teardown_file() {
    docker network rm vmrt-user vmrt-internal vmrt-macvlan vmrt-ipvlan vmrt-ipvlan3 >/dev/null
    ip netns del vmrt-l2
    ip netns del vmrt-l3
}

# A container in every kind of network at once, on stdout what it sees; pinged from outside.
in_all_networks() {
    docker create --name vmrt-many --runtime="$runtime" --hostname many --network vmrt-user \
        --ip 172.30.0.9 --ip6 fd30::9 --mac-address 02:42:ac:00:00:09 --add-host there:192.0.2.1 \
        --dns 192.0.2.53 --dns-search example.org --dns-option timeout:3 busybox sh -c "$seen
        cat /etc/hosts /etc/resolv.conf
        for a in 172.30.0.1 fd30::1 192.0.2.1 10.88.0.1; do
            ping -c 1 -W 20 \$a >/dev/null && echo reached \$a; done
        echo complete; exec sleep 1000" >/dev/null
    docker network connect --ip 172.31.0.9 vmrt-internal vmrt-many
    docker network connect --ip 192.0.2.9 vmrt-macvlan vmrt-many
    docker network connect --ip 10.88.0.9 vmrt-ipvlan vmrt-many
    docker start vmrt-many >/dev/null
    wait_for 60 logs_have vmrt-many complete
    # Docker numbers its interfaces, and lists their addresses, in an order of the moment.
    docker logs vmrt-many | sed 's/eth[0-9]/ethN/g' | sort
    local there
    for there in 172.30.0.9 fd30::9 172.31.0.9; do
        ping -c 1 -W 20 -n $there >/dev/null && echo "host reaches $there"
    done
    world ping -c 1 -W 20 -n 192.0.2.9 >/dev/null && echo macvlan is reached
    ip netns exec vmrt-l2 ping -c 1 -W 20 -n 10.88.0.9 >/dev/null && echo ipvlan is reached
    docker rm -f vmrt-many >/dev/null
}

@test "four networks at once, IPv6, macvlan, ipvlan, fixed addresses and MAC, hosts, name servers: as with runc" {
    SHOW=1 each in_all_networks
    local word
    for word in 172.30.0.9/24 fd30::9/64 02:42:ac:00:00:09 172.31.0.9/24 192.0.2.9/24 10.88.0.9/24 \
        'reached 172.30.0.1' 'reached fd30::1' 'reached 192.0.2.1' 'reached 10.88.0.1' \
        $'192.0.2.1\tthere' 'search example.org' 'host reaches fd30::9' 'macvlan is reached' \
        'ipvlan is reached'; do
        output_has "$word"
    done
}

# Docker 20.10 gives a container in L3 mode no second network.
in_l3() {
    docker run --rm --runtime="$runtime" --network vmrt-ipvlan3 --ip 10.89.0.9 busybox sh -c "$seen
        ping -c 1 -W 20 10.90.0.1 >/dev/null && echo reached"
}

@test "ipvlan in L3 mode: as with runc" {
    SHOW=1 each in_l3
    output_has 10.89.0.9/24
    output_has reached
}

# A network that comes and goes while the container runs.
come_and_go() {
    docker run -d --name vmrt-net --runtime="$runtime" --network vmrt-user --ip 172.30.0.8 busybox \
        sleep 1000 >/dev/null
    docker network connect --ip 172.31.0.8 vmrt-internal vmrt-net
    wait_for 30 ping -c 1 -W 1 -n 172.31.0.8 >/dev/null
    docker exec vmrt-net sh -c "$seen; ping -c 1 -W 20 172.31.0.1 >/dev/null && echo reached"
    docker network disconnect vmrt-user vmrt-net
    settled() { [ "$(docker exec vmrt-net sh -c 'ip -o link | grep -c eth')" = 1 ]; }
    wait_for 30 settled
    docker exec vmrt-net sh -c "$seen; ping -c 1 -W 20 172.31.0.1 >/dev/null && echo reached again
        ping -c 1 -W 3 192.0.2.1 >/dev/null 2>&1 || echo no way out"
    docker rm -f vmrt-net >/dev/null
}

@test "docker network connect and disconnect while it runs; an internal network has no way out" {
    SHOW=1 each come_and_go
    output_has 172.31.0.8/24
    output_has 'reached again'
    output_has 'no way out'
}

linked() {
    docker run -d --name vmrt-peer --runtime="$runtime" --hostname peer --expose 80 busybox httpd -f >/dev/null
    docker run --rm --name vmrt-net --runtime="$runtime" --link vmrt-peer:server -e A=1 --dns 192.0.2.54 --hostname me busybox \
        sh -c 'env | grep SERVER | sort; cat /etc/hosts /etc/resolv.conf; ping -c 1 -W 20 server >/dev/null && echo pong
               wget -O /dev/null http://server/ 2>&1 | grep -o 404'
    docker rm -f vmrt-peer >/dev/null
}

@test "--link: variables, names, a way to the other; --dns in resolv.conf; as with runc" {
    SHOW=1 each linked
    output_has pong
    output_has 404
    output_has SERVER_PORT_80_TCP_ADDR=172.17.0.
    output_has 'nameserver 192.0.2.54'
}

with_settings() {
    docker run --rm --runtime="$runtime" --network vmrt-user --sysctl net.ipv4.conf.eth0.rp_filter=2 \
        --sysctl net.ipv4.conf.eth0.arp_announce=1 --sysctl net.ipv6.conf.eth0.hop_limit=33 busybox \
        grep . /proc/sys/net/ipv4/conf/eth0/rp_filter /proc/sys/net/ipv4/conf/eth0/arp_announce \
        /proc/sys/net/ipv4/conf/all/rp_filter /proc/sys/net/ipv4/conf/default/rp_filter \
        /proc/sys/net/ipv4/conf/lo/rp_filter /proc/sys/net/ipv6/conf/eth0/hop_limit \
        /proc/sys/net/ipv6/conf/default/hop_limit
}

@test "--sysctl of an interface: as with runc, of that one alone" {
    SHOW=1 each with_settings
    output_has eth0/rp_filter:2
    output_has eth0/arp_announce:1
    output_has eth0/hop_limit:33
    output_has 'status 0'
}

in_none() { docker run --rm --runtime="$runtime" --network none busybox sh -c "$seen_alone"; }

# Docker turns IPv6 off there; network_engines.bats has podman, which does not.
@test "--network none: itself and nobody else, as with runc" {
    SHOW=1 each in_none
    output_has 'inet 127.0.0.1/8'
    output_has 'pong 127.0.0.1'
    output_has 'Network is unreachable'
}
