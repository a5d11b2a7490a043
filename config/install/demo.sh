#!/bin/bash
# The demo's last act: a container by vmrt, beside the machine it runs on.
# usage: demo.sh docker|podman|bare VMRT [RELEASE]
#
# RELEASE: uname -r of the machine around the lab, when this one is the lab.
set -u

if [ $# -lt 2 ] || ! [[ $1 =~ ^(docker|podman|bare)$ ]]; then
    sed -n 's/^# usage/usage/p' "$0" >&2
    exit 2
fi
engine=$1
vmrt=$2
around=${3:-}
image='vmrt-demo'
remove_image=0
work=$(mktemp -d)

clean_up() {
    [ "$remove_image" = 0 ] || "$engine" rmi -f "$image" >/dev/null 2>&1
    rm -rf "$work"
}
trap clean_up EXIT

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# A static busybox: this machine's, or one taken out of Debian's package without installing it.
find_busybox() {
    busybox=$(command -v busybox) && ! ldd "$busybox" >/dev/null 2>&1 && return
    cd "$work" || die "no $work"
    { apt-get -q download busybox-static || {
        apt-get -q update && apt-get -q download busybox-static
    }; } >log 2>&1 || die "cannot download busybox-static: $(tail -n 1 log)"
    dpkg-deb -x busybox-static_*.deb package || die "cannot unpack busybox-static"
    busybox=$work/package/bin/busybox
}

make_rootfs() {
    local applet

    find_busybox
    mkdir -p "$work"/rootfs/{bin,dev,etc,proc,sys,tmp}
    cp "$busybox" "$work/rootfs/bin/busybox"
    for applet in sh uname; do
        ln -s busybox "$work/rootfs/bin/$applet"
    done
}

# An image without asking a registry: busybox if the engine has one, else one made here.
prepare() {
    if [ "$engine" = bare ]; then
        make_rootfs
    elif "$engine" image inspect busybox >/dev/null 2>&1; then
        image=busybox
    else
        make_rootfs
        tar -C "$work/rootfs" -c . | "$engine" import - "$image" >"$work/log" 2>&1 ||
            die "$engine import: $(tail -n 1 "$work/log")"
        remove_image=1
    fi
}

# write_config WORD...: the smallest config.json that is a container; words without quotes.
write_config() {
    local words

    words=$(printf '"%s", ' "$@")
    cat >"$work/config.json" <<END
{
    "ociVersion": "1.0.2",
    "process": {
        "user": { "uid": 0, "gid": 0 },
        "args": [ ${words%, } ],
        "env": [ "PATH=/bin" ],
        "cwd": "/"
    },
    "root": { "path": "rootfs" },
    "mounts": [
        { "destination": "/proc", "type": "proc", "source": "proc" },
        { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
          "options": [ "nosuid", "strictatime", "mode=755", "size=65536k" ] }
    ],
    "linux": {
        "namespaces": [ { "type": "pid" }, { "type": "mount" }, { "type": "network" },
                        { "type": "ipc" }, { "type": "uts" } ]
    }
}
END
}

# show WORD...: a command line as people type it.
show() {
    local word line=''

    for word in "$@"; do
        [[ $word = *' '* ]] && word="'$word'"
        line+=" $word"
    done
    printf %s "${line# }"
}

# attempt WORD...: runs the words in a container, shows it, sets $output and $status.
attempt() {
    local command

    case $engine in
    docker) command=(docker run --rm --runtime=vmrt "$image" "$@") ;;
    podman) command=(podman --runtime "$vmrt" run --rm "$image" "$@") ;;
    bare)
        write_config "$@"
        echo "  (a bundle of busybox with \"args\": $*)"
        command=("$vmrt" run --bundle "$work" "vmrt-demo-$$")
        ;;
    esac
    printf '  $ %s\n' "$(show "${command[@]}")"
    output=$("${command[@]}" 2>"$work/stderr" </dev/null)
    status=$?
    [ -z "$output" ] || printf '  %s\n' "$output"
    sed 's/^/  /' "$work/stderr"
}

row() {
    printf '  %-40s %s\n' "$1" "$2"
}

prepare
echo
attempt uname -r
[[ $status = 0 && $output ]] || die "the container did not run: status $status"
guest=$output
attempt sh -c 'exit 42'
printf '  $ echo $?\n  %s\n\n' "$status"

row '' 'uname -r'
if [ -n "$around" ]; then
    row 'this machine' "$around"
    row 'the lab, a Debian host emulated on it' "$(uname -r)"
else
    row 'this machine' "$(uname -r)"
fi
row 'the container' "$guest"
echo
[ "$guest" != "$(uname -r)" ] || die "the container ran on this machine's kernel, not in a VM"
[ "$status" = 42 ] || die "the exit status was $status, not 42"
cat <<'END'
What this shows: the same command line and the same image as with runc, but the container has a
Linux kernel of its own, in a virtual machine of its own; and its exit status comes through.
END
