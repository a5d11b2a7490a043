# What the tests of install.sh share: files of engines below a temporary DESTDIR.
bats_require_minimum_version 1.5.0

setup() {
    tree=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    export DESTDIR=$BATS_TEST_TMPDIR/root
    docker=$DESTDIR/etc/docker/daemon.json
    podman=$DESTDIR/etc/containers/containers.conf.d/50-vmrt.conf
    containerd=$DESTDIR/etc/containerd/config.toml
    mkdir -p "$DESTDIR/etc"
    [ "$(id -u)" = 0 ] || skip "install.sh needs root"
    command -v jq >/dev/null || skip "jq is not installed"
    real_containerd=$(command -v containerd) || true
    fake_containerd 0
}

# fake_containerd STATUS: in place of the real one, which takes its time to say that a file is good.
fake_containerd() {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho "containerd: this file is bad" >&2\nexit %s\n' "$1" \
        >"$BATS_TEST_TMPDIR/bin/containerd"
    chmod +x "$BATS_TEST_TMPDIR/bin/containerd"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

register() {
    run "$tree/install.sh" --register-only --engines "$1" "${@:2}"
    echo "$output"
}

uninstall() {
    run "$tree/install.sh" --uninstall
    echo "$output"
    [ "$status" -eq 0 ]
}

# Every file below the folder with its content, mode and owner.
fingerprint() {
    tar --sort=name --mtime=@0 -C "$DESTDIR" -cf - . | sha256sum
}

write_daemon_json() {
    mkdir -p "${docker%/*}"
    cat >"$docker" <<'END'
{ "log-level": "warn",
  "runtimes": { "crun": { "path": "/usr/bin/crun", "runtimeArgs": ["--debug"] } },
  "default-ulimits": { "nofile": { "Name": "nofile", "Hard": 64000, "Soft": 64000 } },
  "live-restore": true }
END
}

write_containerd_toml() {
    mkdir -p "${containerd%/*}"
    # as Debian's package has it, and without a newline at the end
    printf '%s\n' 'version = 2' '' '[plugins]' \
        '  [plugins."io.containerd.grpc.v1.cri"]' \
        '    [plugins."io.containerd.grpc.v1.cri".cni]' \
        '      bin_dir = "/usr/lib/cni"' >"$containerd"
    printf '      conf_dir = "/etc/cni/net.d"' >>"$containerd"
}
