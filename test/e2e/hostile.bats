# Images and processes that are out for more than their container, on a real guest: what unit tests
# cannot show (test/unit/init_hostile_test.c has the others).
load common

setup() {
    B=$BATS_TEST_TMPDIR/b
}
teardown() {
    vmrt delete --force r >/dev/null 2>&1 || true
}

# The lab's own Python in a container of busybox.
with_python='.mounts += [("/usr", "/lib", "/lib64") as $d |
    {destination: $d, type: "bind", source: $d, options: ["rbind", "ro"]}]'

# start JSON-ARGS FILTER: a container that runs in the background.
start() {
    bundle "$B" "${2:-.} | $(args "$1")"
    vmrt run --detach --bundle "$B" r </dev/null >"$B/out" 2>&1
}

@test "a process that claims the streams of an exec over vsock gets none, and the exec its own" {
    bundle "$B" "$with_python | $(args '["/usr/bin/python3", "/thief.py"]')"
    cat >"$B/rootfs/thief.py" <<'EOF'
import select, socket, struct, time

def number(tag, value):
    return struct.pack("<HHIQ", tag, 0, 8, value)

def secret(value):
    return struct.pack("<HHI", 14, 0, len(value)) + value

def connect(port):
    s = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect((2, port))
    return s

# A second init is not listened to.
try:
    connect(1024)
    print("control connection", flush=True)
except OSError:
    print("refused", flush=True)
# As many that say nothing as the host holds, and more.
silent = [connect(1025) for i in range(70)]
print("ready", flush=True)
end = time.monotonic() + 60
stolen = b""
while time.monotonic() < end and b"end" not in stolen:
    for process in range(0, 6):
        for stream in range(3):
            try:
                s = connect(1025)
                fields = number(4, process) + number(5, stream) + secret(bytes(16))
                s.sendall(struct.pack("<IHHIIII", 0x74726D76, 1, 5, 0, 0, len(fields), 0) + fields)
                s.sendall(b"forged\n")
                got = s.recv(100)
                if got:
                    print("stolen", got, flush=True)
            except OSError:
                pass
EOF
    vmrt run --detach --bundle "$B" r </dev/null >"$B/out" 2>&1
    wait_for 60 grep -q ready "$B/out"
    grep -q refused "$B/out"
    for i in 1 2 3; do
        run vmrt exec r cat <<<"typed $i"
        show "$output"
        [ "$status" -eq 0 ]
        [ "$output" = "typed $i" ]
    done
    run ! grep -E "stolen|forged|control" "$B/out"
}

# CVE-2024-21626
@test "exec with a working directory in /proc/self/fd is refused" {
    start '["sleep", "1000"]'
    for n in 3 4 5 6 7 8 9 10; do
        run vmrt exec --cwd "/proc/self/fd/$n" r pwd
        [ "$status" -eq 255 ]
        [[ "$output" != */* ]] || [[ "$output" == *"chdir to cwd"* ]]
    done
    run vmrt exec --cwd /proc r pwd
    [ "$output" = /proc ]
}

# CVE-2019-5736: what "#!/proc/self/exe" runs is init's program, which nobody can write.
@test "a program that is run by /proc/self/exe does not reach init's" {
    bundle "$B" "$(args '["sh", "/attack"]')"
    printf '#!/proc/self/exe\n' >"$B/rootfs/evil"
    chmod 755 "$B/rootfs/evil"
    # Whatever is executed and is no file of the image: try to write it.
    cat >"$B/rootfs/attack" <<'EOF'
echo ready
while [ ! -e /stop ]; do
    for pid in /proc/[0-9]*; do
        case $(readlink $pid/exe) in
        "" | */busybox | */sh | */readlink) ;;
        # Not ":": a redirection that fails ends the shell then.
        *) { echo x >>$pid/exe; } 2>/dev/null && echo written ;;
        esac
    done
done
EOF
    vmrt run --detach --bundle "$B" r </dev/null >"$B/out" 2>&1
    wait_for 30 grep -q ready "$B/out"
    for i in 1 2 3; do
        run timeout 60 vmrt exec r /evil
        show "exec: $status $output"
        [ "$status" -ne 0 ]
        [ "$status" -ne 124 ]
    done
    vmrt exec r touch /stop
    wait_for 30 status_is r stopped
    run cat "$B/out"
    show "$output"
    [ "$output" = ready ]
    vmrt delete r
    jq "$(args '["/evil"]')" "$B/config.json" >"$B/config.new" && mv "$B/config.new" "$B/config.json"
    run timeout 60 vmrt run --bundle "$B" r
    show "run: $status $output"
    [ "$status" -ne 0 ]
    [ "$status" -ne 124 ]
}

# A monitor that was taken over has these, and can open through them.
@test "no descriptor of vmrt-vmm leads into the host's /proc, /sys or file systems" {
    start '["sleep", "1000"]'
    local pid
    pid=$(vmrt state r | jq .pid)
    for fd in /proc/"$pid"/fd/*; do
        # What was /proc/PID/fd has no mount point any more, so its name begins with the PID.
        case $(readlink "$fd") in
        /proc/* | /sys/* | /[0-9]*/fd) show "$fd: $(readlink "$fd")"; false ;;
        esac
    done
    # Its own mount namespace has the container's files, and of the kernel's only what podman top
    # reads: single files about itself, which cannot be written.
    grep -E ' - (proc|sysfs|devtmpfs|cgroup2?|securityfs) ' "/proc/$pid/mountinfo" >"$B/mounts" || true
    show "$(cat "$B/mounts")"
    run ! grep -vE "^[0-9 :]+ /$pid/(stat|status|cmdline) /[^ ]* ro,[^ ]* (.* )?- proc " "$B/mounts"
}

@test "a message of the guest cannot drive the engine's terminal" {
    bundle "$B" '.process.args = ["\u001b]0;title\u0007\u009b2J"]'
    run vmrt run --bundle "$B" r
    [ "$status" -ne 0 ]
    [[ "$output" == *"executable file not found"* ]]
    run ! grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' <<<"$output"
}

# CVE-2025-31133, CVE-2025-52565: what is masked and read-only stays so.
@test "an image's /dev/null and /dev/console that are links open nothing" {
    bundle "$B" '.mounts |= map(select(.destination | startswith("/dev") | not)) |
        .linux.maskedPaths += ["/secret"] |
        .process.args = ["sh", "-c", "cat /secret; echo x >/proc/sys/kernel/core_pattern || echo refused; cat /bait"]'
    mkdir -p "$B/rootfs/dev"
    rm -f "$B/rootfs/dev/null" "$B/rootfs/dev/console"
    echo secret >"$B/rootfs/secret"
    echo bait >"$B/rootfs/bait"
    ln -s /bait "$B/rootfs/dev/null"
    ln -s /proc/sys/kernel/core_pattern "$B/rootfs/dev/console"
    run --separate-stderr vmrt run --bundle "$B" r
    show "$output"
    [ "$output" = $'refused\nbait' ]
}
