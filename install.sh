#!/bin/bash
# Sets up a Debian 12 machine for vmrt: packages, guest kernel, programs, container engines.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=${DESTDIR:-}
prefix=
engines=
action=install
demo=0

usage() {
    cat <<'END'
Usage: ./install.sh [--demo] [--prefix DIR] [--engines LIST]
       ./install.sh --register-only [--prefix DIR] [--engines LIST]
       ./install.sh --uninstall

Builds vmrt and its guest kernel, installs them, and makes vmrt known as a runtime to the container
engines that this machine has: Docker, podman, containerd. No engine is installed, and none has its
default runtime changed. Run it again at any time: what is done already is left alone.

  --demo           then run a container by vmrt. Where the CPU has no virtualization this happens
                   in the lab: a Debian host with Docker and KVM, emulated by QEMU
  --prefix DIR     where programs and guest kernel go (where they are already, else /usr/local)
  --engines LIST   register with these ("docker,podman"), or "none"; otherwise those found
  --register-only  build and install nothing, only register
  --uninstall      undo everything: files of engines are put back as they were. Packages and the
                   build cache stay; how to remove them is printed
  --help           print this

Environment: DESTDIR is put before every path that is written; no daemon is told then.
VMRT_CACHE (/var/cache/vmrt) holds the guest kernel and the lab's image once built.
END
}

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }
warn() { printf '[%4d s] warning: %s\n' "$SECONDS" "$*" >&2; }
die() {
    printf 'install.sh: %s\n' "$*" >&2
    exit 1
}

parse_arguments() {
    local engine

    while [ $# -gt 0 ]; do
        case $1 in
        --prefix | --engines) [ $# -gt 1 ] || die "$1: needs a value; see --help" ;;
        esac
        case $1 in
        --demo) demo=1 ;;
        --register-only | --uninstall)
            [ "$action" = install ] || die "$1: not together with --$action"
            action=${1#--}
            ;;
        --prefix) prefix=$2 && shift ;;
        --prefix=*) prefix=${1#*=} ;;
        --engines) engines=$2 && shift ;;
        --engines=*) engines=${1#*=} ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) die "unknown argument $1; see --help" ;;
        esac
        shift
    done
    prefix=${prefix:-$(cat "$record/prefix" 2>/dev/null || echo /usr/local)}
    [[ $prefix =~ ^/[A-Za-z0-9._/+-]*$ ]] ||
        die "--prefix: expected an absolute path of letters, digits and ._/+-, found \"$prefix\""
    prefix=${prefix%/}
    [ "$demo" = 0 ] || [ "$action" = install ] || die "--demo: not together with --$action"
    [ "$demo" = 0 ] || [ -z "$root" ] || die "--demo: not together with DESTDIR"
    for engine in ${engines//,/ }; do
        [[ $engine =~ ^(docker|podman|containerd|none)$ ]] ||
            die "--engines: expected docker, podman, containerd or none, found \"$engine\""
    done
    vmrt=$prefix/bin/vmrt
}

# ---- the machine ----

check_machine() {
    [ "$(id -u)" = 0 ] || die "must be run as root: sudo ./install.sh"
    [ "$(uname -m)" = x86_64 ] || die "vmrt runs on x86-64 only, this machine is $(uname -m)"
    # the variables stay in the subshell
    # shellcheck source=/dev/null
    if ! (. /etc/os-release && [ "$ID" = debian ] && [ "$VERSION_ID" = 12 ]) 2>/dev/null; then
        warn "this is not Debian 12, for which vmrt is made and tested; going on"
    fi
}

# Can this machine run virtual machines? A /dev/kvm alone does not say so: it may belong to a KVM
# in software, which cannot run an ordinary kernel.
has_kvm() {
    grep -qwE 'vmx|svm' /proc/cpuinfo || return 1
    [ ! -d /sys/module/kvm_pvm ] || return 1
    [ -e /dev/kvm ] || modprobe kvm_intel 2>/dev/null || modprobe kvm_amd 2>/dev/null || true
    [ -r /dev/kvm ] && [ -w /dev/kvm ]
}

# ---- packages ----

package_is_installed() {
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) = installed ]]
}

kernel_is_built() {
    local path

    path=$("$here/config/kernel/build" --print-path 2>/dev/null) && [ -e "$path" ]
}

# All at once and before anything runs side by side: dpkg has one lock.
install_packages() {
    local package missing=()

    for package in "$@"; do
        package_is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "no apt-get here; install what these Debian packages hold: ${missing[*]}"
    say "packages: installing ${missing[*]}"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends "${missing[@]}"; } </dev/null >"$log/packages.log" 2>&1; then
        tail -n 5 "$log/packages.log" >&2
        die "apt-get failed: $log/packages.log"
    fi
    mkdir -p "$record"
    printf '%s\n' "${missing[@]}" >>"$record/packages"
}

lab_packages=(qemu-system-x86 qemu-utils mmdebstrap e2fsprogs xz-utils cpio)

needed_packages() {
    grep -v '^#' "$here/config/install/packages"
    kernel_is_built ||
        echo linux-source-6.12 binutils flex bison bc perl libelf-dev xz-utils
    [ "$with_lab" = 0 ] || echo "${lab_packages[@]}"
    ! needs_jq || echo jq
}

needs_jq() {
    case $engines in
    '') installed docker ;;
    *) [[ ,$engines, = *,docker,* ]] ;;
    esac
}

# ---- building ----

jobs_started=()

stop_jobs() {
    local pid

    for pid in "${jobs_started[@]}"; do
        kill -- "-$pid" 2>/dev/null || true
    done
}

# start_job NAME COMMAND...: in the background, its progress shown and kept in a log; $started is
# its process.
start_job() {
    local name=$1

    shift
    say "$name: started"
    # a session of its own, to be ended with all that it started
    setsid "$@" </dev/null 2> >(tee "$log/$name.log" | sed -u 's/^/         /') \
        >"$log/$name.out" &
    started=$!
    jobs_started+=("$started")
}

# await_job NAME PROCESS: until it is done; it may be silent for minutes.
await_job() {
    local waited=0

    while kill -0 "$2" 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
        [ $((waited % 60)) != 0 ] || say "$1: still at work"
    done
    wait "$2" || {
        tail -n 10 "$log/$1.log" >&2
        die "$1 failed: $log/$1.log"
    }
    say "$1: done"
}

build_and_install() {
    local kernel_job lab_job='' jobs

    jobs=$(nproc)
    start_job kernel "$here/config/kernel/build"
    kernel_job=$started
    if [ "$with_lab" = 1 ]; then
        start_job lab "$here/test/lab/lab" build
        lab_job=$started
    fi
    say "programs: building"
    make -s -j"$jobs" -C "$here" PREFIX="$prefix" all >"$log/programs.log" 2>&1 || {
        tail -n 20 "$log/programs.log" >&2
        die "the programs did not build: $log/programs.log"
    }
    say "programs: done"
    await_job kernel "$kernel_job"
    install_programs
    [ -z "$lab_job" ] || await_job lab "$lab_job"
    jobs_started=()
}

install_programs() {
    local folder

    for folder in bin libexec/vmrt lib/vmrt share/man/man8; do
        make_folder "$root$prefix/$folder"
    done
    make -s -C "$here" PREFIX="$prefix" DESTDIR="$root" install >"$log/install.log" 2>&1 || {
        tail -n 20 "$log/install.log" >&2
        die "make install failed: $log/install.log"
    }
    mkdir -p "$record"
    printf '%s\n' "$prefix" >"$record/prefix"
    say "programs: installed in $root$prefix"
}

# Programs of an earlier run with another prefix would stay for ever.
remove_programs() {
    local old

    [ -e "$record/prefix" ] || return 0
    old=$(cat "$record/prefix")
    [ "$old" != "${1:-}" ] || return 0
    make -s -C "$here" PREFIX="$old" DESTDIR="$root" uninstall >/dev/null
    rm -f "$record/prefix"
    say "programs: removed from $root$old"
}

# ---- the demo ----

# A machine that looks able to run virtual machines and is not, by vmrt's own account.
fall_back_to_lab() {
    say "this machine cannot run virtual machines after all, see above"
    with_lab=1
    install_packages "${lab_packages[@]}"
    start_job lab "$here/test/lab/lab" build
    await_job lab "$started"
    jobs_started=()
}

run_demo() {
    local engine=bare

    if [ "$with_lab" = 1 ]; then
        say "demo: in the lab, because this machine cannot run virtual machines itself;" \
            "its emulated CPU needs a minute to start Docker"
        "$here/test/lab/lab" run --docker --timeout 600 -- \
            /src/config/install/demo.sh docker /usr/local/bin/vmrt "$(uname -r)" || return 1
    else
        if docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q '"vmrt"'; then
            engine=docker
        elif command -v podman >/dev/null; then
            engine=podman
        fi
        say "demo: on this machine, with ${engine/bare/no engine (none is here, or none runs)}"
        "$here/config/install/demo.sh" "$engine" "$vmrt" || return 1
    fi
    say "demo: done"
}

# ---- the three actions ----

install_all() {
    local packages problems=0 able=1

    log=$here/build/log
    mkdir -p "$log"
    with_lab=0
    if ! has_kvm; then
        say "this machine: no usable KVM"
        with_lab=$demo
    fi
    mapfile -t packages < <(needed_packages | tr ' ' '\n')
    install_packages "${packages[@]}"
    remove_programs "$prefix"
    build_and_install
    install_settings
    register_engines || problems=1
    if [ -z "$root" ]; then
        say "vmrt check, on this machine itself:"
        "$vmrt" check || able=0
        [ "$able" = 1 ] || [ "$demo" = 0 ] || [ "$with_lab" = 1 ] || fall_back_to_lab
    fi
    if [ "$demo" = 1 ]; then
        run_demo || die "the demo failed; \"$vmrt check\" and docs/testing.md may help"
    fi
    [ "$problems" = 0 ] || die "vmrt is installed, but not every engine knows it: see above"
    if [ "$able" = 1 ]; then
        say "done. Try: docker run --rm --runtime=vmrt IMAGE, podman --runtime vmrt run IMAGE"
    else
        say "done, but this machine cannot run containers by vmrt until what is missing above is there"
    fi
}

register_only() {
    log=$(mktemp -d)
    if needs_jq && ! command -v jq >/dev/null; then
        install_packages jq
    fi
    rm -rf "$log"
    register_engines || die "not every engine knows vmrt: see above"
    say "done"
}

uninstall() {
    local packages=()

    if [ ! -d "$record" ]; then
        say "nothing to undo: there is no $record"
        return 0
    fi
    if [ -z "$root" ] && pidof vmrt-vmm >/dev/null; then
        die "containers are still running in vmrt ($(pidof vmrt-vmm | wc -w)): stop them first"
    fi
    unregister_engines
    remove_settings
    remove_programs
    [ ! -e "$record/packages" ] || mapfile -t packages < <(sort -u "$record/packages")
    remove_folders
    rm -rf "$record"
    rmdir "$(dirname "$record")" 2>/dev/null || true
    say "done"
    if [ ${#packages[@]} -gt 0 ]; then
        echo "Packages that were installed stay; to remove them: apt-get autoremove --purge" \
            "${packages[*]}"
    fi
    if [ -z "$root" ] && [ -d "${VMRT_CACHE:-/var/cache/vmrt}" ]; then
        echo "The build cache stays; to remove it: rm -r ${VMRT_CACHE:-/var/cache/vmrt}"
    fi
}

# shellcheck source=config/install/engines.sh
. "$here/config/install/engines.sh"

parse_arguments "$@"
trap 'exit 130' INT TERM
trap stop_jobs EXIT
check_machine
exec {lock}<"$here/install.sh"
flock -n "$lock" || die "another install.sh is running"
case $action in
install) install_all ;;
register-only) register_only ;;
uninstall) uninstall ;;
esac
