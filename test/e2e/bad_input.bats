# Bad input ends in one clear line on stderr and in --log, and leaves nothing behind.
load common

setup() {
    B=$BATS_TEST_TMPDIR/b
    L=$BATS_TEST_TMPDIR/log.json
}

# refused PATTERN COMMAND...: fails, says PATTERN in one line on stderr and in the log, no trace.
refused() {
    local pattern=$1 status=0
    shift
    footprint >"$BATS_TEST_TMPDIR/before"
    rm -f "$L"
    vmrt --log "$L" --log-format json "$@" </dev/null >"$B.out" 2>"$B.err" || status=$?
    show "status $status: $(cat "$B.err")"
    [ "$status" -ne 0 ]
    grep -qE "$pattern" "$B.err"
    [ "$(wc -l <"$B.err")" = 1 ]
    [ "$(wc -l <"$L")" = 1 ]
    jq -e '.level == "error" and (.msg | test($p)) and (.time | length) > 10' --arg p "$pattern" "$L"
    footprint >"$BATS_TEST_TMPDIR/after"
    diff "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
}

@test "config.json: missing" {
    mkdir "$B"
    refused 'config\.json' create --bundle "$B" bad
}

@test "config.json: not JSON" {
    bundle "$B"
    echo '{ "ociVersion": ' >"$B/config.json"
    refused 'config\.json' create --bundle "$B" bad
}

@test "config.json: a wrong type names the field and what was expected" {
    bundle "$B" '.process.args = "true"'
    refused 'process\.args.*array' create --bundle "$B" bad
}

@test "config.json: unknown ociVersion" {
    bundle "$B" '.ociVersion = "9.0.0"'
    refused 'ociVersion' create --bundle "$B" bad
}

@test "config.json: empty args" {
    bundle "$B" '.process.args = []'
    refused 'args' create --bundle "$B" bad
}

@test "rootfs missing" {
    bundle "$B"
    rm -r "$B/rootfs"
    refused 'rootfs' create --bundle "$B" bad
}

@test "the executable does not exist, is not executable, is a directory" {
    bundle "$B" "$(args '["nosuch"]')"
    refused 'exec: "nosuch": executable file not found in \$PATH' create --bundle "$B" bad
    jq '.process.args = ["/etc/passwd"]' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    refused 'permission denied' create --bundle "$B" bad
    jq '.process.args = ["/etc"]' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    refused 'is a directory' create --bundle "$B" bad
    jq '.process.args = ["/no/such"]' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    refused 'no such file or directory' create --bundle "$B" bad
}

@test "kernel: missing, not an ELF, without a PVH note" {
    bundle "$B"
    mkdir -p /etc/vmrt
    [ ! -e /etc/vmrt/config.json ] || cp /etc/vmrt/config.json "$BATS_TEST_TMPDIR/saved"
    for kernel in "$BATS_TEST_TMPDIR/nosuch" /etc/passwd /bin/true; do
        jq -n --arg k "$kernel" '{kernel: $k}' >/etc/vmrt/config.json
        refused "$kernel" create --bundle "$B" bad
    done
    rm /etc/vmrt/config.json
    [ ! -e "$BATS_TEST_TMPDIR/saved" ] || cp "$BATS_TEST_TMPDIR/saved" /etc/vmrt/config.json
}

@test "/dev/kvm: missing, or not a KVM device" {
    bundle "$B"
    mv /dev/kvm /dev/kvm.away
    refused '/dev/kvm' create --bundle "$B" bad
    mknod /dev/kvm c 1 3
    refused '/dev/kvm' create --bundle "$B" bad
    rm /dev/kvm
    mv /dev/kvm.away /dev/kvm
}

@test "too little memory" {
    bundle "$B" '.process.env += ["VMRT_MEMORY=1"]'
    refused 'MEMORY|memory' create --bundle "$B" bad
    bundle "$B-2" '.linux.resources.memory.limit = 4194304'
    refused 'memory' create --bundle "$B-2" bad
}

@test "an unknown setting, and a bad value" {
    bundle "$B" '.process.env += ["VMRT_NOSUCH=1"]'
    refused 'VMRT_NOSUCH' create --bundle "$B" bad
    bundle "$B-2" '.process.env += ["VMRT_CPUS=many"]'
    refused 'VMRT_CPUS.*many' create --bundle "$B-2" bad
}

@test "ids: invalid and duplicate" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    for id in '' . .. 'a/b' 'a b' 'ä'; do refused 'id|ID' create --bundle "$B" "$id"; done
    vmrt create --bundle "$B" twice </dev/null >/dev/null 2>&1
    refused 'already exists|given ID' create --bundle "$B" twice
    status_is twice created
    vmrt delete --force twice
}

@test "a bundle path with symlinks works" {
    bundle "$B" "$(args '["echo", "ok"]')"
    ln -s "$B" "$BATS_TEST_TMPDIR/link"
    run vmrt run --bundle "$BATS_TEST_TMPDIR/link" bad
    [ "$output" = ok ]
}

@test "host networking, host pid and a user namespace without a map are refused by name" {
    bundle "$B" '.linux.namespaces |= map(select(.type != "network"))'
    refused 'network' create --bundle "$B" bad
    bundle "$B-2" '.linux.namespaces |= map(select(.type != "pid"))'
    refused 'pid' create --bundle "$B-2" bad
    bundle "$B-3" '.linux.namespaces += [{type: "user"}]'
    refused 'user|[mM]appings' create --bundle "$B-3" bad
}

@test "commands for what is not there fail and name it; so do unknown commands" {
    for command in 'exec some-id true' 'ps some-id' 'pause some-id' 'resume some-id' \
        'update --pids-limit 5 some-id' 'events --stats some-id' 'checkpoint some-id' 'restore some-id'; do
        # shellcheck disable=SC2086 # the words of a command
        run vmrt $command
        [ "$status" -ne 0 ]
        [[ "$output" == *"not "* ]]
        [ "${#lines[@]}" = 1 ]
    done
    run vmrt nosuch
    [ "$status" -ne 0 ]
    [[ "$output" == *nosuch* ]]
}

@test "every command has --help; --version says what engines parse" {
    for command in create start state kill delete run list spec features check exec ps pause resume \
        update events; do
        vmrt $command --help | grep -q "$command"
    done
    vmrt --help | grep -q create
    vmrt --version | grep -qE '^vmrt version [0-9]'
    vmrt --version | grep -q '^commit: '
}

@test "check says that this host can run VMs" {
    run vmrt check
    show "$output"
    [ "$status" -eq 0 ]
    mv /dev/kvm /dev/kvm.away
    run vmrt check
    mv /dev/kvm.away /dev/kvm
    [ "$status" -ne 0 ]
    [[ "$output" == *"/dev/kvm"* ]]
}
