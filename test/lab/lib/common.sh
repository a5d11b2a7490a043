# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the other files
# What every command of the lab uses: messages, the cache, the tools that must be there.

cache=${VMRT_CACHE:-/var/cache/vmrt}/lab
lab_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

say() {
    printf 'lab: %s\n' "$*" >&2
}

die() {
    say "$*"
    exit 125
}

# need_commands COMMAND:PACKAGE... - installs the packages of those commands that are missing
need_commands() {
    local pair packages=()

    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || packages+=("${pair#*:}")
    done
    [[ ${#packages[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || die "missing programs, please install: ${packages[*]}"
    say "installing ${packages[*]}"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends "${packages[@]}"; } </dev/null >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        die "cannot install ${packages[*]}"
    fi
    rm -f "$log"
}

# hash_of NAME... - a short hash of files and folders below $lab_dir: names, modes and contents
hash_of() {
    (cd "$lab_dir" && tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - "$@") |
        sha256sum | cut -c 1-16
}

# with_lock FILE COMMAND... - runs the command while nobody else holds the lock
with_lock() {
    local file=$1 fd status=0

    shift
    mkdir -p "$cache"
    exec {fd}>"$file"
    flock -w 5 "$fd" || {
        say "waiting for another lab, which holds $file"
        flock "$fd"
    }
    # not for the children: a lock must end with us
    "$@" {fd}>&- || status=$?
    exec {fd}>&-
    return "$status"
}

# name_tools - sets $tools, the folder of the programs built from this folder's C and of the part
# of the initramfs that is ours
name_tools() {
    tools=$cache/tools-$(hash_of agent.c supervise.c wire.h guest lib/common.sh)
}

ensure_tools() {
    name_tools
    [[ -d $tools ]] || with_lock "$cache/tools.lock" build_tools
    touch "$tools"
}

build_tools() {
    local tmp flags=(-D_GNU_SOURCE -std=gnu17 -O2 -Wall -Wextra -Werror)

    [[ ! -d $tools ]] || return 0
    need_commands cc:gcc cpio:cpio
    [[ -e /usr/include/stdio.h ]] || need_commands -:libc6-dev
    tmp=$(mktemp -d "$cache/.tmp.XXXXXX")
    mkdir -p "$tmp/initramfs/lab"
    cc "${flags[@]}" -o "$tmp/supervise" "$lab_dir/supervise.c" || die "cannot build supervise"
    cp -a "$lab_dir"/guest/. "$tmp/initramfs/lab/"
    cc "${flags[@]}" -static -s -o "$tmp/initramfs/lab/agent" "$lab_dir/agent.c" ||
        die "cannot build agent"
    mv "$tmp/initramfs/lab/init" "$tmp/initramfs/init"
    pack_initramfs "$tmp/initramfs" "$tmp/lab.cpio"
    rm -rf "$tmp/initramfs"
    mv -T "$tmp" "$tools"
}

# pack_initramfs FOLDER FILE - uncompressed: the emulated CPU unpacks more slowly than it reads
pack_initramfs() {
    (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$2" ||
        die "cannot pack $2"
}
