# A server in a container, nginx, whose ports Docker publishes: who reaches it, whether what it sends
# is intact, how many connections it bears. One container serves all tests.
load engines
load networks

served=/srv/vmrt-nginx

setup_file() {
    engines_up
    docker network create --ipv6 --subnet 172.30.0.0/24 --subnet fd30::/64 vmrt-user >/dev/null
    mkdir -p $served/www $served/w
    head -c 100000000 /dev/urandom >$served/www/large
    head -c 10000000 $served/www/large >$served/www/middle
    head -c 100000 $served/www/large >$served/www/medium
    echo small >$served/www/small
    cat >$served/nginx.conf <<'END'
daemon off; pid /srv/vmrt-nginx/w/pid; error_log stderr; user root; worker_processes 1;
events { worker_connections 16384; }
http { access_log off; sendfile on; client_header_timeout 300; keepalive_timeout 300; server {
listen 80 backlog=16384; listen [::]:80; root /srv/vmrt-nginx/www; location = /held { return 200 "held\n"; } } }
END
    # nginx and socat are the lab's own, whose files are shared read-only.
    docker run -d --name vmrt-net --runtime="$RUNTIME" --network vmrt-user --ip 172.30.0.7 --ip6 fd30::7 \
        --ulimit nofile=16384:16384 --sysctl net.core.somaxconn=16384 \
        -p 8099:80 -p 8053:7/udp -v /:/host:ro -v $served/w:/host$served/w --tmpfs /host/var/lib/nginx \
        busybox sh -c 'chroot /host socat UDP-LISTEN:7,fork PIPE &
            exec chroot /host nginx -e stderr -c /srv/vmrt-nginx/nginx.conf' >/dev/null
    wait_for 60 curl -sSf -m 5 -o /dev/null http://172.30.0.7/small
}

teardown() {
    [ -z "${TCPDUMP:-}" ] || kill "$TCPDUMP" 2>/dev/null || true
    remove vmrt-peer
}

teardown_file() {
    remove vmrt-net
    docker network rm vmrt-user >/dev/null
}

# md5sum's first word of stdin.
sum() { md5sum | cut -d ' ' -f 1; }

@test "reached at the container's address and at published ports, IPv4 and IPv6, by the host, the world and itself" {
    local address
    for address in 172.30.0.7 '[fd30::7]' 127.0.0.1:8099 192.0.2.2:8099 '[::1]:8099'; do
        [ "$(curl -g -sSf -m 20 "http://$address/small")" = small ]
    done
    [ "$(world curl -sS -m 20 http://192.0.2.2:8099/small)" = small ]
    [ "$(world curl -g -sS -m 20 'http://[2001:db8::2]:8099/small')" = small ]
    # Hairpin.
    [ "$(docker exec vmrt-net wget -q -O - http://192.0.2.2:8099/small)" = small ]
}

# Segments that the guest left to others to cut, by IPv4, as a published port's and by IPv6 as they come.
@test "what leaves the host has its checksums, TCP and UDP, IPv4 and IPv6" {
    local dump=$BATS_TEST_TMPDIR/dump
    # The packets of somebody outside; the veth computes them no longer.
    ethtool -K eth0 tx off >/dev/null
    world ip -6 route add fd30::/64 via 2001:db8::2
    # Each packet's place in tcpdump's buffer is as large as -s allows.
    ip netns exec world tcpdump -l --immediate-mode -i eth0 -nn -vv -s 2048 -B 8192 \
        '(src host 192.0.2.2 and (port 8099 or port 8053)) or (src host fd30::7 and tcp)' \
        >"$dump" 2>"$dump.err" 3>&- &
    TCPDUMP=$!
    wait_for 20 grep -q 'listening on' "$dump.err"
    for address in 192.0.2.2:8099 '[fd30::7]'; do
        [ "$(world curl -g -sS -m 60 "http://$address/medium" | sum)" = "$(sum <$served/www/medium)" ]
    done
    [ "$(world python3 -c 'import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(20)
s.sendto(b"question", ("192.0.2.2", 8053)); print(s.recv(99).decode())')" = question ]
    # From $1: packets with what was asked for, in all.
    summed() {
        [ "$(sed -nE "s/.*$1 >.* cksum 0x[0-9a-f]+ \(correct\).* length ([0-9]+)(:.*)?$/\1/p" "$dump" |
            awk '{n += $1} END {print n + 0}')" -ge 100000 ]
    }
    tcp_summed() { summed 192.0.2.2.8099 && summed fd30::7.80; }
    udp_summed() { grep -q 'udp sum ok' "$dump"; }
    wait_for 20 tcp_summed && wait_for 10 udp_summed || show "$(head -n 60 "$dump")"
    kill $TCPDUMP
    wait $TCPDUMP || true
    TCPDUMP=
    world ip -6 route del fd30::/64
    ethtool -K eth0 tx on >/dev/null
    tcp_summed
    udp_summed
    run ! grep -E 'incorrect|bad' "$dump"
}

@test "a file of 100 MB, intact, through the published port" {
    [ "$(world curl -sS -m 280 http://192.0.2.2:8099/large | sum)" = "$(sum <$served/www/large)" ]
}

# 10 MB: here the receiver's machine is at work as well.
@test "a file of 10 MB, intact, in a container of runc and in one of its own runtime" {
    local peer
    for peer in "${RUNTIMES[@]}"; do
        run docker run --rm --runtime="$peer" --network vmrt-user busybox sh -c \
            'wget -q -O - http://172.30.0.7/middle | md5sum; wget -q -O - "http://[fd30::7]/small"'
        show "$peer: $output"
        [ "$output" = "$(sum <$served/www/middle)"$'  -\nsmall' ]
    done
}

# One after the other is a tenth of a second each where the processor is emulated.
@test "1000 connections in a row" {
    python3 "$BATS_TEST_DIRNAME/connections.py" 172.30.0.7 80 sequential >&2
}

# nginx's queue holds all that it has not accepted yet. A server
# with so many connections must not be asked for files while the processor is emulated: 30 ms
# each, and nginx closes unanswered what has waited for longer than client_header_timeout. At
# the container's own address: the published port's NAT is the host's.
@test "10,000 connections open at the same time; then a storm of a peer's that nobody can serve, and does not stop exec" {
    local storm
    python3 "$BATS_TEST_DIRNAME/connections.py" 172.30.0.7 80 held >&2
    docker run --rm --name vmrt-peer --runtime=runc --network vmrt-user -v /:/host:ro busybox \
        chroot /host python3 "$BATS_TEST_DIRNAME/connections.py" 172.30.0.7 80 storm >&2 3>&- &
    storm=$!
    [ "$(docker exec vmrt-net echo alive)" = alive ]
    wait $storm
    [ "$(curl -sS -m 60 http://172.30.0.7/small)" = small ]
}
