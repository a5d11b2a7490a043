# shellcheck shell=bash disable=SC2154 # $here and $root are install.sh's
# Making vmrt known to the engines, and undoing that to the byte.
#
# $record/NAME/ remembers each file we changed: "path"; "original", what was there before (absent:
# nothing); "written", what we left; "mixed", when somebody else has changed the file in between,
# so that only our own entry can be taken out again.

record=$root/var/lib/vmrt/install

docker_file=$root/etc/docker/daemon.json
podman_file=$root/etc/containers/containers.conf.d/50-vmrt.conf
containerd_file=$root/etc/containerd/config.toml
settings_file=$root/etc/vmrt/config.json

mark_begin='# vmrt begin: added by install.sh, taken out by install.sh --uninstall'
mark_end='# vmrt end'

# ---- files, and how to put them back ----

# make_folder DIR: like mkdir -p, remembering which folders are new.
make_folder() {
    local folder=$1 new=()

    while [ ! -d "$folder" ]; do
        new=("$folder" "${new[@]}")
        folder=$(dirname "$folder")
    done
    [ ${#new[@]} -gt 0 ] || return 0
    mkdir -p "$1" "$record"
    printf '%s\n' "${new[@]}" >>"$record/folders"
}

remove_folders() {
    [ -e "$record/folders" ] || return 0
    # deepest first; what holds other people's files stays
    sort -r "$record/folders" | while read -r folder; do
        rmdir "$folder" 2>/dev/null || true
    done
    rm -f "$record/folders"
}

# replace_file FILE NEW: in one step, keeping owner and mode of what is there.
replace_file() {
    local file=$1 tmp

    tmp=$(mktemp "$(dirname "$file")/.vmrt.XXXXXX")
    if [ -e "$file" ]; then
        cp -p "$file" "$tmp"
    else
        chmod 644 "$tmp"
    fi
    cat "$2" >"$tmp"
    # a file that is itself a mount point cannot be renamed over
    mv -f "$tmp" "$file" 2>/dev/null || {
        cat "$2" >"$file"
        rm -f "$tmp"
    }
}

# put_file NAME FILE NEW: replaces FILE by NEW and remembers how to undo it.
put_file() {
    local name=$1 file new=$3

    make_folder "$(dirname "$2")"
    file=$(readlink -f "$2")
    if [ ! -d "$record/$name" ]; then
        mkdir -p "$record/$name"
        printf '%s\n' "$file" >"$record/$name/path"
        [ ! -e "$file" ] || cp -p "$file" "$record/$name/original"
    elif ! cmp -s "$file" "$record/$name/written"; then
        touch "$record/$name/mixed"
    fi
    replace_file "$file" "$new"
    cp -p "$file" "$record/$name/written"
    if [ -e "$record/$name/original" ]; then
        say "$name: $file changed; the original is $record/$name/original"
    else
        say "$name: $file written"
    fi
}

# undo_file NAME FILTER: puts the original back; in a file that others have changed since, FILTER
# (a command from stdin to stdout) takes our entry out. Status 1: there was nothing to undo.
undo_file() {
    local name=$1 file new

    [ -d "$record/$name" ] || return 1
    file=$(cat "$record/$name/path")
    if [ ! -e "$file" ]; then
        say "$name: $file is gone already"
    elif [ ! -e "$record/$name/mixed" ] && cmp -s "$file" "$record/$name/written"; then
        if [ -e "$record/$name/original" ]; then
            replace_file "$file" "$record/$name/original"
            say "$name: $file is what it was before"
        else
            rm -f "$file"
            say "$name: $file removed"
        fi
    else
        new=$(mktemp)
        if "$2" <"$file" >"$new"; then
            replace_file "$file" "$new"
            say "$name: entry taken out of $file, which has other changes"
        else
            say "$name: $file has been changed and cannot be read any more; left as it is"
        fi
        rm -f "$new"
    fi
    rm -rf "${record:?}/$name"
}

fill_template() {
    sed -e "s|@VMRT@|$vmrt|g" -e "s|@CRI@|${2:-}|g" "$here/config/engines/$1"
}

# ---- Docker ----

# A runtime named on dockerd's command line as well as in its file keeps dockerd from starting.
docker_has_flag() {
    local pid

    [ -z "$root" ] || return 1
    for pid in $(pidof dockerd); do
        tr '\0' '\n' <"/proc/$pid/cmdline" | grep -q -- '^--add-runtime' && return 0
    done
    return 1
}

register_docker() {
    local new current='{}' path

    if docker_has_flag; then
        warn "docker: dockerd was started with --add-runtime, so $docker_file cannot name runtimes" \
            "too; add --add-runtime vmrt=$vmrt to its command line"
        return 1
    fi
    # an empty file is as good as none
    ! grep -qs '[^[:space:]]' "$docker_file" || current=$(cat "$docker_file")
    path=$(jq -r '.runtimes.vmrt.path // empty' <<<"$current" 2>/dev/null) || {
        warn "docker: $docker_file: expected a JSON object ($(jq . <<<"$current" 2>&1 >/dev/null |
            head -n 1)); nothing changed"
        return 1
    }
    if [ "$path" = "$vmrt" ]; then
        say "docker: $docker_file names $vmrt already"
    elif [ -n "$path" ] && [ ! -d "$record/docker" ]; then
        warn "docker: $docker_file names another vmrt, $path; nothing changed"
        return 1
    else
        new=$(mktemp)
        jq --indent 4 --slurpfile ours <(fill_template docker.json) '. * $ours[0]' \
            <<<"$current" >"$new" && put_file docker "$docker_file" "$new" || {
            rm -f "$new"
            return 1
        }
        rm -f "$new"
    fi
    reload_docker && await_docker
}

# jq's program for a file in which others have changed something since.
remove_docker_entry() {
    jq --indent 4 'del(.runtimes.vmrt) | if .runtimes == {} then del(.runtimes) else . end'
}

unregister_docker() {
    if undo_file docker remove_docker_entry; then reload_docker; fi
}

# dockerd reads its runtimes again on SIGHUP; containers go on undisturbed. The pid file tells
# the machine's own dockerd from one that runs inside a container.
reload_docker() {
    local pid

    [ -z "$root" ] || return 0
    pid=$(cat /var/run/docker.pid 2>/dev/null) || pid=
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        kill -HUP "$pid"
        say "docker: dockerd (pid $pid) reads its configuration again"
    else
        say "docker: dockerd is not running; it will read $docker_file when it starts"
    fi
}

# Has it taken the runtime? It says no only in its log.
await_docker() {
    local tries

    [ -z "$root" ] && command -v docker >/dev/null && docker info >/dev/null 2>&1 || return 0
    for ((tries = 0; tries < 50; tries++)); do
        ! docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q '"vmrt"' || return 0
        sleep 0.1
    done
    warn "docker: dockerd did not take the runtime; its log says why (journalctl -u docker)"
    return 1
}

# ---- podman ----

# podman (4.3: containers.conf(5)) adds the runtimes of each drop-in to those it knows.
register_podman() {
    local new

    new=$(mktemp)
    fill_template podman.conf >"$new"
    if cmp -s "$new" "$podman_file"; then
        say "podman: $podman_file is there already"
    else
        put_file podman "$podman_file" "$new" || {
            rm -f "$new"
            return 1
        }
    fi
    rm -f "$new"
}

# The file is all ours, whatever else was written into it is somebody's: keep that.
remove_podman_entry() {
    sed -e '/^vmrt *=/d' -e '/^# vmrt as one of/d'
}

unregister_podman() {
    undo_file podman remove_podman_entry || true
}

# ---- containerd ----

remove_containerd_entry() {
    sed "\|^$mark_begin\$|,\|^$mark_end\$|d"
}

# Only Kubernetes (CRI) needs this: ctr, nerdctl and Docker name the program themselves.
#
# An imported file would replace the whole section of the CRI plugin rather than add to it, so the
# entry goes at the end of the main file. Runtimes named there replace the built-in list: runc has
# to be named with them.
register_containerd() {
    local new version cri=io.containerd.grpc.v1.cri problem rest

    rest=$(mktemp)
    [ ! -e "$containerd_file" ] || remove_containerd_entry <"$containerd_file" >"$rest"
    version=$(sed -nE 's/^ *version *= *([0-9]+).*/\1/p' "$rest" | head -n 1)
    case ${version:-none} in
    2) ;;
    3) cri=io.containerd.cri.v1.runtime ;;
    *)
        if [ -s "$rest" ]; then
            warn "containerd: $containerd_file: expected version 2 or 3, found ${version:-none};" \
                "nothing changed, see docs/engines.md"
            rm -f "$rest"
            return 1
        fi
        echo 'version = 2' >"$rest"
        ;;
    esac
    new=$(mktemp)
    {
        cat "$rest"
        # a last line without a newline, or an empty one: the mark stands alone in either case
        [ -z "$(tail -c 1 "$rest")" ] || echo
        echo "$mark_begin"
        if ! grep -qE 'runtimes\.|default_runtime_name' "$rest"; then
            printf '[plugins."%s".containerd.runtimes.runc]\nruntime_type = "%s"\n\n' \
                "$cri" io.containerd.runc.v2
        fi
        fill_template containerd.toml "$cri"
        echo "$mark_end"
    } >"$new"
    if grep -q 'runtimes\.vmrt\]' "$rest"; then
        say "containerd: $containerd_file has a runtime vmrt of its own; nothing changed"
    elif cmp -s "$new" "$containerd_file"; then
        say "containerd: $containerd_file names $vmrt already"
    elif command -v containerd >/dev/null &&
        ! problem=$(containerd --config "$new" config dump 2>&1 >/dev/null); then
        warn "containerd: the new $containerd_file would not load, nothing changed:" \
            "$(tail -n 1 <<<"$problem")"
        rm -f "$rest" "$new"
        return 1
    else
        put_file containerd "$containerd_file" "$new"
        restart_containerd
    fi
    rm -f "$rest" "$new"
}

unregister_containerd() {
    if undo_file containerd remove_containerd_entry; then restart_containerd; fi
}

# containerd reads its file only when it starts. When that suits is for people to say.
restart_containerd() {
    [ -z "$root" ] && pidof containerd >/dev/null || return 0
    say "containerd: for Kubernetes only: restart it when it suits (systemctl restart containerd)"
}

# ---- settings of vmrt itself ----

install_settings() {
    local example=$here/config/config.json

    [ -e "$example" ] || return 0
    if [ ! -e "$settings_file" ] || { [ -d "$record/settings" ] &&
        cmp -s "$settings_file" "$record/settings/written" &&
        ! cmp -s "$settings_file" "$example"; }; then
        put_file settings "$settings_file" "$example"
    fi
}

remove_settings() {
    # somebody has written into it: it is theirs now
    undo_file settings cat || true
}

# ---- all of them ----

# installed ENGINE: is it on this machine?
installed() {
    case $1 in
    docker) [ -n "$(command -v dockerd)" ] ;;
    *) [ -n "$(command -v "$1")" ] ;;
    esac
}

register_engines() {
    local engine failed=0 found=0

    for engine in docker podman containerd; do
        case ${engines:-} in
        none) continue ;;
        '') installed "$engine" || continue ;;
        *) [[ ,$engines, = *,$engine,* ]] || continue ;;
        esac
        found=1
        "register_$engine" || failed=1
    done
    [ "$found" = 1 ] || say "engines: none of Docker, podman, containerd to register with"
    return $failed
}

unregister_engines() {
    unregister_docker
    unregister_podman
    unregister_containerd
}
