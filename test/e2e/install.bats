# install.sh with engines that are there: what they make of its changes.
load ../install/common

@test "containerd: the CRI plugin keeps its settings and its runc" {
    write_containerd_toml
    register containerd
    [ "$status" -eq 0 ]
    [ -n "$real_containerd" ] || skip "containerd is not installed"
    run "$real_containerd" --config "$containerd" config dump
    [[ $output = *'bin_dir = "/usr/lib/cni"'* ]]
    [[ $output = *'containerd.runtimes.runc]'* ]]
    [[ $output = *'BinaryName = "/usr/local/bin/vmrt"'* ]]
}

@test "docker: a running dockerd knows vmrt at once, and forgets it again" {
    unset DESTDIR
    docker info >/dev/null 2>&1 || skip "no dockerd runs here"
    [ ! -e /var/lib/vmrt/install ] || skip "vmrt is installed here by install.sh"
    cp -p /etc/docker/daemon.json "$BATS_TEST_TMPDIR/before"
    jq 'del(.runtimes.vmrt)' "$BATS_TEST_TMPDIR/before" >/etc/docker/daemon.json
    cp /etc/docker/daemon.json "$BATS_TEST_TMPDIR/without"
    kill -HUP "$(cat /var/run/docker.pid)"
    register docker
    [ "$status" -eq 0 ]
    docker info --format '{{json .Runtimes}}' | grep -q '"vmrt"'
    uninstall
    cmp /etc/docker/daemon.json "$BATS_TEST_TMPDIR/without"
    for _ in {1..50}; do
        docker info --format '{{json .Runtimes}}' | grep -q '"vmrt"' || break
        sleep 0.1
    done
    run ! grep -q '"vmrt"' <(docker info --format '{{json .Runtimes}}')
    cat "$BATS_TEST_TMPDIR/before" >/etc/docker/daemon.json
    kill -HUP "$(cat /var/run/docker.pid)"
}

@test "podman: it finds vmrt by name" {
    unset DESTDIR
    command -v podman >/dev/null || skip "podman is not installed"
    [ ! -e /var/lib/vmrt/install ] || skip "vmrt is installed here by install.sh"
    [ -x /usr/local/bin/vmrt ] || skip "vmrt is not installed here"
    register podman
    [ "$status" -eq 0 ]
    run podman --runtime vmrt info --format '{{.Host.OCIRuntime.Path}}'
    [ "$output" = /usr/local/bin/vmrt ]
    uninstall
    [ ! -e /etc/containers/containers.conf.d/50-vmrt.conf ]
}
