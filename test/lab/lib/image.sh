# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with the other files
# The lab's image: a Debian root disk with engines and test images, its kernel, its modules.
# Everything that determines the image stands here, in packages.txt and in guest/provision.

suite=bookworm
disk_size=6G

# Modules that lead to the root disk, and what every lab then loads from there. The lists come with
# all dependencies, so that the lab need not read the index of modules.
boot_modules=(virtio_pci virtio_blk crc32c_generic ext4)
setup_modules=(9pnet_virtio 9p overlay virtio_console veth)

# what nobody reads in a lab, or drives hardware that it does not have
unwanted=(
    '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/info/*' '/usr/share/locale/*'
    '/usr/share/lintian/*' '/usr/share/bug/*' '/usr/share/X11/*' '/usr/lib/udev/hwdb*'
    '/lib/modules/*/kernel/sound/*' '/lib/modules/*/kernel/drivers/gpu/*'
    '/lib/modules/*/kernel/drivers/media/*' '/lib/modules/*/kernel/drivers/net/wireless/*'
    '/lib/modules/*/kernel/drivers/net/ethernet/*' '/lib/modules/*/kernel/drivers/infiniband/*'
    '/lib/modules/*/kernel/drivers/iio/*' '/lib/modules/*/kernel/drivers/staging/*'
)

# the rootfs of the test image "debian"
debian_packages=python3,procps,iproute2

name_image() {
    image=$cache/$(hash_of lib/image.sh packages.txt guest/provision)
}

# ensure_image - sets $image, building it when it is not there
ensure_image() {
    name_image
    [[ -e $image/root.img ]] || with_lock "$cache/build.lock" build_in_namespace
}

# A mount namespace of its own: whatever the build mounts is gone when it ends, however it ends.
build_in_namespace() {
    [[ ! -e $image/root.img ]] || return 0
    [[ $EUID = 0 ]] || die "building the image needs root"
    unshare --mount --propagation private "$lab_dir/lab" build-image || exit
}

stage_start=0

stage() {
    local now=$EPOCHREALTIME

    now=${now/[.,]/}
    [[ $stage_start = 0 ]] || say "$(printf '%5d.%ds  %s' $(((now - stage_start) / 1000000)) \
        $(((now - stage_start) / 100000 % 10)) "$1")"
    stage_start=$now
}

# Which Debian mirrors, keys and proxies to use is the host's business: take its stanzas and lines
# for our suites, nothing of other vendors.
host_sources() {
    local file

    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -e $file ]] || continue
        sed '/^#/d' "$file" | awk -v RS= -v ORS='\n\n' -v suite="$suite" '
            {
                ours = 0
                for (i = split($0, line, "\n"); i > 0; i--)
                    if (line[i] ~ /^Suites:/) {
                        ours = split(line[i], name, " ") > 1
                        for (j in name)
                            if (name[j] != "Suites:" &&
                                name[j] !~ ("^" suite "(-updates|-security)?$"))
                                ours = 0
                    }
                if (ours && $0 !~ /(^|\n)Enabled: *no/) print
            }'
    done >"$1/host.sources"
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        grep -E "^deb (\[[^]]*\] )?[^ ]+ $suite(-updates|-security)? " >"$1/host.list"
    [[ -s $1/host.sources || -s $1/host.list ]] ||
        die "no Debian $suite in this host's apt sources; add it to /etc/apt/sources.list.d"
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' >"$1/host.conf"
}

# debootstrap_root FOLDER PACKAGES VARIANT WORK - a Debian root filesystem
debootstrap_root() {
    local options=(--quiet --mode=root --format=directory "--variant=$3" "--include=$2")
    local sources=() path

    for path in "${unwanted[@]}"; do
        options+=("--dpkgopt=path-exclude=$path")
    done
    [[ ! -s $4/host.conf ]] || options+=("--aptopt=$4/host.conf")
    for path in "$4"/host.{sources,list}; do
        [[ ! -s $path ]] || sources+=("$path")
    done
    # INITRD: Debian's kernel package would spend a minute on an initramfs that is not used
    INITRD=No mmdebstrap "${options[@]}" "$suite" "$1" "${sources[@]}"
}

build_image() {
    local work filled=0 total=$SECONDS

    need_commands mmdebstrap:mmdebstrap qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs \
        xz:xz-utils cpio:cpio strip:binutils
    say "building the image $image"
    work=$(mktemp -d "$cache/.tmp.XXXXXX")
    # shellcheck disable=SC2064 # $work is to be expanded now
    trap "umount -l '$work/tree' 2>/dev/null; rm -rf --one-file-system '$work'" EXIT
    mkdir "$work/result" "$work/tree"
    # 3 GB of small files that live for a minute: much faster in memory, where there is enough
    if [[ $(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo) -ge 8 ]]; then
        mount -t tmpfs -o size=6G lab-build "$work/tree" || die "cannot mount a tmpfs"
    fi
    stage begin
    host_sources "$work"
    build_roots "$work"
    extract_kernel "$work"
    stage 'kernel and initramfs'
    make_test_images "$work/tree/root" "$work/tree/debian"
    stage 'test images'
    rm -rf "$work"/tree/root/{boot,var/cache/apt,var/lib/apt/lists}/*
    chroot "$work/tree/root" dpkg-query -W >"$work/result/packages"
    if fill_engines "$work/tree/root"; then
        filled=1
        stage 'images loaded into the engines'
    else
        tail -n 5 "$work/provision.log" >&2
        say "cannot load the images into the engines here; the lab will do it"
        rm -rf "$work"/tree/root/var/lib/{docker,containerd,containers}/*
    fi
    rm -rf "$work"/tree/root/run/*
    mke2fs -q -t ext4 -O '^has_journal,^metadata_csum' -E lazy_itable_init=1 -m 0 \
        -d "$work/tree/root" "$work/result/root.img" "$disk_size" >/dev/null || die "mke2fs failed"
    stage "root disk ($(du -m "$work/result/root.img" | cut -f 1) MiB)"
    if [[ $filled = 0 ]]; then
        provision "$work/result" || die "provisioning failed"
        stage 'images loaded into the engines'
    fi
    rm -rf "$image"
    mv -T "$work/result" "$image" || die "cannot move the image to its place"
    say "built in $((SECONDS - total)) s"
}

# The lab's root and the test image's, side by side: neither keeps a core busy all the time.
build_roots() {
    local packages debian

    packages=$(package_list) || exit
    (
        debootstrap_root "$1/tree/debian" "$debian_packages" minbase "$1" >"$1/debian.log" 2>&1
    ) &
    debian=$!
    debootstrap_root "$1/tree/root" "$packages" apt "$1" >"$1/root.log" 2>&1 || {
        tail -n 15 "$1/root.log" >&2
        die "mmdebstrap failed"
    }
    stage 'packages of the lab'
    wait "$debian" || {
        tail -n 15 "$1/debian.log" >&2
        die "mmdebstrap of the test image failed"
    }
    stage 'packages of the test image'
}

# The list for mmdebstrap; names with a "?" only when the host's sources have them.
package_list() {
    local word list=()

    while read -ra words; do
        for word in "${words[@]}"; do
            case $word in
            '#'*) break ;;
            '?'*) [[ -z $(apt-cache madison "${word#?}" 2>/dev/null) ]] || list+=("${word#?}") ;;
            *) list+=("$word") ;;
            esac
        done
    done <"$lab_dir/packages.txt"
    (
        IFS=,
        echo "${list[*]}"
    )
}

# Takes the uncompressed kernel out of Debian's bzImage: unpacking it is 2 s of emulated CPU at
# each boot. QEMU starts it by its PVH entry.
extract_kernel() {
    local bzimage offset modules path tree=$1/initramfs

    bzimage=$(echo "$1"/tree/root/boot/vmlinuz-*)
    [[ -e $bzimage ]] || die "no kernel in the root filesystem, or several"
    offset=$(LC_ALL=C grep -aboP '\xFD7zXZ\x00' "$bzimage" | head -n 1 | cut -d : -f 1)
    [[ $offset ]] || die "the kernel is not compressed with xz"
    tail -c +$((offset + 1)) "$bzimage" | xz -dc --single-stream >"$1/result/vmlinux" 2>/dev/null
    [[ $(head -c 4 "$1/result/vmlinux") = $'\x7fELF' ]] || die "cannot unpack the kernel"
    cp "$1"/tree/root/boot/config-* "$1/result/config"

    modules=$(echo "$1"/tree/root/lib/modules/*)
    mkdir -p "$tree"/{bin,dev,root,modules}
    cp "$1/tree/root/bin/busybox" "$tree/bin/"
    module_list "$modules" "${boot_modules[@]}" >"$tree/modules/boot" || exit
    module_list "$modules" "${setup_modules[@]}" >"$tree/modules/setup" || exit
    module_list "$modules" kvm-amd >"$tree/modules/kvm-amd" || exit
    module_list "$modules" kvm-intel >"$tree/modules/kvm-intel" || exit
    # Debian's signatures on the modules cost more time than the modules
    find "$modules" -name '*.ko' -print0 | xargs -0 -n 64 -P 2 strip --strip-debug -p ||
        die "cannot strip the modules"
    while read -r path; do
        cp "$1/tree/root$path" "$tree/modules/" || die "cannot copy $path"
    done <"$tree/modules/boot"
    pack_initramfs "$tree" "$1/result/modules.cpio"
}

# module_list FOLDER NAME... - paths of the modules and of all they need, in the order of loading
module_list() {
    local folder=$1 name

    shift
    for name; do
        module_with_dependencies "$folder/modules.dep" "$name"
    done | awk -v folder="/lib/modules/${folder##*/}/" '!seen[$0]++ { print folder $0 }'
}

# modules.dep lists the dependencies so that the last must be loaded first
module_with_dependencies() {
    awk -v name="$2.ko:" '
        { path = $1; sub(".*/", "", path) }
        path == name { for (i = NF; i > 1; i--) print $i; sub(":$", "", $1); print $1; found = 1 }
        END { exit !found }' "$1" || die "no module $2"
}

# make_test_images ROOT DEBIAN - /var/lib/vmrt-test of the lab: for each test image an extracted
# root filesystem, an archive that every engine loads, and an entry of the OCI layout
make_test_images() {
    local root=$1 store=$1/var/lib/vmrt-test name

    mkdir -p "$store/rootfs"
    make_busybox_root "$root" "$store/rootfs/busybox"
    mv "$2" "$store/rootfs/debian"
    rm -rf "$store"/rootfs/debian/{var/lib/apt/lists,var/cache/apt,dev}/*
    # umoci and skopeo run here, natively, rather than in the emulated machine
    chroot "$root" umoci init --layout /var/lib/vmrt-test/oci
    for name in busybox debian; do
        make_archive "$root" "$name" || die "cannot make the test image $name"
    done
}

# What the official image of that name has: all applets in /bin, hard links to one file.
make_busybox_root() {
    local applet

    mkdir -p "$2"/{bin,dev,etc,home,proc,root,sys,tmp,usr/bin,usr/sbin,var/spool/mail,var/www}
    chmod 1777 "$2/tmp"
    chmod 700 "$2/root"
    cp "$1/bin/busybox" "$2/bin/busybox"
    for applet in $(chroot "$2" /bin/busybox --list); do
        ln -f "$2/bin/busybox" "$2/bin/$applet" 2>/dev/null
    done
    ln -s ../../bin/env "$2/usr/bin/env"
    cat >"$2/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
bin:x:2:2:bin:/bin:/bin/false
sys:x:3:3:sys:/dev:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
operator:x:37:37:Operator:/var:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
END
    cat >"$2/etc/group" <<'END'
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
tty:x:5:
mail:x:8:
wheel:x:10:root
www-data:x:33:
operator:x:37:
users:x:100:
nogroup:x:65534:
END
    sed 's/:.*/:*:::::::/' "$2/etc/passwd" >"$2/etc/shadow"
    chmod 640 "$2/etc/shadow"
}

# make_archive ROOT NAME - packs the root filesystem of that name as an image
make_archive() {
    local store=/var/lib/vmrt-test command=sh

    [[ $2 = busybox ]] || command=bash
    tar --numeric-owner --xattrs -C "$1$store/rootfs/$2" -cf "$1/tmp/layer.tar" . &&
        chroot "$1" umoci new --image "$store/oci:$2" &&
        chroot "$1" umoci raw add-layer --image "$store/oci:$2" /tmp/layer.tar &&
        chroot "$1" umoci config --image "$store/oci:$2" --config.cmd "$command" \
            --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin &&
        chroot "$1" skopeo copy -q "oci:$store/oci:$2" \
            "docker-archive:$store/$2.tar:docker.io/library/$2:latest" &&
        rm "$1/tmp/layer.tar"
}

# fill_engines ROOT - brings the test images into the engines' stores; here, if this host's kernel
# lets us, because the emulated machine takes five minutes for it
fill_engines() {
    local root=$1 log=$work/provision.log

    mkdir -p "$root/run/lab"
    cp -a "$lab_dir"/guest/bin "$lab_dir"/guest/provision "$root/run/lab/"
    cp -a "$lab_dir"/guest/etc/. "$root/etc/"
    # In a mount namespace of its own, with the root filesystem really at /: engines remount it.
    # shellcheck disable=SC2016 # expanded by the inner shell
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child /bin/sh -c '
            mount --make-rprivate / && mount --bind "$1" "$1" && cd "$1" &&
            mkdir -p run/old && mount --bind run/lab mnt && mount -t proc proc proc &&
            pivot_root . run/old && umount -l /run/old &&
            exec /bin/bash /mnt/provision --native' sh "$root" </dev/null >"$log" 2>&1
}

# provision IMAGE - does the same in the lab, with its disk writable
provision() {
    local image=$1 console

    ensure_tools
    make_placeholders
    new_console
    machine_argv "$console" "format=raw,cache=unsafe,file=$(quoted "$image/root.img")"
    "$tools/supervise" -c "$console" -t 1800 1 /run/lab/provision "${emulator[@]}" >/dev/null
}
