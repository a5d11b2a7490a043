# buildah drives vmrt itself, without a monitor: create, start, state, kill, delete.
load engines

setup() {
    B=$BATS_TEST_TMPDIR/context
    mkdir -p "$B"
}
teardown() {
    buildah rm -a >/dev/null 2>&1 || true
    buildah rmi localhost/vmrt-built >/dev/null 2>&1 || true
}

@test "buildah run: status, streams, user, mounts, and what it wrote stays" {
    local name
    name=$(buildah from localhost/busybox)
    with_buildah() {
        buildah run --runtime "$(command -v "$runtime")" --network none --isolation oci "$name" -- sh -c 'id -u; echo err >&2; exit 7'
        echo "status $?"
        echo in | buildah run --runtime "$(command -v "$runtime")" --network none --isolation oci --user 1000:1000 --env A=1 \
            -v /srv:/data:ro "$name" -- sh -c 'id; echo $A; cat; touch /data/x 2>&1'
        echo "status $?"
        buildah run --runtime "$(command -v "$runtime")" --network none --isolation oci "$name" -- nosuch 2>&1 | grep -o 'executable file not found in $PATH' | head -n 1
    }
    each with_buildah
    output_has 'uid=1000'
    buildah run --runtime "$(command -v "$RUNTIME")" --network none --isolation oci "$name" -- sh -c 'echo made >/made'
    buildah run --runtime "$(command -v "$RUNTIME")" --network none --isolation oci "$name" -- cat /made
    [ "$(cat "$(buildah mount "$name")/made")" = made ]
}

@test "buildah run: the network of buildah's own" {
    local name
    name=$(buildah from localhost/busybox)
    with_network() {
        buildah run --runtime "$(command -v "$runtime")" --isolation oci "$name" -- \
            sh -c 'ip route | sed "s/  *src.*//"; cat /etc/resolv.conf; wget -O - "http://$(ip route | sed -n "s/^default via \([^ ]*\) .*/\1/p"):1/" 2>&1'
    }
    each with_network
    output_has 'default via'
    # The gateway's answer: it got the packet.
    output_has 'Connection refused'
}

@test "buildah bud: RUN in an image of one's own, from scratch and from busybox" {
    cp /bin/busybox "$B/busybox"
    cat >"$B/Containerfile" <<'END'
FROM localhost/busybox AS first
RUN uname -r >/kernel && mkdir /out && echo one >/out/f && chown 5:6 /out/f
USER 1000
RUN id -u >/tmp/id
FROM scratch
COPY busybox /bin/busybox
COPY --from=first /kernel /tmp/id /
COPY --from=first /out /out
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox echo two >/out/g && /bin/busybox ln -s g /out/l"]
END
    buildah bud --runtime "$(command -v "$RUNTIME")" --network none --isolation oci --no-cache -q \
        -t localhost/vmrt-built "$B"
    local name root
    name=$(buildah from localhost/vmrt-built)
    root=$(buildah mount "$name")
    show "$(ls -lR "$root/out")"
    [ "$RUNTIME" = runc ] || guest_kernel "$(cat "$root/kernel")"
    [ "$(cat "$root/id")" = 1000 ]
    [ "$(cat "$root/out/l")" = two ]
    [ "$(stat -c %u:%g "$root/out/f")" = 5:6 ]
    # A RUN that fails fails the build, with its status.
    printf 'FROM localhost/busybox\nRUN exit 23\n' >"$B/Containerfile"
    run buildah bud --runtime "$(command -v "$RUNTIME")" --network none --isolation oci -q "$B"
    [ "$status" -ne 0 ]
    [[ "$output" == *"exit status 23"* ]]
}
