# Hooks: order, state on stdin, environment, timeouts and what their failure does; next to runc.
load engines

setup() {
    B=$BATS_TEST_TMPDIR/b
    # The log is at the same path on the host and in the container, so that hooks of both worlds
    # write into it, wherever they run.
    H=/srv/hooks
    rm -rf "$H"
    mkdir -p "$H/log"
}
teardown() {
    local runtime
    for runtime in "${RUNTIMES[@]}"; do "$runtime" delete --force hooked >/dev/null 2>&1 || true; done
}

# hook NAME [COMMAND [TIMEOUT]]: JSON of a hook that notes its state document and itself.
hook() {
    jq -n --arg n "$1" --arg h "$H/log" --arg c "${2:-}" --argjson t "${3:-0}" \
        '{path: "/bin/busybox", args: ["sh", "-c", "cat >\($h)/\($n); echo \"\($n) $A $0 $#\" >>\($h)/order; \($c)", $n, "one"],
          env: ["PATH=/bin:/usr/bin", "A=of-\($n)"]} + (if $t > 0 then {timeout: $t} else {} end)'
}

# all_hooks: a filter that sets one of each kind, and the place of the log.
all_hooks() {
    local kind
    printf '.mounts += [{destination: "%s", source: "%s", type: "bind", options: ["rbind"]}] | .hooks = {' "$H" "$H"
    for kind in prestart createRuntime createContainer startContainer poststart poststop; do
        printf '%s: [%s]' "$kind" "$(hook "$kind")"
        [ "$kind" = poststop ] || printf ', '
    done
    printf '}'
}

# runc 1.1 runs poststart at the end of create, where the specification has it after the process's
# start: that one is left out of comparisons.
@test "order, arguments, environment and state of each of the six" {
    bundle "$B" "$(args "[\"sh\", \"-c\", \"echo process >>$H/log/order\"]") | .annotations = {\"k\": \"v\"} | $(all_hooks)"
    six() {
        rm -f "$H"/log/*
        "$runtime" create --bundle "$B" hooked </dev/null >/dev/null || return
        echo "created:"
        grep -v poststart "$H/log/order"
        "$runtime" start hooked || return
        until [ "$("$runtime" state hooked | jq -r .status)" = stopped ]; do sleep 0.05; done
        "$runtime" delete hooked
        echo "all:"
        grep -v poststart "$H/log/order"
        for f in prestart createRuntime createContainer startContainer poststop; do
            echo "$f $(jq -c '[.id, .status, (.pid > 0), .bundle, .annotations, (.ociVersion | length > 0)]' "$H/log/$f")"
        done
    }
    each six
    [ "$RUNTIME" = runc ] || [ "$(jq -r .status "$H/log/poststart")" = running ]
    grep -q 'poststart of-poststart' "$H/log/order"
    output_has 'startContainer of-startContainer'
}

@test "createContainer and startContainer run in the container, the others on the host" {
    local kind filter=.
    for kind in prestart createRuntime createContainer startContainer poststart poststop; do
        filter+=" | .hooks.$kind = [$(hook $kind "echo $kind \$(uname -n) >>$H/log/names; uname -r >$H/log/kernel.$kind")]"
    done
    bundle "$B" "$(args '["true"]') | .hostname = \"inside\" | .mounts += [{destination: \"$H\", source: \"$H\", type: \"bind\", options: [\"rbind\"]}] | $filter"
    names() {
        rm -f "$H"/log/*
        "$runtime" run --bundle "$B" hooked || return
        # runc sets the host name after createContainer.
        grep -v createContainer "$H/log/names" | sort
    }
    each names
    output_has 'startContainer inside'
    output_has "poststart $(uname -n)"
    [ "$RUNTIME" = runc ] || for kind in createContainer startContainer; do guest_kernel "$(cat "$H/log/kernel.$kind")"; done
}

@test "a hook that fails: which ones end the container, and what is run after all" {
    failing() {
        local kind
        for kind in prestart createRuntime createContainer startContainer poststart poststop; do
            rm -f "$H"/log/*
            jq ".hooks = {} | $(all_hooks) | .hooks.$kind = [$(hook "$kind" 'echo on-stderr >&2; exit 3')] + .hooks.$kind
                | .mounts |= unique_by(.destination)" "$B/base.json" >"$B/config.json"
            "$runtime" run --bundle "$B" hooked >"$B/out" 2>"$B/err" </dev/null
            echo "$kind: status $?"
            sed 's/ .*//' "$H/log/order" | sort | uniq -c | awk '{print $2 "*" $1}' | paste -sd ' ' >"$B/$runtime.$kind"
            # What poststart's failure prevents follows from its place.
            [ "$kind" = poststart ] || sed 's/poststart[^ ]* //' "$B/$runtime.$kind"
            grep -c "exit status 3" "$B/err"
            "$runtime" state hooked >/dev/null 2>&1 && echo "left behind" && "$runtime" delete --force hooked
        done
    }
    bundle "$B" "$(args "[\"sh\", \"-c\", \"echo process >>$H/log/order\"]")"
    cp "$B/config.json" "$B/base.json"
    each failing
    output_has 'prestart: status 1'
    grep -q poststop "$B/$RUNTIME.poststart"
}

@test "a createContainer hook that fails is create's failure" {
    bundle "$B" "$(args '["true"]') | .hooks = {createContainer: [$(hook createContainer 'exit 3')]} |
        .mounts += [{destination: \"$H\", source: \"$H\", type: \"bind\", options: [\"rbind\"]}]"
    at_create() {
        "$runtime" create --bundle "$B" hooked </dev/null >/dev/null 2>"$B/err"
        echo "status $?"
        "$runtime" state hooked 2>/dev/null | jq -r .status
        "$runtime" delete --force hooked
    }
    each at_create
    output_has 'status 1'
}

@test "a hook beyond its timeout is killed and fails; one that does not exist fails by its name" {
    late() {
        "$runtime" run --bundle "$B" hooked 2>"$B/err" </dev/null
        echo "status $?"
        grep -ci 'hook' "$B/err"
        "$runtime" state hooked >/dev/null 2>&1 && echo "left behind"
        pgrep -fx 'sleep 54321' && echo "still runs"
        return 0
    }
    bundle "$B" "$(args '["true"]') | .hooks = {createRuntime: [{path: \"/bin/sleep\", args: [\"sleep\", \"54321\"], timeout: 1}]}"
    local begin=$SECONDS
    each late
    output_has 'status 1'
    [ $((SECONDS - begin)) -lt 40 ]
    bundle "$B-2" "$(args '["true"]') | .hooks = {prestart: [{path: \"/no/such/hook\"}]}"
    B=$B-2
    each late
    grep -q '/no/such/hook' "$B/err"
}

@test "hooks under docker: its own prestart hook makes the network namespace's links" {
    engines_up
    local pid
    docker run -d --name vmrt-hook --network bridge --runtime="$RUNTIME" busybox sleep 1000
    pid=$(inspect vmrt-hook .State.Pid)
    nsenter -t "$pid" -n ip -o link show eth0
    nsenter -t "$pid" -n ip -o -4 address show eth0 | grep -q 'inet 172\.'
    docker rm -f vmrt-hook
}
