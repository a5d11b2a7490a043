# The commands that engines call themselves: exec with a process document, consoles, ps, events,
# update, pause; next to runc where both can do it.
load engines

setup() { B=$BATS_TEST_TMPDIR/b; }
teardown() {
    local runtime
    for runtime in "${RUNTIMES[@]}"; do "$runtime" delete --force direct >/dev/null 2>&1 || true; done
    [ -z "${console:-}" ] || kill "$console" 2>/dev/null || true
}

# running [FILTER]: a container that sleeps, with $runtime.
running() {
    "$runtime" run --detach --bundle "$B" --pid-file "$B/pid" direct </dev/null >/dev/null 2>&1
}

@test "exec: flags, --process, statuses, messages" {
    bundle "$B" "$(args '["sleep", "1000"]') | .hostname = \"h\" | .process.env += [\"A=container\"] | .process.noNewPrivileges = false"
    execs() {
        running || return
        # shellcheck disable=SC2016
        local probe='id; pwd; echo "$A"; umask; grep -E "^(Cap|NoNew)" /proc/self/status'
        "$runtime" exec direct sh -c "$probe; exit 9"
        echo "status $?"
        "$runtime" exec --user 1000:1001 --additional-gids 5 --additional-gids 6 --cwd /tmp -e A=exec -e B=c --cap CAP_SYS_TIME --no-new-privs direct sh -c "$probe; env | grep ^B="
        echo "status $?"
        jq '.process | .args = ["sh", "-c", "id -u; pwd; env | sort | grep -v SHLVL; ulimit -n; exit 4"] | .cwd = "/etc" | .env = ["PATH=/bin", "X=y"] | .user.uid = 33 |
            .rlimits = [{type: "RLIMIT_NOFILE", soft: 66, hard: 66}]' "$B/config.json" >"$B/process.json"
        "$runtime" exec --process "$B/process.json" direct
        echo "status $?"
        echo in | "$runtime" exec -p "$B/process.json" direct
        printf 'stdin' | "$runtime" exec direct sh -c 'cat; echo; echo err >&2'
        for command in nosuch /no/such /etc/passwd /etc; do
            "$runtime" exec direct "$command"
            echo "status $?"
        done
        "$runtime" exec --cwd /no/such direct true
        echo "status $?"
        "$runtime" exec direct
        "$runtime" exec nosuch true
        echo "status $?"
        jq 'del(.args)' "$B/process.json" >"$B/bad.json"
        "$runtime" exec --process "$B/bad.json" direct >/dev/null 2>&1
        echo "status $(($? != 0))"
        "$runtime" exec --process /no/such/file direct >/dev/null 2>&1
        echo "status $(($? != 0))"
        "$runtime" delete --force direct
    }
    each execs
    output_has 'status 9'
    output_has 'uid=1000 gid=1001 groups=5'
    output_has 'status 255'
}

@test "exec --detach: pid-file, signals, ps, and its end" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    runtime=$RUNTIME running
    "$RUNTIME" exec --detach --pid-file "$B/exec.pid" direct sh -c 'echo here; exec sleep 999' </dev/null >"$B/out" 2>&1
    local pid
    pid=$(cat "$B/exec.pid")
    [ "$(cat "$B/out")" = here ]
    [[ "$(od -c "$B/exec.pid" | tail -n 2 | head -n 1)" != *'\n'* ]]
    # Both pids, as table and as JSON; other columns as ps gives them.
    "$RUNTIME" ps --format json direct | jq -e --argjson a "$(cat "$B/pid")" --argjson b "$pid" 'index($a) != null and index($b) != null'
    "$RUNTIME" ps direct | head -n 1 | grep -q 'UID.*PID.*CMD'
    [ "$("$RUNTIME" ps direct | awk -v p="$pid" '$2 == p' | wc -l)" = 1 ]
    "$RUNTIME" ps direct -o pid,comm | grep -qw "$pid"
    run "$RUNTIME" ps nosuch
    [ "$status" -ne 0 ]
    kill -TERM "$pid"
    wait_for 20 sh -c "[ ! -d /proc/$pid ] || grep -q 'State:.Z' /proc/$pid/status"
    gone() { [ "$("$RUNTIME" ps --format json direct | jq "index($pid)")" = null ]; }
    wait_for 20 gone
    [ "$("$RUNTIME" exec direct sh -c 'ls /proc | grep -c "^[0-9]"')" -le 4 ]
    # The container's end is that of its execs.
    "$RUNTIME" exec --detach --pid-file "$B/exec.pid" direct sleep 999 </dev/null >/dev/null 2>&1
    pid=$(cat "$B/exec.pid")
    "$RUNTIME" kill direct KILL
    wait_for 20 sh -c "[ ! -d /proc/$pid ] || grep -q 'State:.Z' /proc/$pid/status"
    run "$RUNTIME" exec direct true
    show "$output"
    [ "$status" = 255 ] || [ "$status" = 1 ]
    [[ "$output" == *stopped* ]] || [[ "$output" == *"not running"* ]]
}

# listen NAME [OPTION]...: an engine's console socket; its output in $B/NAME.{out,err}.
listen() {
    local name=$1
    shift
    mkfifo "$B/$name.in"
    python3 "$BATS_TEST_DIRNAME/console_socket.py" "$B/$name.sock" "$@" <"$B/$name.in" >"$B/$name.out" 2>"$B/$name.err" 3>&- &
    console=$!
    exec 8>"$B/$name.in"
    wait_for 20 grep -q listening "$B/$name.err"
}

@test "create with --console-socket: one message, one descriptor, size, typing, resize, hang-up" {
    bundle "$B" "$(args '["sh"]') | .process.terminal = true | .process.consoleSize = {height: 21, width: 77} | .process.env += [\"PS1=> \"]"
    listen c
    "$RUNTIME" create --bundle "$B" --console-socket "$B/c.sock" --pid-file "$B/pid" direct </dev/null >"$B/create.out" 2>&1
    [ ! -s "$B/create.out" ]
    wait_for 20 grep -q message "$B/c.err"
    show "$(cat "$B/c.err")"
    grep -q 'message /dev/pt[a-z0-9/]* descriptors 1 tty 1 rest 0' "$B/c.err"
    # A guest has its own line discipline: the host's terminal must not add another.
    [ "$RUNTIME" = runc ] || grep -q 'raw 1 size 21x77' "$B/c.err"
    "$RUNTIME" start direct
    echo 'stty size; tty; ls -l /dev/console | cut -c 1' >&8
    wait_for 20 grep -q '^c' "$B/c.out"
    grep -q /dev/pts/0 "$B/c.out"
    [ "$RUNTIME" = runc ] || grep -q '21 77' "$B/c.out"
    # The engine goes away: the shell gets a hang-up and ends.
    kill "$console"
    exec 8>&-
    direct_is_stopped() { [ "$("$RUNTIME" state direct | jq -r .status)" = stopped ]; }
    wait_for 20 direct_is_stopped
}

@test "exec --tty with --console-socket; the wrong combinations are refused in words" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    runtime=$RUNTIME running
    listen e --size 43x87
    "$RUNTIME" exec --tty --detach --console-socket "$B/e.sock" --pid-file "$B/exec.pid" direct \
        sh -c 'echo started; until [ "$(stty size)" = "43 87" ]; do usleep 50000; done; stty size; tty; read line; echo "read $line"; exit 3' </dev/null >/dev/null 2>&1
    wait_for 20 grep -q '/dev/pts/' "$B/e.out"
    grep -q '43 87' "$B/e.out"
    echo typed >&8
    wait_for 20 grep -q 'read typed' "$B/e.out"
    exec 8>&-
    wait "$console"
    wrong() {
        "$runtime" run --detach --bundle "$B" other
        echo "status $?"
        "$runtime" create --bundle "$B" other
        echo "status $?"
        "$runtime" create --bundle "$B" --console-socket "$B/no.sock" other 2>&1 | grep -io "$B/no.sock.*no such file"  | sed 's/ connect://' | tr N n
        jq '.process.terminal = false' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
        "$runtime" create --bundle "$B" --console-socket "$B/e.sock" other
        echo "status $?"
        "$runtime" state other 2>/dev/null
        jq '.process.terminal = true' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    }
    "$RUNTIME" delete --force direct
    jq '.process.terminal = true' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    each wrong
}

@test "run and exec at a terminal of one's own; it is as before afterwards" {
    bundle "$B" "$(args '["sh"]') | .process.terminal = true"
    terminal --size 29x99 -- sh -c "stty -a >$B/before; $RUNTIME run --bundle $B direct; echo status=\$?; stty -a >$B/after; exit 11" <<END
retry stty\x20size\r 29 99\r
resize 39 89
retry stty\x20size\r 39 89\r
send sh -c 'echo started; exec sleep 100'\r
expect \nstarted\r
send \x03
expect \^C
run $RUNTIME exec direct true
send exit 8\r
expect status=8
status 11
END
    diff <(sed 's/rows.*columns [0-9]*//' "$B/before") <(sed 's/rows.*columns [0-9]*//' "$B/after")
    jq '.process.terminal = false | .process.args = ["sleep", "1000"]' "$B/config.json" >"$B/c" && mv "$B/c" "$B/config.json"
    runtime=$RUNTIME running
    terminal -- "$RUNTIME" exec -t direct sh <<'END'
retry tty\r /dev/pts/\d+\r
send exit 6\r
status 6
END
}

@test "pause, resume, state, events, update, list, kill --all" {
    bundle "$B" "$(args '["sh", "-c", "while :; do date +%s >/tick; sleep 0.1; done"]') |
        .linux.cgroupsPath = \"/direct-cg\" | .linux.resources = {memory: {limit: 300000000}, pids: {limit: 40}, cpu: {shares: 512}}"
    control() {
        running || return
        until [ -s "$B/rootfs/tick" ]; do sleep 0.05; done
        "$runtime" pause direct
        "$runtime" state direct | jq -r .status
        "$runtime" list --format json | jq -r '.[] | select(.id == "direct") | .status'
        "$runtime" list | awk '$1 == "direct" {print $3}'
        "$runtime" exec direct true 2>&1 | grep -o 'exec failed: cannot exec in a paused container'
        "$runtime" exec direct true 2>/dev/null
        echo "status $?"
        "$runtime" pause direct 2>/dev/null
        echo "pause again: $(($? != 0))"
        "$runtime" resume direct
        "$runtime" resume direct
        echo "status $?"
        "$runtime" state direct | jq -r .status
        # The pause was some seconds long, and the clocks went on.
        local behind=$(($(date +%s) - $("$runtime" exec direct date +%s)))
        [ "${behind#-}" -le 2 ] || echo "the clock is $behind s behind after resume"
        "$runtime" exec direct true
        "$runtime" events --stats direct | jq -c '[.type, .id, (.data | keys | map(select(. == "cpu" or . == "memory" or . == "pids" or . == "blkio"))),
            (.data.cpu.usage.total > 0), (.data.memory.usage.usage > 0), (.data.pids.current > 0), .data.pids.limit]'
        "$runtime" update --pids-limit 25 direct
        echo '{"pids": {"limit": 30}, "cpu": {"shares": 256}}' | "$runtime" update --resources - direct
        echo "status $?"
        cat /sys/fs/cgroup/direct-cg/cpu.weight
        "$runtime" events --stats direct | jq .data.pids.limit
        "$runtime" update --memory nonsense direct >/dev/null 2>&1
        echo "nonsense: $(($? != 0))"
        "$runtime" pause nosuch
        echo "status $?"
        "$runtime" kill --all direct KILL
        until [ "$("$runtime" state direct | jq -r .status)" = stopped ]; do sleep 0.05; done
        "$runtime" pause direct >/dev/null 2>&1
        echo "stopped: $(($? != 0))"
        "$runtime" list -q
        "$runtime" delete direct
        [ ! -e /sys/fs/cgroup/direct-cg ] || echo "the cgroup is left"
        rm -f "$B/rootfs/tick"
    }
    each control
    output_has paused
}

@test "checkpoint and restore: refused as engines probe for them" {
    [ "$RUNTIME" = vmrt ] || skip "runc can do it with criu"
    run vmrt checkpoint --help
    [ "$status" -ne 0 ]
    run vmrt restore --lsm-mount-context
    [ "$status" -ne 0 ]
    [[ "$output" != *"requires an argument"* ]]
}

@test "20 execs at once: each its own output and status" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    runtime=$RUNTIME running
    local i pids=()
    for i in {1..20}; do
        "$RUNTIME" exec direct sh -c "cat; echo $i; echo e$i >&2; exit $i" \
            <<<"in $i" >"$BATS_TEST_TMPDIR/$i.out" 2>"$BATS_TEST_TMPDIR/$i.err" &
        pids[i]=$!
    done
    for i in {1..20}; do
        local status=0
        wait "${pids[i]}" || status=$?
        show "$i: $status $(cat "$BATS_TEST_TMPDIR/$i".{out,err})"
        [ "$status" = "$i" ]
        [ "$(cat "$BATS_TEST_TMPDIR/$i.out")" = $'in '"$i"$'\n'"$i" ]
        [ "$(cat "$BATS_TEST_TMPDIR/$i.err")" = "e$i" ]
    done
    # None of them stays, in the guest or on the host.
    [ "$("$RUNTIME" exec direct sh -c 'ls /proc | grep -c "^[0-9]"')" -le 4 ]
    [ "$("$RUNTIME" ps --format json direct | jq length)" = 1 ]
}

@test "a signal to the exec's own process reaches the guest; run forwards signals too" {
    bundle "$B" "$(args '["sleep", "1000"]')"
    runtime=$RUNTIME running
    "$RUNTIME" exec direct sh -c 'trap "echo usr1; exit 5" USR1; echo ready; while :; do sleep 0.05; done' </dev/null >"$B/out" 2>&1 3>&- &
    local status=0
    wait_for 20 grep -q ready "$B/out"
    kill -USR1 $!
    wait $! || status=$?
    [ "$status" = 5 ]
    grep -q usr1 "$B/out"
}
