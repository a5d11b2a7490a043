# What the tests of networks share, beside engines.bash.

# What a container sees of its network, without what numbers its interfaces and queues, and without
# what busybox says of a veth whose other end it cannot see. Until then every address is usable: the
# kernel takes a second or two over each of IPv6. Routes of IPv6 that
# are alike but for the interface come in the order in which the interfaces came up.
# shellcheck disable=SC2034,SC2016 # used by the files that load this, in containers
seen='while ip -6 addr | grep -q tentative; do sleep 0.2; done
    ip -o link | sed -E "s/,M-DOWN//
        s/^[0-9]+: ([^@:]+)(@[^:]*)?: (<[^>]*>) mtu ([0-9]+) .*(link\/.*)/\1 \3 \4 \5/"
    ip -o addr | sed -E "s/^[0-9]+: //; s/[0-9]+sec/Nsec/g"
    ip route; ip -6 route | sort'
# Of no network.
# shellcheck disable=SC2034,SC2016
seen_alone='ip addr; ip route; ip -6 route
    for a in 127.0.0.1 ::1; do ping -c 1 -W 20 $a >/dev/null 2>&1 && echo "pong $a"; done
    ping -c 1 -W 3 192.0.2.1 2>&1 | tail -n 1'

# script TEXT: a filter that makes a shell script the command.
script() { printf '.process.args = ["sh", "-c", %s]' "$(jq -Rs . <<<"$1")"; }

world() { ip netns exec world "$@"; }

# namespace NAME [MTU]: a network namespace joined to the host by a veth pair, 10.77.0.1 and
# fd77::1 on the host and 10.77.0.2 and fd77::2 in it, whose MAC is always the same.
namespace() {
    ip netns add "$1"
    ip link add "$1-h" type veth peer name eth7 netns "$1"
    ip -n "$1" link set eth7 address 02:00:00:00:77:02
    ip link set "$1-h" mtu "${2:-1500}"
    ip -n "$1" link set eth7 mtu "${2:-1500}"
    ip addr add 10.77.0.1/24 dev "$1-h" && ip link set "$1-h" up
    # RFC 8200 §5: no IPv6 below an MTU of 1280.
    [ "${2:-1500}" -lt 1280 ] || ip addr add fd77::1/64 dev "$1-h" nodad
    ip -n "$1" addr add 10.77.0.2/24 dev eth7
    [ "${2:-1500}" -lt 1280 ] || ip -n "$1" addr add fd77::2/64 dev eth7 nodad
    ip -n "$1" link set lo up && ip -n "$1" link set eth7 up
    ip -n "$1" route add default via 10.77.0.1
}

namespace_gone() {
    ip netns del "$1" 2>/dev/null || true
    ip link del "$1-h" 2>/dev/null || true
}

# netns_bundle DIR NETNS FILTER: a bundle in that namespace.
netns_bundle() {
    rm -rf "$1"
    bundle "$1" '(.linux.namespaces[] | select(.type == "network")).path = "/run/netns/'"$2"'" |
        .process.capabilities |= map_values(. + ["CAP_NET_RAW", "CAP_NET_ADMIN"]) | '"$3"
}

no_watcher() { ! pgrep -x vmrt-net >/dev/null; }
