# What the end-to-end tests share. They run in the lab, as root, with vmrt installed.
bats_require_minimum_version 1.5.0
ROOTFS=/var/lib/vmrt-test/rootfs

# bundle DIR [JQ-FILTER [ROOTFS-NAME]]: a bundle with a root of its own; the filter edits config.json.
bundle() {
    local dir=$1 filter=${2:-.} name=${3:-busybox}
    mkdir -p "$dir"
    cp -a "$ROOTFS/$name" "$dir/rootfs"
    (cd "$dir" && runc spec)
    jq '.process.terminal = false | .root.readonly = false | '"$filter" \
        "$dir/config.json" >"$dir/config.new"
    mv "$dir/config.new" "$dir/config.json"
}

# args 'JSON ARRAY': a filter that sets the command.
args() { printf '.process.args = %s' "$1"; }

# Everything a container could leave behind on the host, one item a line. Not dockerd's own names for
# network namespaces: it collects them some time after their containers, with every runtime.
footprint() {
    ps -eo comm= | grep '^vmrt' | sort | sed 's/^/process /'
    awk '$5 !~ /docker\/netns/ {print "mount " $5}' /proc/self/mountinfo | sort
    find /sys/fs/cgroup -type d | sort | sed 's/^/cgroup /'
    # The inode numbers of namespaces that processes or bind mounts hold.
    lsns -n -t net -o NS 2>/dev/null | sort | sed 's/^/netns /'
    find /run /var/run/docker /tmp -xdev \( -path '/tmp/bats*' -o -path '/run/containerd/*.v1.*' \
        -o -path '*/run/docker/netns' -o -name '@seccomp' \) \
        -prune -o -print 2>/dev/null | sort | sed 's/^/file /'
    ip -o link | awk -F': ' '{print "link " $2}' | sort
}

# wait_for SECONDS COMMAND...: until it succeeds. For conditions that the system reaches by itself.
wait_for() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$limit" ] || { echo "still failing after its time: $*" >&2; return 1; }
        sleep 0.1
    done
}

status_is() { [ "$(vmrt state "$1" | jq -r .status)" = "$2" ]; }

guest_kernel() { [[ "$1" == 6.12.*-vmrt ]]; }

# Prints what went wrong where bats shows it.
show() { printf '%s\n' "$@" >&2; }
