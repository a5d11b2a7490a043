# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the other files
# The lab's machine: QEMU's command line, and what is given to it.

# machine_options - the defaults; the command line of `lab run` changes them
machine_options() {
    accel=auto mem=6144 smp=1 timeout=0 verbose=0
    docker=0 with_tree=0 vmrt_disk='' shares=()
    root_options=snapshot=on,cache=unsafe
}

# quoted VALUE - a value inside an option of QEMU, where a comma is doubled
quoted() {
    printf %s "${1//,/,,}"
}

# Of the CPU model's features, those that TCG lacks and warns of at each start.
not_emulated=-rdseed,-sha-ni,-fxsr-opt,-misalignsse,-3dnowprefetch,-osvw,-topoext,-perfctr-core
not_emulated+=,-clzero,-xsaveerptr,-ibpb,-nrip-save

# On hardware with virtualization the lab is a nested guest; elsewhere its CPU is emulated, with
# SVM. TCG's leaf 0xD is inconsistent for XSAVEC and XSAVES, so the nested guest must not see them.
choose_cpu() {
    local nested

    if [[ $accel = auto ]]; then
        accel=tcg
        nested=$(cat /sys/module/kvm_{intel,amd}/parameters/nested 2>/dev/null)
        if grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo && [[ $nested = [Y1]* ]] &&
            [[ -r /dev/kvm && -w /dev/kvm ]]; then
            accel=kvm
        fi
    fi
    case $accel in
    kvm) emulator+=(-accel kvm -cpu host) ;;
    tcg)
        emulator+=(-accel 'tcg,thread=multi,tb-size=1024')
        emulator+=(-cpu "EPYC-v3,+svm,+npt,-xsavec,-xsaves,$not_emulated")
        ;;
    *) die "--accel $accel: must be auto, kvm or tcg" ;;
    esac
}

# machine_argv CONSOLE WORD... - sets $emulator; the words go to the kernel's command line
machine_argv() {
    local console=$1 initrd n=0 share names=()

    shift
    initrd=$image/initrd-${tools##*-}
    if [[ ! -e $initrd ]]; then
        cat "$image/modules.cpio" "$tools/lab.cpio" >"$initrd.$$" || die "cannot write $initrd"
        mv "$initrd.$$" "$initrd"
    fi

    emulator=(qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot -M q35)
    choose_cpu
    emulator+=(-smp "$smp" -m "$mem" -kernel "$image/vmlinux" -initrd "$initrd")
    emulator+=(-chardev "file,id=console,append=on,path=$(quoted "$console")")
    emulator+=(-device 'isa-serial,chardev=console')
    add_disk root "$(quoted "$image/root.img"),$root_options"
    [[ -z $vmrt_disk ]] || add_disk vmrt "$(quoted "$vmrt_disk"),readonly=on"

    set -- "$@" console=ttyS0 quiet panic=-1 mitigations=off audit=0 apparmor=0 \
        random.trust_cpu=1 net.ifnames=0 no_timer_check tsc=reliable nowatchdog
    if [[ $with_tree = 1 ]]; then
        add_share src "$tree" ,readonly=on
        set -- "$@" lab.tree
    fi
    for share in "${shares[@]}"; do
        add_share "share$n" "${share%:*}" ''
        names+=("${share##*:}")
        n=$((n + 1))
    done
    [[ $n = 0 ]] || set -- "$@" "lab.shares=$(IFS=, && echo "${names[*]}")"
    [[ -z $vmrt_disk ]] || set -- "$@" lab.vmrt
    [[ $docker = 0 ]] || set -- "$@" lab.docker
    emulator+=(-append "$*")
}

# add_disk NAME OPTIONS
add_disk() {
    emulator+=(-drive "if=none,id=$1,format=raw,file=$2" -device "virtio-blk-pci,drive=$1")
}

# add_share TAG FOLDER OPTIONS
add_share() {
    emulator+=(-fsdev "local,id=$1,security_model=none,multidevs=remap,path=$(quoted "$2")$3")
    emulator+=(-device "virtio-9p-pci,fsdev=$1,mount_tag=$1")
}

# Keeps `lab clean` away from the image, until QEMU, which inherits the descriptor, has ended.
hold_image() {
    exec {image_fd}<"$image"
    flock -s "$image_fd"
}

# run_machine COMMAND... - boots, runs the command, ends with its status
run_machine() {
    local console

    console=$(mktemp "${TMPDIR:-/tmp}/vmrt-lab.XXXXXX") || die "cannot make a file for the console"
    machine_argv "$console"
    emulator+=(-device 'virtio-serial-pci,id=serial' -chardev 'socket,id=agent,fd=3')
    emulator+=(-device 'virtserialport,bus=serial.0,chardev=agent,name=lab')
    "$tools/supervise" "$timeout" "$console" "$verbose" $# "$@" "${emulator[@]}"
}

# run_shell - boots to a root shell on this terminal
run_shell() {
    local console size status

    [[ -t 0 && -t 1 ]] || die "the shell needs a terminal"
    console=$(mktemp "${TMPDIR:-/tmp}/vmrt-lab.XXXXXX") || die "cannot make a file for the console"
    read -ra size < <(stty size)
    [[ ${TERM:-} =~ ^[A-Za-z0-9.+-]+$ ]] || TERM=linux
    machine_argv "$console" lab.tty=/dev/hvc0 "lab.term=$TERM" \
        "lab.rows=${size[0]:-24}" "lab.cols=${size[1]:-80}"
    emulator+=(-device 'virtio-serial-pci,id=serial' -chardev 'stdio,id=tty,mux=on,signal=off')
    emulator+=(-device 'virtconsole,bus=serial.0,chardev=tty' -mon 'chardev=tty,mode=readline')
    say "the console goes to $console; Ctrl-A X ends the lab at once"
    "${emulator[@]}"
    status=$?
    [[ $status != 0 ]] || rm -f "$console"
    return "$status"
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
    local size

    vmrt_disk=$cache/vmrt-$(tar --sort=name --mtime=@0 -C "$1/root" -cf - . | sha256sum |
        cut -c 1-16).img
    if [[ ! -e $vmrt_disk ]]; then
        # a build leaves a disk behind each time; nobody asks for the old ones any more
        find "$cache" -maxdepth 1 -name 'vmrt-*.img' -mmin +120 -delete
        size=$(du -sm "$1/root" | cut -f 1)
        mke2fs -q -t ext4 -O '^has_journal' -m 0 -d "$1/root" "$1/disk" \
            $((size + size / 8 + 8))M >/dev/null || die "mke2fs failed"
        mv "$1/disk" "$vmrt_disk"
    fi
    touch "$vmrt_disk"
}
