# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the other files
# The lab's machine: QEMU's command line, and what is given to it.

# Devices cannot be added to a saved state, so every machine has them all, used or not.
share_slots=8
vmrt_disk_mib=256

# machine_options - the defaults; the command line of `lab run` changes them
machine_options() {
    accel=auto mem=6144 smp=1 timeout=0 verbose=0
    docker=0 cold=0 with_tree=0 vmrt_disk='' shares=()
    terminal=0
}

# quoted VALUE - a value inside an option of QEMU, where a comma is doubled
quoted() {
    printf %s "${1//,/,,}"
}

# Of the CPU model's features, those that TCG lacks and warns of at each start.
not_emulated=-rdseed,-sha-ni,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-perfctr-core
not_emulated+=,-clzero,-xsaveerptr,-ibpb,-nrip-save

# Those that it gets wrong. XSAVEC and XSAVES: its leaf 0xD is inconsistent, so the nested guest must
# not see them. CMPXCHG16B: QEMU 7.2 computes the flags from a stale cc_op (helper_cmpxchg16b() is
# called without gen_update_cc_op()); an interrupt before the next instruction that sets them then
# saves operand bits as EFLAGS, and the return from it may clear IF or set NT, TF or VM. Kernels
# allocate memory with it (mm/slub.c): guests panicked at instructions that cannot fail.
emulated_badly=-xsavec,-xsaves,-cx16

# On hardware with virtualization the lab is a nested guest; elsewhere its CPU is emulated, with SVM.
choose_cpu() {
    case $(resolved_accel) in
    kvm) emulator+=(-accel kvm -cpu host) ;;
    tcg)
        emulator+=(-accel 'tcg,thread=multi,tb-size=1024')
        emulator+=(-cpu "EPYC-v3,+svm,+npt,$emulated_badly,$not_emulated")
        ;;
    esac
}

# prints kvm or tcg
resolved_accel() {
    local nested

    if [[ $accel = auto ]]; then
        nested=$(cat /sys/module/kvm_{intel,amd}/parameters/nested 2>/dev/null)
        if grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo && [[ $nested = [Y1]* ]] &&
            [[ -r /dev/kvm && -w /dev/kvm ]]; then
            echo kvm
        else
            echo tcg
        fi
    else
        echo "$accel"
    fi
}

# machine_argv CONSOLE ROOT-DISK [INCOMING] - sets $emulator, and $attach to what the lab's attach
# must be told; with INCOMING the machine's state comes from that file descriptor
machine_argv() {
    local console=$1 initrd n tty=null,id=tty
    local append=(console=ttyS0 quiet panic=-1 mitigations=off audit=0 apparmor=0 net.ifnames=0)

    # On a busy host the emulated timers look broken to a kernel that tests them.
    append+=(random.trust_cpu=1 no_timer_check tsc=reliable nowatchdog)
    [[ $docker = 0 ]] || append+=(lab.docker)
    initrd=$image/initrd-${tools##*-}
    if [[ ! -e $initrd ]]; then
        cat "$image/modules.cpio" "$tools/lab.cpio" >"$initrd.$$" || die "cannot write $initrd"
        mv "$initrd.$$" "$initrd"
    fi

    emulator=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M q35)
    choose_cpu
    emulator+=(-smp "$smp" -m "$mem" -kernel "$image/vmlinux" -initrd "$initrd")
    emulator+=(-append "${append[*]}")
    emulator+=(-chardev "file,id=console,append=on,path=$(quoted "$console")")
    emulator+=(-device 'isa-serial,chardev=console')
    add_disk root "$2"
    add_disk vmrt "format=raw,readonly=on,file=$(quoted "${vmrt_disk:-$cache/none.img}")"
    emulator+=(-device 'virtio-serial-pci,id=serial' -chardev 'socket,id=agent,fd=3')
    emulator+=(-device 'virtserialport,bus=serial.0,nr=1,chardev=agent,name=lab')
    [[ $terminal = 0 ]] || tty=stdio,id=tty,mux=on,signal=off
    emulator+=(-chardev "$tty" -device 'virtconsole,bus=serial.0,nr=2,chardev=tty')
    [[ $terminal = 0 ]] || emulator+=(-mon 'chardev=tty,mode=readline')

    attach=()
    [[ -z $vmrt_disk ]] || attach+=(-p vmrt)
    if [[ $with_tree = 1 ]]; then
        add_share src "$tree" ,readonly=on
        attach+=(-p tree)
    else
        add_share src "$cache/none" ,readonly=on
    fi
    for ((n = 0; n < share_slots; n++)); do
        if [[ $n -lt ${#shares[@]} ]]; then
            add_share "share$n" "${shares[n]%:*}" ''
            attach+=(-p "share$n=${shares[n]##*:}")
        else
            add_share "share$n" "$cache/none" ,readonly=on
        fi
    done
    [[ -z ${3:-} ]] || emulator+=(-incoming "fd:$3")
}

# add_disk NAME OPTIONS
add_disk() {
    emulator+=(-drive "if=none,id=$1,$2" -device "virtio-blk-pci,drive=$1")
}

# add_share TAG FOLDER OPTIONS
add_share() {
    emulator+=(-fsdev "local,id=$1,security_model=none,multidevs=remap,path=$(quoted "$2")$3")
    emulator+=(-device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
}

# What stands in the places of a tree, a share or a disk that a run does not have.
make_placeholders() {
    mkdir -p "$cache/none"
    [[ -e $cache/none.img ]] || truncate -s "${vmrt_disk_mib}M" "$cache/none.img"
}

# Keeps `lab clean` away from the image, until QEMU, which inherits the descriptor, has ended.
hold_image() {
    exec {image_fd}<"$image"
    flock -s "$image_fd"
}

new_console() {
    console=$(mktemp "${TMPDIR:-/tmp}/vmrt-lab.XXXXXX") || die "cannot make a file for the console"
}

# run_machine COMMAND... - boots or resumes the lab, runs the command, ends with its status
run_machine() {
    local console state_fd root options=()

    make_placeholders
    new_console
    if [[ $cold = 0 ]] && ensure_state; then
        touch "$state"
        exec {state_fd}<"$state/memory"
        root="format=qcow2,snapshot=on,cache=unsafe,file=$(quoted "$state/disk")"
        machine_argv "$console" "$root" "$state_fd"
        options+=(-r)
    else
        root="format=raw,snapshot=on,cache=unsafe,file=$(quoted "$image/root.img")"
        machine_argv "$console" "$root"
    fi
    [[ $verbose = 0 ]] || options+=(-v)
    [[ $terminal = 0 ]] || options+=(-i)
    "$tools/supervise" -c "$console" -t "$timeout" "${options[@]}" "${attach[@]}" \
        $# "$@" "${emulator[@]}"
}

# run_shell - a root shell on this terminal
run_shell() {
    local size

    [[ -t 0 && -t 1 ]] || die "the shell needs a terminal"
    read -ra size < <(stty size)
    terminal=1
    say "Ctrl-A X ends the lab at once"
    # shellcheck disable=SC2016 # expanded in the lab
    run_machine sh -c '
        exec <>/dev/hvc0 >&0 2>&0
        stty sane rows "$1" cols "$2"
        TERM=$3 exec setsid -c -w bash -l' sh "${size[0]:-24}" "${size[1]:-80}" "${TERM:-linux}"
}

# ensure_state - sets $state to the folder with the saved state of a machine that is set up, with or
# without dockerd. Fails when this run's machine is too special for one.
#
# The state is memory and the disk's changes, saved while the agent waits for its first frame. It
# fits a machine of exactly the same devices; TCG emulates the same CPU everywhere, except that the
# speed of its TSC is the host's.
ensure_state() {
    local defaults key

    defaults=$(machine_options && echo "$mem $smp")
    [[ "$mem $smp" = "$defaults" && $(resolved_accel) = tcg ]] || return 1
    key=$(cat "$lab_dir/lib/machine.sh" <(qemu-system-x86_64 --version) \
        <(grep -m 1 '^model name' /proc/cpuinfo) | sha256sum | cut -c 1-8)
    state=$image/state-${tools##*-}-$key-$docker
    [[ -e $state/memory ]] || with_lock "$cache/state-$docker.lock" save_state
}

save_state() {
    local console tmp result

    [[ ! -e $state/memory ]] || return 0
    need_commands qemu-img:qemu-utils
    find "$image" -maxdepth 1 -name 'state-*' -mmin +120 -exec rm -rf {} +
    tmp=$(mktemp -d "$image/.tmp.XXXXXX")
    new_console
    qemu-img create -q -f qcow2 -F raw -b "$image/root.img" "$tmp/disk" || die "qemu-img failed"
    (
        machine_options
        docker=${state##*-}
        machine_argv "$console" "format=qcow2,cache=unsafe,file=$(quoted "$tmp/disk")"
        emulator+=(-chardev 'socket,id=monitor,fd=4' -mon 'chardev=monitor,mode=readline')
        exec "$tools/supervise" -c "$console" -m "migrate_set_parameter max-bandwidth 100G
migrate \"exec:cat >'$tmp/memory'\"
quit
" 0 "${emulator[@]}"
    )
    result=$?
    if [[ $result != 0 || ! -s $tmp/memory ]]; then
        rm -rf "$tmp"
        die "cannot save the lab's state"
    fi
    mv -T "$tmp" "$state"
}

# prepare_vmrt - installs vmrt for the lab; sets $vmrt_disk when there is something to install
prepare_vmrt() {
    local work log make timer first status

    need_commands mke2fs:e2fsprogs make:make
    if ! has_install_target; then
        say "$tree has no 'make install'; the lab has no vmrt"
        return 0
    fi
    work=$(mktemp -d "$cache/.tmp.XXXXXX")
    log=$work/log
    with_lock "$cache/make-$(cksum <<<"$tree" | cut -d ' ' -f 1).lock" \
        install_tree "$work/root" >"$log" 2>&1 &
    make=$!
    # a first build takes minutes, most of them for the guest kernel
    sleep 5 >/dev/null 2>&1 &
    timer=$!
    wait -n -p first "$make" "$timer"
    status=$?
    if [[ $first = "$timer" ]]; then
        say "building vmrt: make install in $tree"
        wait "$make"
        status=$?
    fi
    kill "$timer" 2>/dev/null
    if [[ $status != 0 ]]; then
        tail -n 40 "$log" >&2
        rm -rf "$work"
        die "make install failed"
    fi
    [[ $verbose = 0 ]] || cat "$log" >&2
    make_vmrt_disk "$work"
    rm -rf "$work"
}

# A question to make, not to the Makefile: the target may stand in an included file.
has_install_target() {
    local answer

    answer=$(LC_ALL=C make -C "$tree" -n install DESTDIR=/nonexistent 2>&1 </dev/null)
    [[ $answer != *"No rule to make target 'install'"* && $answer != *'no makefile found'* ]]
}

# Two labs that start together must not run make in the same tree; hence the caller's lock.
install_tree() {
    mkdir "$1"
    make -s -C "$tree" install DESTDIR="$1" PREFIX=/usr/local </dev/null
}

# make_vmrt_disk WORK - packs WORK/root as a disk, unless the same files were packed before
make_vmrt_disk() {
    local path

    path=$cache/vmrt-$(tar --sort=name --mtime=@0 -C "$1/root" -cf - . | sha256sum |
        cut -c 1-16).img
    if [[ ! -e $path ]]; then
        # a build leaves a disk behind each time; nobody asks for the old ones any more
        find "$cache" -maxdepth 1 -name 'vmrt-*.img' -mmin +120 -delete
        mke2fs -q -t ext4 -O '^has_journal' -m 0 -d "$1/root" "$1/disk" \
            "${vmrt_disk_mib}M" >/dev/null || die "what vmrt installs does not fit on its disk"
        mv "$1/disk" "$path"
    fi
    touch "$path"
    vmrt_disk=$path
}
