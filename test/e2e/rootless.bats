# Without root's rights: an ordinary user, root of a user namespace, and rootless podman.
load engines

RL=vmrt-user
RL_HOME=/home/$RL

setup_file() {
    useradd -m -s /bin/bash $RL
    usermod -aG kvm $RL
    RL_RUN=/run/user/$(id -u $RL)
    mkdir -p /run/user "$RL_RUN"
    chown $RL "$RL_RUN"
    chmod 700 "$RL_RUN"
    export RL_RUN
    # As Debian's udev has it.
    stat -c '%a %g' /dev/kvm >"$BATS_FILE_TMPDIR/kvm"
    chown root:kvm /dev/kvm
    chmod 660 /dev/kvm
    cp -a "$ROOTFS/busybox" $RL_HOME/rootfs
    chown -R $RL: $RL_HOME/rootfs
    cat >$RL_HOME/podman.conf <<END
[containers]
log_driver = "k8s-file"
[engine]
runtime = "vmrt"
cgroup_manager = "cgroupfs"
events_logger = "file"
$(sed -n '/^runtime_supports/p' /src/config/engines/podman.conf)
[engine.runtimes]
vmrt = ["$(command -v vmrt)"]
END
    as_user 'podman load -q -i /var/lib/vmrt-test/busybox.tar'
}

teardown() {
    # shellcheck disable=SC2086 # pids
    [ -z "${HOST_SERVERS:-}" ] || kill $HOST_SERVERS 2>/dev/null || true
}

teardown_file() {
    local mode group
    as_user 'podman rm -fa -t 0; podman system migrate' >/dev/null 2>&1 || true
    pkill -KILL -u $RL || true
    wait_for 10 gone
    read -r mode group <"$BATS_FILE_TMPDIR/kvm"
    chown "root:$group" /dev/kvm
    chmod "$mode" /dev/kvm
    rm -rf "$RL_RUN"
    userdel -r $RL 2>/dev/null
}
gone() { ! pgrep -u $RL >/dev/null; }

# as_user SCRIPT: in the user's home, with what a login gives.
as_user() {
    runuser -u $RL -- env -i PATH="$PATH" HOME=$RL_HOME USER=$RL \
        XDG_RUNTIME_DIR="$RL_RUN" CONTAINERS_CONF=$RL_HOME/podman.conf \
        bash -c "cd && $1" 3>&-
}

# user_bundle FILTER: the user's bundle, made by `vmrt spec --rootless`.
user_bundle() {
    as_user 'rm -f config.json && vmrt spec --rootless'
    jq '.process.terminal = false | .root.readonly = false | '"$1" $RL_HOME/config.json \
        >"$BATS_TEST_TMPDIR/config"
    cp "$BATS_TEST_TMPDIR/config" $RL_HOME/config.json
}
no_userns='.linux.uidMappings = null | .linux.gidMappings = null |
    .linux.namespaces |= map(select(.type != "user"))'

@test "rootless: check names the group to join; create refuses with the same words" {
    gpasswd -d $RL kvm >/dev/null
    user_bundle .
    run -1 as_user 'vmrt check'
    show "$output"
    [[ "$output" == *"join the group kvm: as root \"usermod -aG kvm $RL\""* ]]
    [[ "$output" == *"running as uid "*" (rootless)"* ]]
    run -1 as_user 'vmrt run t </dev/null'
    [[ "$output" == *"/dev/kvm: permission denied: join the group kvm"* ]]
    [ ! -e "$RL_RUN/vmrt/t" ]
    usermod -aG kvm $RL
    run -0 as_user 'vmrt check'
    show "$output"
    [[ "$output" == *"control groups v2, none for this user"* ]]
    [[ "$output" == *"This host can run virtual machines."* ]]
}

@test "rootless: vmrt spec --rootless and run, one id and the ranges of /etc/subuid" {
    user_bundle "$(args '["sh", "-c", "id -u; touch /made; ls -ln /made; chown 5 /made; uname -r"]') |
        .process.capabilities |= map_values(. + [\"CAP_CHOWN\"])"
    run as_user 'vmrt run t </dev/null'
    show "$output"
    [ "${lines[0]}" = 0 ]
    guest_kernel "${lines[-1]}"
    [[ "$output" == *"chown: /made: Invalid argument"* ]]
    [ "$(stat -c %U $RL_HOME/rootfs/made)" = $RL ]
    range=$(awk -F: -v u=$RL '$1 == u {print $2}' /etc/subuid)
    jq --argjson r "$range" '.linux.uidMappings += [{containerID: 1, hostID: $r, size: 65536}] |
        .linux.gidMappings += [{containerID: 1, hostID: $r, size: 65536}]' \
        $RL_HOME/config.json >"$BATS_TEST_TMPDIR/config"
    cp "$BATS_TEST_TMPDIR/config" $RL_HOME/config.json
    run -0 as_user 'vmrt run t </dev/null'
    show "$output"
    [ "$(stat -c %u $RL_HOME/rootfs/made)" = $((range + 4)) ]
    rm $RL_HOME/rootfs/made
    jq '.process.user.uid = 70000' "$BATS_TEST_TMPDIR/config" >$RL_HOME/config.json
    run -1 as_user 'vmrt run t </dev/null'
    [[ "$output" == *"process.user.uid: cannot set uid to unmapped user"* ]]
    user_bundle "$no_userns"
    run -1 as_user 'vmrt run t </dev/null'
    [[ "$output" == *"rootless container requires user namespaces"* ]]
}

@test "rootless: state, exec, list, kill and delete; the state is below XDG_RUNTIME_DIR" {
    user_bundle "$(args '["sleep", "1000"]')"
    as_user 'vmrt run -d t </dev/null >/dev/null 2>&1'
    [ -d "$RL_RUN/vmrt/t" ]
    [ "$(as_user 'vmrt state t' | jq -r .status)" = running ]
    as_user 'vmrt list' | grep -q "running .* $RL"
    [ "$(as_user 'vmrt exec t id -u </dev/null')" = 0 ]
    run as_user 'vmrt exec --user 5 t id -u </dev/null'
    [ "$status" -ne 0 ]
    [[ "$output" == *"cannot set uid to unmapped user"* ]]
    as_user 'vmrt pause t && vmrt resume t && vmrt kill t KILL'
    stopped() { [ "$(as_user 'vmrt state t' | jq -r .status)" = stopped ]; }
    wait_for 10 stopped
    as_user 'vmrt delete t'
    [ ! -e "$RL_RUN/vmrt/t" ]
}

@test "rootless: limits: the machine's own are kept, others refused by name, as cgroupsPath is" {
    user_bundle '.linux.resources.memory.limit = 209715200 | .linux.resources.cpu.shares = 512'
    run -1 as_user 'vmrt run t </dev/null'
    show "$output"
    [[ "$output" == *"rootless needs no limits + no cgrouppath"*"linux.resources.cpu.shares"* ]]
    user_bundle '.linux.cgroupsPath = "/mine"'
    run -1 as_user 'vmrt run t </dev/null'
    [[ "$output" == *"unable to apply cgroup configuration"*"permission denied"* ]]
    user_bundle '.process.oomScoreAdj = -500'
    run -1 as_user 'vmrt run t </dev/null'
    [[ "$output" == *"process.oomScoreAdj: cannot set -500"* ]]
    user_bundle "$(args '["sh", "-c", "head -1 /proc/meminfo"]') | .linux.resources.memory.limit = 209715200"
    run -0 as_user 'vmrt run t </dev/null'
    show "$output"
    [[ "$output" == *"linux.resources.memory.limit: kept by the machine's memory alone"* ]]
    [ "$(awk '/MemTotal/ {print $2}' <<<"$output")" -lt 204800 ]
}

@test "rootless: inside a user namespace of one id, where groups may not be left" {
    user_bundle "$no_userns | $(args '["sh", "-c", "id -u; touch /made; su -s /bin/sh nobody -c \"touch /tmp/n\""]') |
        .process.capabilities |= map_values(. + [\"CAP_SETUID\", \"CAP_SETGID\"])"
    chmod 1777 $RL_HOME/rootfs/tmp
    run as_user 'unshare -Ur vmrt run t </dev/null'
    show "$output"
    [ "${lines[0]}" = 0 ]
    # A user that the namespace does not have owns no files.
    [ "$status" -ne 0 ]
    [ "$(stat -c %U $RL_HOME/rootfs/made)" = $RL ]
    [ ! -e $RL_HOME/rootfs/tmp/n ]
    rm $RL_HOME/rootfs/made
}

@test "rootless podman: run, ids, volumes, devices, a namespace within, what cannot be had" {
    # shellcheck disable=SC2016
    run -0 as_user 'mkdir -p vol && podman run --rm --network none -v ~/vol:/ro:ro -v ~/vol:/rw \
        --device /dev/null:/dev/other --sysctl kernel.msgmax=4096 busybox sh -c "
        uname -r; id -u; touch /rw/root; chown 7 /rw/root; touch /ro/x 2>&1; mknod /node c 1 3 2>&1
        test -c /dev/other && cat /proc/sys/kernel/msgmax; chown 70000 /rw/root 2>&1; ls -ln /rw"'
    show "$output"
    guest_kernel "${lines[0]}"
    [ "${lines[1]}" = 0 ]
    [[ "$output" == *"/ro/x: Read-only file system"* ]]
    [[ "$output" == *"/node: Operation not permitted"* ]]
    [[ "$output" == *4096* ]]
    [[ "$output" == *"/rw/root: Invalid argument"* ]]
    range=$(awk -F: -v u=$RL '$1 == u {print $2}' /etc/subuid)
    [ "$(stat -c %u $RL_HOME/vol/root)" = $((range + 6)) ]
    run as_user 'podman run --rm --network none --userns keep-id -v ~/vol:/v busybox \
        sh -c "id -u; touch /v/mine"'
    show "$output"
    [ "$status" -eq 0 ]
    [ "${lines[0]}" = "$(id -u $RL)" ]
    [ "$(stat -c %U $RL_HOME/vol/mine)" = $RL ]
    run -0 as_user 'podman run --rm --network none --privileged busybox true'
    run as_user 'podman run --rm --network none -u 70000 busybox true'
    [ "$status" -ne 0 ]
    [[ "$output" == *"cannot set uid to unmapped user"* ]]
}

# A web server with a published port, which also asks servers of the host. $1: podman's port handler.
with_slirp4netns() {
    as_user "podman --runtime $runtime run -d --name c -p 18080:80 \
        --network slirp4netns:port_handler=$1,allow_host_loopback=true \
        busybox sh -c 'seq 100000 >/f; exec httpd -f -h /'" >/dev/null
    served() { curl -sSf -m 10 -o /dev/null http://127.0.0.1:18080/f 2>/dev/null; }
    wait_for 30 served
    curl -sS -m 20 http://127.0.0.1:18080/f | md5sum
    ip netns exec world curl -sS -m 20 http://192.0.2.2:18080/f | md5sum
    as_user 'podman exec c sh -c "
        ip -o link | grep -oE \"(lo|tap0): .* mtu [0-9]+\"; ip -o -4 addr; ip route; cat /etc/resolv.conf
        timeout 30 wget -q -O - http://10.0.2.2:8000/answer
        seq 5000 | timeout 30 nc 10.0.2.2 8001 | md5sum"'
    as_user 'podman rm -f -t 0 c' >/dev/null
}

@test "rootless podman: slirp4netns: a published port, the host, addresses and routes; as with runc" {
    local handler
    mkdir "$BATS_TEST_TMPDIR/www"
    echo reached >"$BATS_TEST_TMPDIR/www/answer"
    # The gateway, 10.0.2.2, is the host's loopback interface.
    busybox httpd -f -p 127.0.0.1:8000 -h "$BATS_TEST_TMPDIR/www" 3>&- &
    HOST_SERVERS=$!
    socat TCP-LISTEN:8001,bind=127.0.0.1,fork,reuseaddr PIPE 3>&- &
    HOST_SERVERS="$HOST_SERVERS $!"
    # rootlessport is the default; it connects from within the namespace.
    for handler in slirp4netns rootlesskit; do
        SHOW=1 each with_slirp4netns $handler
        output_has 10.0.2.100/24
        output_has 'default via 10.0.2.2 dev tap0'
        output_has reached
        [ "$(grep -c "$(seq 100000 | md5sum)" "$BATS_TEST_TMPDIR/$RUNTIME.out")" = 2 ]
        output_has "$(seq 5000 | md5sum)"
    done
}

@test "rootless podman: detached, exec, cp, top, pause, kill; a namespace of slirp4netns" {
    as_user 'podman run -d --name c --network slirp4netns busybox sleep 1000'
    [ "$(as_user 'podman exec -u 5 c id -u')" = 5 ]
    as_user 'echo content >f && podman cp f c:/copied && podman exec c cat /copied' | grep -q content
    as_user 'podman top c' | grep -q vmrt-vmm
    as_user 'podman pause c && podman unpause c && podman kill c'
    [ "$(as_user 'podman wait c')" = 137 ]
    as_user 'podman rm c'
    run gone_machines
    [ "$status" -eq 0 ]
}
gone_machines() { ! pgrep -x vmrt-vmm >/dev/null; }
