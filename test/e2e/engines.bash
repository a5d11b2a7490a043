# What the tests of the engines share. Every test is a function of $RUNTIME: RUNTIME=runc shows
# that the test itself is right, and where both can do it, the test compares the two.
load common

RUNTIME=${RUNTIME:-vmrt}
# The same thing with runc and with the runtime under test; one is enough when they are the same.
RUNTIMES=(runc "$RUNTIME")
[ "$RUNTIME" != runc ] || RUNTIMES=(runc)

# Started here unless `lab run --docker` has done so; 3 is bats' own descriptor, not for daemons.
engines_up() { docker-up </dev/null >/dev/null 2>&1 3>&-; }

# drun ARGUMENT...: a container without a network, with $runtime or else $RUNTIME.
drun() { docker run --network none --runtime="${runtime:-$RUNTIME}" "$@"; }

# The engine's own view, without half a second of a docker command: for conditions that are waited for.
docker_api() { curl -sS --unix-socket /run/docker.sock "http://docker$1" "${@:2}"; }
inspect() { docker_api "/containers/$1/json" | jq -r "$2"; }
inspect_is() { [ "$(inspect "$1" "$2")" = "$3" ]; }
docker_signal() { docker_api "/containers/$1/kill?signal=$2" -X POST -f; }
logs_have() { docker_api "/containers/$1/logs?stdout=1&stderr=1" --output - | grep -aq -- "$2"; }

# Removes the containers named; not an error when there are none.
remove() { docker rm -f "$@" >/dev/null 2>&1 || true; }

# each FUNCTION [ARGUMENT]...: calls it with runc and with the runtime under test as $runtime. What
# they write and return must be the same; the outputs stay in $BATS_TEST_TMPDIR/RUNTIME.{out,err}.
each() {
    local runtime status
    for runtime in "${RUNTIMES[@]}"; do
        status=0
        "$@" >"$BATS_TEST_TMPDIR/$runtime.out" 2>"$BATS_TEST_TMPDIR/$runtime.err" </dev/null ||
            status=$?
        echo "status $status" >>"$BATS_TEST_TMPDIR/$runtime.out"
    done
    [ -z "${SHOW:-}" ] || cat "$BATS_TEST_TMPDIR/$RUNTIME.out" "$BATS_TEST_TMPDIR/$RUNTIME.err" >&2
    [ "$RUNTIME" != runc ] || return 0
    diff "$BATS_TEST_TMPDIR/runc.out" "$BATS_TEST_TMPDIR/$RUNTIME.out"
    diff <(same_words <"$BATS_TEST_TMPDIR/runc.err") \
        <(same_words <"$BATS_TEST_TMPDIR/$RUNTIME.err")
}

# What may differ in messages: the runtime's name, ids, times, runc's form of a log line and its
# prefixes, which say where in its code it was; and what docker's client says in some runs only.
same_words() {
    sed -E "/error waiting for container: context canceled/d
        s/\b(runc|$RUNTIME)\b/RUNTIME/g
        s/[0-9a-f]{64}/ID/g
        s/[0-9a-f]{12}\b/ID/g
        s/time=\"[^\"]*\" level=error msg=\"(.*)\"\$/\1/
        s/\\\\\"/\"/g
        s/^RUNTIME: //
        s/is a directory: permission denied/permission denied/
        s/(RUNTIME [a-z]+|exec) failed: //
        s/(unable to start container process|OCI runtime exec failed): //g"
}

# alike ARGUMENT...: `docker run --rm` with both.
alike() { each drun --rm "$@"; }

# output_has TEXT: in what `each` last got from the runtime under test (a guard against two
# runtimes that are alike in doing nothing).
output_has() {
    grep -qF -- "$1" "$BATS_TEST_TMPDIR/$RUNTIME.out" && return
    show "the output lacks \"$1\":" "$(cat "$BATS_TEST_TMPDIR/$RUNTIME.out" "$BATS_TEST_TMPDIR/$RUNTIME.err")"
    return 1
}

# terminal [OPTION]... -- COMMAND: a user at a terminal; the steps come on stdin.
terminal() { python3 "$BATS_TEST_DIRNAME/terminal.py" "$@"; }
