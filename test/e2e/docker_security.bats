# What a container may not do, and what its flags take or give: the same as with runc.
load engines

setup_file() { engines_up; }
setup() {
    B=$BATS_TEST_TMPDIR/b
    mkdir -p /srv/security
}
teardown() {
    remove vmrt-sec
    "$RUNTIME" delete --force vmrt-sec >/dev/null 2>&1 || true
}

# Tries system calls and says how each ends: none of them succeeds at harm, whatever the profile.
write_probe() {
    cat >/srv/security/probe.py <<'END'
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
CLONE = 56


def call(name, number, *arguments):
    ctypes.set_errno(0)
    # In a child: a call that succeeds has no consequences for the next.
    r, w = os.pipe()
    if os.fork() == 0:
        value = libc.syscall(number, *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
        if number == CLONE and value == 0:
            os._exit(0)  # The call's own child: only its parent tells.
        text = "ok" if value >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
        os.write(w, text.encode())
        os._exit(0)
    os.close(w)
    text = os.read(r, 100).decode() or "killed"
    os.close(r)
    status = os.wait()[1]
    print(name, text, status & 127)


call("keyctl", 250, 0, -3, 0)
call("add_key", 248, b"user", b"x", b"y", 1, -3)
call("request_key", 249, b"user", b"x", 0, 0)
call("unshare user", 272, 0x10000000)
call("unshare net", 272, 0x40000000)
call("clone newns", CLONE, 0x00020000 | 17, 0, 0, 0, 0)
call("clone3", 435, 0, 0)
call("setns", 308, 0, 0)
call("mount", 165, b"none", b"/mnt", b"tmpfs", 0, 0)
call("umount2", 166, b"/proc", 2)
call("pivot_root", 155, b"/", b"/")
call("open_tree", 428, -100, b"/", 1)
call("move_mount", 429, -1, b"", -1, b"", 0)
call("personality query", 135, 0xFFFFFFFF)
call("personality linux32", 135, 8)
call("personality aslr", 135, 0x0040000)
call("bpf", 321, 0, 0, 0)
call("perf_event_open", 298, 0, 0, -1, -1, 0)
call("userfaultfd", 323, 0)
call("open_by_handle_at", 304, -100, 0, 0)
call("kexec_load", 246, 0, 0, 0, 0)
call("init_module", 175, 0, 0, b"")
call("delete_module", 176, b"x", 0)
call("reboot", 169, 0, 0, 0, 0)
call("settimeofday", 164, 0, 0)
call("clock_adjtime", 305, 0, 0)
call("acct", 163, 0)
call("swapon", 167, b"/x", 0)
call("syslog", 103, 3, 0, 0)
call("quotactl", 179, 0, 0, 0, 0)
call("ptrace me", 101, 0, 0, 0, 0)
call("process_vm_readv", 310, os.getpid(), 0, 0, 0, 0, 0)
call("kcmp", 312, os.getpid(), os.getpid(), 0, 0, 0)
call("iopl", 172, 3)
call("vm86", 166, 0)
call("nfsservctl", 180, 0, 0, 0)
call("lookup_dcookie", 212, 0, 0, 0)
call("set_mempolicy", 238, 0, 0, 0)
call("chroot", 161, b"/")
call("sethostname", 170, b"x", 1)
call("unknown 999", 999)
call("getpid", 39)
call("ioctl", 16, 1, 0x5401, 0)
for family in ("AF_INET", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG"):
    try:
        socket.socket(getattr(socket, family), socket.SOCK_RAW if family == "AF_PACKET" else socket.SOCK_DGRAM).close()
        print(family, "ok")
    except OSError as error:
        print(family, errno.errorcode[error.errno])
END
}

@test "docker's default seccomp profile denies what it denies with runc" {
    write_probe
    # The lab's kernel and the guest's have other features: only what seccomp decides is compared.
    without_features() {
        drun --rm -v /srv/security:/s:ro "$@" debian python3 /s/probe.py |
            grep -vE '^(AF_|kcmp|process_vm|set_mempolicy|ioctl|syslog)'
    }
    each without_features
    output_has 'keyctl EPERM'
    output_has 'personality aslr EPERM'
    output_has 'unshare user EPERM'
    output_has 'clone3 ENOSYS'
    each without_features --cap-add SYS_ADMIN --cap-add SYS_PTRACE
    output_has 'unshare net ok'
}

@test "a seccomp profile of one's own: argument filters, errno, kill, log; unconfined" {
    cat >/srv/security/profile.json <<'END'
{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
 "syscalls": [
  {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
  {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
  {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97, "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NE"}]},
  {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 7, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"}]},
  {"names": ["getpriority"], "action": "SCMP_ACT_KILL_PROCESS"},
  {"names": ["sync"], "action": "SCMP_ACT_LOG"},
  {"names": ["no_such_call_at_all"], "action": "SCMP_ACT_ERRNO"}]}
END
    cat >/srv/security/mine.py <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)


def call(name, number, *arguments):
    ctypes.set_errno(0)
    value = libc.syscall(number, *arguments)
    print(name, "ok" if value >= 0 else ctypes.get_errno(), flush=True)


call("mkdir", 83, b"/x", 0o755)
call("personality 8", 135, 8)
call("personality 0", 135, 0)
call("socket inet", 41, 2, 2, 0)
call("socket unix", 41, 1, 2, 0)
call("umask 7", 95, 0o27)
call("umask 0", 95, 0o20)
call("sync", 162)
print(open("/proc/self/status").read().split("Seccomp:")[1].split()[0], flush=True)
call("getpriority", 140, 0, 0)
END
    alike -v /srv/security:/s:ro --security-opt seccomp=/srv/security/profile.json debian python3 /s/mine.py
    output_has 'mkdir 28'
    output_has 'socket inet 97'
    output_has 'status 159'
    alike -v /srv/security:/s:ro --security-opt seccomp=unconfined debian python3 /s/mine.py
    output_has 'mkdir ok'
}

@test "capabilities: dropped, added, all, privileged; no-new-privileges and set-uid programs" {
    cp /bin/busybox /srv/security/su-id
    chmod 4755 /srv/security/su-id
    capabilities() {
        # shellcheck disable=SC2016
        local probe='grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status; chown 1 /tmp 2>&1; mknod /n b 7 0 2>&1 && echo made; hostname x 2>&1; date -s 2030-01-01 >/dev/null 2>&1 || echo no time'
        drun --rm busybox sh -c "$probe"
        drun --rm --cap-drop ALL busybox sh -c "$probe"
        drun --rm --cap-drop ALL --cap-add CHOWN -u 7 busybox sh -c "$probe"
        drun --rm --cap-add SYS_ADMIN --cap-drop MKNOD busybox sh -c "$probe"
        drun --rm -u 1000 -v /srv/security:/s busybox /s/su-id id -u
        drun --rm -u 1000 --security-opt no-new-privileges -v /srv/security:/s busybox /s/su-id id -u
    }
    each capabilities
    output_has made
    # Privileged: all that there is, which another kernel may count differently.
    [ "$(drun --rm --privileged busybox sh -c 'mount -t tmpfs none /tmp && hostname new && hostname; grep NoNew /proc/self/status; touch /proc/sys/kernel/hostname && echo w')" = $'new\nNoNewPrivs:\t0\nw' ]
}

@test "--device, --pids-limit, --ulimit, --read-only and what they print" {
    flags() {
        drun --rm --device /dev/null:/dev/mynull --device /dev/zero:/dev/z:r busybox \
            sh -c 'echo x >/dev/mynull && stat -c "%F %t,%T" /dev/mynull /dev/z; head -c 3 /dev/z | od -c'
        drun --rm --pids-limit 15 busybox sh -c 'i=0; while [ $i -lt 30 ]; do sleep 5 & i=$((i+1)); done; echo all' 2>&1 | sed 's/.*can/can/' | sort -u
        drun --rm --ulimit nproc=77 --ulimit fsize=4096 --ulimit stack=1000000:2000000 busybox \
            sh -c 'ulimit -p; ulimit -s; ulimit -Hs; yes | head -c 10000 >/f; stat -c %s /f'
        drun --rm --device /dev/net/tun --cap-add NET_ADMIN debian perl -e \
            'open(my $f, "+<", "/dev/net/tun") or die $!; my $r = pack("a16 s x22", "vpn7", 1);
            ioctl($f, 0x400454ca, $r) or die $!; print -d "/sys/class/net/vpn7" ? "a tunnel\n" : "none\n"'
        drun --rm --device /no/such/device busybox true
        drun --rm --sysctl kernel.nosuch=1 busybox true
        drun --rm --sysctl vm.swappiness=1 busybox true
    }
    [ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
    each flags
    output_has 'character special file 1,3'
    output_has 'a tunnel'
    output_has "can't fork"
}

@test "namespaces of the host that a machine cannot share are refused by name" {
    [ "$RUNTIME" = vmrt ] || skip "runc can share them"
    local flag
    for flag in pid ipc; do
        run drun --rm "--$flag" host busybox true
        show "$output"
        [ "$status" = 125 ]
        [[ "$output" == *"$flag"* ]]
    done
    # Its names it can have: a machine of its own starts with those of the host.
    [ "$(drun --rm --uts host busybox hostname)" = "$(hostname)" ]
    drun -d --name vmrt-sec --ipc shareable busybox sleep 1000
    for flag in pid ipc; do
        run drun --rm "--$flag" container:vmrt-sec busybox true
        show "$output"
        [ "$status" = 125 ]
        [[ "$output" == *"$flag"* ]]
    done
    # Nothing of the refused ones is left.
    docker exec vmrt-sec true
}

@test "a user namespace: ids in the container, and those of its files on the host" {
    # Not below the tests' own directory, which only root can enter.
    B=/srv/userns
    rm -rf "$B" "$B-data"
    mkdir "$B-data"
    bundle "$B" "$(args '["sh", "-c", "id; cat /proc/self/uid_map /proc/self/gid_map; grep -E ^Cap /proc/self/status; stat -c \"%u:%g\" / /data /etc/passwd; echo x >/data/root; su -s /bin/sh www-data -c \"echo x >/data/www\"; stat -c \"%u:%g\" /data/root /data/www; mount -t tmpfs none /tmp && echo mounted; chown 70000 /data/root; mount | grep -c \" /proc \"; ls /sys/kernel >/dev/null && echo sys"]') |
        .linux.namespaces += [{type: \"user\"}] | .process.cwd = \"/\" |
        .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
        .linux.gidMappings = [{containerID: 0, hostID: 200000, size: 65536}] |
        .process.capabilities |= map_values([\"CAP_SYS_ADMIN\", \"CAP_SETUID\", \"CAP_SETGID\", \"CAP_CHOWN\"]) |
        .process.noNewPrivileges = false |
        .mounts += [{destination: \"/data\", source: \"$B-data\", type: \"bind\", options: [\"rbind\", \"rw\"]}]"
    chown -Rh 100000:200000 "$B/rootfs" "$B-data"
    chmod 777 "$B-data"
    in_userns() {
        rm -f "$B-data"/*
        "$runtime" run --bundle "$B" vmrt-sec
        local status=$?
        stat -c '%u:%g' "$B-data/root" "$B-data/www"
        return $status
    }
    each in_userns
    output_has '100033:200033'
    output_has mounted
}
