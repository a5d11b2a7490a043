# What the process of a container is and sees, with docker's flags: the same as with runc.
load engines

setup_file() { engines_up; }
setup() {
    rm -rf /srv/process
    mkdir -p /srv/process/sub
    echo from-the-host >/srv/process/file
    chmod 1777 /srv/process
}
teardown() {
    remove vmrt-p
    docker volume rm -f vmrt-volume >/dev/null 2>&1 || true
}

@test "identity, limits, environment, names, sizes: one container with many flags" {
    # The scripts are the container's: single quotes throughout.
    # shellcheck disable=SC2016
    alike -u 1000:1001 --group-add 5 --group-add 27 -w /tmp -e A=1 -e 'B=two words' -e C= \
        -h guest --domainname example.org --ulimit nofile=512:1024 --ulimit core=0 \
        --oom-score-adj 100 --cap-drop ALL --cap-add CHOWN --cap-add NET_RAW --shm-size 32m \
        --tmpfs /t:size=4m,mode=1770,uid=5,noexec --label x=y --stop-signal USR1 \
        --sysctl kernel.msgmax=4096 --sysctl net.ipv4.ip_default_ttl=77 \
        busybox sh -c '
            echo "pid $$"; id; umask; pwd; env | grep -v ^SHLVL | sort; hostname; hostname -f 2>/dev/null
            cat /proc/sys/kernel/domainname /proc/sys/kernel/msgmax
            cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/net/ipv4/ip_unprivileged_port_start
            ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj
            grep -E "^(Cap|NoNewPrivs|Seccomp:|Groups|Uid|Gid)" /proc/self/status
            df -k /dev/shm /t | awk "{print \$2, \$6}"; stat -c "%a %u:%g %n" /t /dev/shm /tmp
            touch /t/x && echo ok; tr "\0" " " </proc/1/cmdline | head -c 8; cat /proc/1/comm
            set -- /proc/[0-9]*; echo $#; cat /proc/self/cgroup; ls -A /sys/fs/cgroup | grep -c cgroup.procs'
    output_has 'uid=1000 gid=1001'
}

@test "/dev, mounts, masked and read-only paths" {
    # shellcheck disable=SC2016
    alike -h guest busybox sh -c '
        cd /dev && ls -l | sed "s/  *[A-Z][a-z][a-z]  *[0-9].*[0-9]:[0-9][0-9] / /" | grep -vE "^total| core ->"
        while read -r src dst type opts rest; do
            case $dst in
            /|/proc/acpi|/proc/kcore|/proc/keys|/proc/latency_stats|/proc/timer_list|/proc/timer_stats|/proc/sched_debug|/proc/scsi|/proc/sysrq-trigger|/sys/firmware) ;;
            /etc/*) echo "$dst" ;;
            *) echo "$dst $type $(echo $opts | tr , "\n" | grep -E "^(ro|rw|nosuid|nodev|noexec)$" | tr "\n" ,)" ;;
            esac
        done </proc/mounts | sort
        for f in /proc/keys /proc/timer_list /proc/kcore /proc/sched_debug; do head -c 10 $f 2>/dev/null | wc -c; done
        ls -A /sys/firmware | wc -l
        for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/kernel/uevent_helper /sys/fs/cgroup/x; do
            (echo a >$f) 2>/dev/null && echo "wrote $f"
        done; echo end'
    output_has end
}

@test "--read-only, --tmpfs over it, volumes: named, bound, single file, read-only, nested" {
    docker volume create vmrt-volume >/dev/null
    # shellcheck disable=SC2016
    alike --read-only --tmpfs /run --tmpfs /x:ro -v vmrt-volume:/etc/new -v /srv/process:/data:ro \
        -v /srv/process/sub:/data/sub -v /srv/process/file:/etc/one -v /srv/process/file:/etc/two:ro \
        --mount type=bind,source=/srv/process/sub,target=/slave,bind-propagation=rslave \
        --mount type=tmpfs,destination=/m,tmpfs-size=1m,tmpfs-mode=0700 busybox sh -c '
            for f in /f /run/f /x/f /etc/new/f /data/f /data/sub/f /etc/one /etc/two /slave/g /m/f /dev/shm/f; do
                (echo "w $f" >$f) 2>/dev/null && echo "wrote $f" || echo "refused $f"
            done
            cat /data/sub/f /etc/one; stat -c %a /m; df -k /m | tail -n 1 | awk "{print \$2}"'
    output_has 'wrote /data/sub/f'
    output_has 'refused /etc/two'
    [ -e /srv/process/sub/g ]
    [ ! -e /srv/process/f ]
    # A new volume starts with what the image has at that place, with its owner and mode.
    docker volume rm -f vmrt-volume >/dev/null
    drun --rm -v vmrt-volume:/var/spool busybox sh -c 'ls -A /var/spool; echo kept >/var/spool/f'
    [ "$(drun --rm -v vmrt-volume:/v:ro busybox cat /v/f)" = kept ]
    # What a machine cannot share is refused by name, with the word that the user wrote.
    if [ "$RUNTIME" = vmrt ]; then
        run drun --rm --mount type=bind,source=/srv/process,target=/s,bind-propagation=shared busybox true
        show "$output"
        [ "$status" -ne 0 ]
        [[ "$output" == *shared* ]]
    fi
}

@test "users by name, by number, unknown; groups of the image; --user with a group" {
    users() {
        local u
        for u in www-data 1234 nobody:operator; do
            drun --rm -u "$u" busybox sh -c 'id; echo $HOME' || return
        done
        drun --rm -u nosuch busybox id
    }
    each users
    output_has 'uid=33(www-data) gid=33(www-data)'
}

@test "--init reaps orphans and passes signals on; without it the workload is PID 1" {
    # shellcheck disable=SC2016
    alike --init busybox sh -c '
        cat /proc/1/comm; (sh -c "sleep 0.1 &"); i=0
        while pidof sleep >/dev/null && [ $i -lt 100 ]; do usleep 100000; i=$((i+1)); done
        ps -o pid,ppid,stat,comm | grep -c Z; exit 9'
    output_has 'status 9'
    drun -d --name vmrt-p --init busybox sleep 1000
    docker_signal vmrt-p TERM
    [ "$(docker wait vmrt-p)" = 143 ]
}

@test "orphans go to the workload, which may leave them as zombies; the end ends them all" {
    # shellcheck disable=SC2016
    alike debian python3 -uc '
import os, time, subprocess
assert os.getpid() == 1
# A grandchild whose parent ends becomes a child of PID 1.
r, w = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.read(r, 1)
        os._exit(7)
    os._exit(0)
os.wait()
os.write(w, b"x")
pid, status = os.wait()
print("reaped", os.waitstatus_to_exitcode(status))
if os.fork() == 0:
    os._exit(3)
while "Z" not in subprocess.run(["ps", "-o", "stat=", "--ppid", "1"], capture_output=True, text=True).stdout:
    time.sleep(0.05)
print("zombie seen")
if os.fork() == 0:
    time.sleep(1000)
os._exit(12)
'
    output_has 'zombie seen'
    output_has 'status 12'
}

@test "the same container again, with what it wrote; entrypoint and arguments; --env-file" {
    printf 'X=1\nY=a b\n' >/srv/process/env
    again() {
        docker rm -f vmrt-p >/dev/null 2>&1
        drun --name vmrt-p --entrypoint sh --env-file /srv/process/env busybox \
            -c 'echo "$X $Y $0 $*"; echo line >>/count; wc -l </count; [ $(wc -l </count) -lt 2 ]' zero one 'two  words' || return
        docker start -a vmrt-p
    }
    each again
    output_has '1 a b zero one two  words'
    output_has 'status 1'
}
