# install.sh: what it does to the files of engines, and that it can be undone.
# Nothing is built and nothing outside a temporary folder is written.
load common

@test "install.sh --help names every option and writes nothing" {
    run "$tree/install.sh" --help
    [ "$status" -eq 0 ]
    for option in --demo --prefix --engines --register-only --uninstall --help; do
        [[ $output = *"$option"* ]]
    done
    [ ! -e "$DESTDIR/var" ]
}

@test "install.sh: bad arguments are named and nothing is written" {
    before=$(fingerprint)
    run "$tree/install.sh" --frobnicate
    [ "$status" -eq 1 ]
    [[ $output = *"unknown argument --frobnicate"* ]]
    run "$tree/install.sh" --prefix relative
    [ "$status" -eq 1 ]
    [[ $output = *'found "relative"'* ]]
    run "$tree/install.sh" --register-only --engines docker,lxc
    [ "$status" -eq 1 ]
    [[ $output = *'found "lxc"'* ]]
    run "$tree/install.sh" --prefix
    [ "$status" -eq 1 ]
    run "$tree/install.sh" --uninstall --register-only
    [ "$status" -eq 1 ]
    run "$tree/install.sh" --demo
    [ "$status" -eq 1 ]
    [[ $output = *DESTDIR* ]]
    [ "$(fingerprint)" = "$before" ]
}

@test "docker: daemon.json is made where there is none, and removed again" {
    before=$(fingerprint)
    register docker
    [ "$status" -eq 0 ]
    [ "$(jq -r .runtimes.vmrt.path "$docker")" = /usr/local/bin/vmrt ]
    [ "$(stat -c %a "$docker")" = 644 ]
    uninstall
    rmdir "$DESTDIR/var/lib" "$DESTDIR/var"
    [ "$(fingerprint)" = "$before" ]
}

@test "docker: keys, other runtimes, mode and owner of daemon.json are kept" {
    write_daemon_json
    chmod 600 "$docker"
    chown 12:34 "$docker"
    register docker --prefix /opt/vmrt
    [ "$status" -eq 0 ]
    [ "$(jq -r .runtimes.vmrt.path "$docker")" = /opt/vmrt/bin/vmrt ]
    [ "$(jq -c .runtimes.crun "$docker")" = '{"path":"/usr/bin/crun","runtimeArgs":["--debug"]}' ]
    [ "$(jq -c 'del(.runtimes)' "$docker")" = \
        '{"log-level":"warn","default-ulimits":{"nofile":{"Name":"nofile","Hard":64000,"Soft":64000}},"live-restore":true}' ]
    [ "$(stat -c %a:%u:%g "$docker")" = 600:12:34 ]
}

@test "docker: the path is that of the programs that are installed" {
    mkdir -p "$DESTDIR/var/lib/vmrt/install"
    echo /opt/vmrt >"$DESTDIR/var/lib/vmrt/install/prefix"
    register docker
    [ "$(jq -r .runtimes.vmrt.path "$docker")" = /opt/vmrt/bin/vmrt ]
}

@test "docker: an empty daemon.json is as good as none" {
    mkdir -p "${docker%/*}"
    echo >"$docker"
    register docker
    [ "$status" -eq 0 ]
    [ "$(jq -r .runtimes.vmrt.path "$docker")" = /usr/local/bin/vmrt ]
}

@test "docker: a daemon.json that is not JSON is left alone, and that is an error" {
    mkdir -p "${docker%/*}"
    echo '{ "log-level": ' >"$docker"
    before=$(sha256sum "$docker")
    register docker,podman
    [ "$status" -eq 1 ]
    [[ $output = *"$docker: expected a JSON object"* ]]
    [ "$(sha256sum "$docker")" = "$before" ]
    # the others are served all the same
    [ -e "$podman" ]
}

@test "docker: a vmrt that somebody else put into daemon.json is not replaced" {
    mkdir -p "${docker%/*}"
    echo '{"runtimes":{"vmrt":{"path":"/home/me/vmrt"}}}' >"$docker"
    before=$(sha256sum "$docker")
    register docker
    [ "$status" -eq 1 ]
    [[ $output = *"names another vmrt, /home/me/vmrt"* ]]
    [ "$(sha256sum "$docker")" = "$before" ]
}

@test "docker: a daemon.json behind a symbolic link stays behind it" {
    mkdir -p "${docker%/*}" "$DESTDIR/srv"
    echo '{"debug": true}' >"$DESTDIR/srv/daemon.json"
    ln -s ../../srv/daemon.json "$docker"
    register docker
    [ "$status" -eq 0 ]
    [ -L "$docker" ]
    [ "$(jq -c '[.debug, .runtimes.vmrt.path]' "$docker")" = '[true,"/usr/local/bin/vmrt"]' ]
    uninstall
    [ -L "$docker" ]
    [ "$(cat "$docker")" = '{"debug": true}' ]
}

@test "twice is the same as once" {
    write_daemon_json
    write_containerd_toml
    register docker,podman,containerd
    [ "$status" -eq 0 ]
    before=$(fingerprint)
    register docker,podman,containerd
    [ "$status" -eq 0 ]
    [[ $output = *"docker: "*"already"*"podman: "*"already"*"containerd: "*"already"* ]]
    [ "$(fingerprint)" = "$before" ]
}

@test "uninstalling puts every file back to the byte" {
    write_daemon_json
    write_containerd_toml
    before=$(fingerprint)
    register docker,podman,containerd
    [ "$(fingerprint)" != "$before" ]
    register docker,podman,containerd --prefix /opt/vmrt
    [ "$(jq -r .runtimes.vmrt.path "$docker")" = /opt/vmrt/bin/vmrt ]
    [ "$(grep -c BinaryName "$containerd")" -eq 1 ]
    uninstall
    [ "$(find "$DESTDIR" -name '*vmrt*' | wc -l)" -eq 0 ]
    rmdir "$DESTDIR/var/lib" "$DESTDIR/var"
    [ "$(fingerprint)" = "$before" ]
}

@test "uninstalling keeps what others have changed in the meantime" {
    write_daemon_json
    write_containerd_toml
    register docker,podman,containerd
    jq '.debug = true | .runtimes.runsc.path = "/usr/bin/runsc"' "$docker" >"$docker.new"
    mv "$docker.new" "$docker"
    echo 'oom_score = -999' | cat - "$containerd" >"$containerd.new"
    mv "$containerd.new" "$containerd"
    uninstall
    [ "$(jq -c '[.debug, (.runtimes | keys), ."log-level"]' "$docker")" = \
        '[true,["crun","runsc"],"warn"]' ]
    grep -q oom_score "$containerd"
    grep -q conf_dir "$containerd"
    run ! grep -qi vmrt "$containerd"
}

@test "uninstalling after somebody's change and another registration still takes out the entry" {
    register docker
    jq '.debug = true' "$docker" >"$docker.new"
    mv "$docker.new" "$docker"
    register docker --prefix /opt/vmrt
    [ "$status" -eq 0 ]
    uninstall
    [ "$(jq -c . "$docker")" = '{"debug":true}' ]
}

@test "uninstalling where nothing was installed does nothing" {
    write_daemon_json
    before=$(fingerprint)
    uninstall
    [[ $output = *"nothing to undo"* ]]
    [ "$(fingerprint)" = "$before" ]
}

@test "podman: the drop-in is read beside the others" {
    register podman
    [ "$status" -eq 0 ]
    [[ "$(cat "$podman")" == *$'\n[engine.runtimes]\nvmrt = ["/usr/local/bin/vmrt"]' ]]
    # Lists replace those that podman has built in: the usual names must be there as well.
    for list in json nocgroup kvm; do
        grep -qE "^runtime_supports_$list = \[.*\"(crun|kata)\".*\"vmrt\"\]$" "$podman"
    done
}

@test "containerd: runtimes that are named already are not named twice" {
    write_containerd_toml
    printf '\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\nruntime_type = "x"\n' \
        >>"$containerd"
    register containerd
    [ "$status" -eq 0 ]
    [ "$(grep -c 'runtimes\.runc\]' "$containerd")" -eq 1 ]
    [ "$(grep -c 'runtimes\.vmrt\]' "$containerd")" -eq 1 ]
}

@test "containerd: version 3 has another name for the CRI plugin" {
    mkdir -p "${containerd%/*}"
    echo 'version = 3' >"$containerd"
    register containerd
    [ "$status" -eq 0 ]
    grep -q '^\[plugins\."io\.containerd\.cri\.v1\.runtime"\.containerd\.runtimes\.vmrt\]' \
        "$containerd"
}

@test "containerd: what it would not load is not written" {
    fake_containerd 1
    write_containerd_toml
    before=$(fingerprint)
    register containerd
    [ "$status" -eq 1 ]
    [[ $output = *"would not load, nothing changed: containerd: this file is bad"* ]]
    [ "$(fingerprint)" = "$before" ]
}

@test "containerd: a configuration without version 2 or 3 is left alone, and that is an error" {
    mkdir -p "${containerd%/*}"
    echo 'root = "/srv/containerd"' >"$containerd"
    register containerd
    [ "$status" -eq 1 ]
    [[ $output = *"expected version 2 or 3, found none"* ]]
    [ "$(cat "$containerd")" = 'root = "/srv/containerd"' ]
}

@test "containerd: a file made where there was none is removed again" {
    register containerd
    [ "$status" -eq 0 ]
    [ "$(head -n 1 "$containerd")" = 'version = 2' ]
    uninstall
    [ ! -e "${containerd%/*}" ]
}

@test "every header that the programs include is of a package that install.sh installs" {
    headers=$(cd "$tree" && git ls-files 'runtime/*.[ch]' 'init/*.[ch]' 'hooks/*.[ch]' |
        xargs sed -n 's/^#include <\(.*\)>/\1/p' | sort -u)
    [ "$(wc -l <<<"$headers")" -gt 50 ]
    installed=" $(grep -v '^#' "$tree/config/install/packages" | tr '\n' ' ') linux-libc-dev "
    for header in $headers; do
        found=
        for place in '' x86_64-linux-gnu/ libnl3/; do
            [ ! -e "/usr/include/$place$header" ] || found=/usr/include/$place$header
        done
        # the compiler's own, stdbool.h say, or made by the build
        [ -n "$found" ] || continue
        package=$(dpkg -S "$found" | head -n 1)
        echo "$header: ${found:-nowhere}: $package"
        [[ $installed = *" ${package%%:*} "* ]]
    done
}
