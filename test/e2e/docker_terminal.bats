# A user at a terminal: run -it, exec -it, attach and detach, resize, the keys that make signals.
load engines

setup_file() { engines_up; }
teardown() { remove vmrt-tty vmrt-tty-runc; }

# A shell on a terminal: job control, sizes, signals of the keyboard, exit status.
at_a_shell() {
    terminal --size 33x101 -- "$@" <<'END'
expect [#$] 
retry tty\r /dev/pts/\d+\r
retry stty\x20size\r 33 101\r
send sh -c 'trap "echo W-\\$(stty size)" WINCH; echo started; while :; do sleep 0.1; done'\r
expect \nstarted\r
resize 44 122
expect W-44 122
send \x03
expect \^C
send sh -c 'echo started; exec sleep 1000'; echo "i=$?"\r
expect \nstarted\r
send \x03
expect \^C
retry echo\x20c$?\r c\d+\r
send sh -c 'echo started; exec sleep 1000'\r
expect \nstarted\r
send \x1a
expect Stopped
send jobs\r
expect Stopped\s+sh -c
send fg\r
retry \x1c Quit
send echo q$?\r
expect q131\r
send stty -echo\r
send printf 'a\\nb\\n'; stty echo\r
expect a\r\nb\r\n
send sh -c 'echo started; exec tr a-z A-Z'\r
expect \nstarted\r
send typed\r\x04
expect TYPED\r\n
send exit 5\r
status 5
END
}

@test "docker run -it: a shell, its sizes, Ctrl-C, Ctrl-Z, Ctrl-\\, end of file, its status" {
    at_a_shell docker run -it --rm --network none --runtime="$RUNTIME" busybox
}

@test "docker exec -it: the same in a container that runs" {
    drun -d --name vmrt-tty busybox sleep 1000
    at_a_shell docker exec -it vmrt-tty sh
    # A second terminal at once, and the terminal's name in the container.
    terminal -- docker exec -it -u 1000 -e A=b -w /tmp vmrt-tty sh <<'END'
expect \$ 
send id -u; echo $A; pwd; tty\r
expect 1000\r\nb\r\n/tmp\r\n/dev/pts/0\r
send echo x >/dev/tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all\r
expect x\r\nall\r
send exit\r
status 0
END
}

@test "docker attach: type, detach with Ctrl-P Ctrl-Q, attach again, the end's status" {
    docker run -dit --name vmrt-tty --network none --runtime="$RUNTIME" busybox
    terminal -- docker attach vmrt-tty <<'END'
send A=first\r
expect A=first\r
send echo "got $A"\r
expect got first\r
send \x10\x11
expect read escape sequence
status 1
END
    inspect_is vmrt-tty .State.Status running
    terminal --size 20x60 -- docker attach vmrt-tty <<'END'
retry echo\x20again-$A\r again-first\r
retry stty\x20size\r 20 60\r
send exit 3\r
status 3
END
    logs_have vmrt-tty 'got first'
    docker start vmrt-tty
    terminal -- docker attach --detach-keys ctrl-x,q vmrt-tty <<'END'
retry echo\x20A=$A\r A=\r
send \x18q
expect read escape sequence
END
    inspect_is vmrt-tty .State.Status running
}

@test "vi on a terminal: cursor keys, the whole screen, the file that is written" {
    drun -d --name vmrt-tty busybox sleep 1000
    terminal --size 20x60 -- docker exec -it vmrt-tty vi /f <<'END'
expect ~\r?\n?.*~
send ione\rtwo\x1b
expect - /f \[Modified
send kx
send :wq\r
status 0
END
    [ "$(docker exec vmrt-tty cat /f)" = $'on\ntwo' ]
}

# Newlines become CR LF exactly once, and nothing of the start or the end is lost.
bytes_of_a_terminal() {
    docker run -t --rm --network none --runtime="$runtime" busybox \
        sh -c 'printf "a\nb\r\n\tc\n"; stty -a | grep -o "[-]*opost\|[-]*onlcr\|[-]*echo \|[-]*icanon"; seq 20000 | tail -c 100000 | cksum; seq 3000' | od -c
    docker run -d -t --name "vmrt-tty-$runtime" --network none --runtime="$runtime" busybox sleep 1000 >/dev/null
    docker exec -t "vmrt-tty-$runtime" printf 'x\ny' | od -c
    docker exec "vmrt-tty-$runtime" sh -c 'ls -l /dev/console | cut -c 1-10; stat -c %t:%T /proc/1/fd/0 | cut -d : -f 1; readlink /proc/1/fd/1; tty'
    docker rm -f "vmrt-tty-$runtime" >/dev/null
}

@test "docker run -t: the bytes are those that runc gives" {
    each bytes_of_a_terminal
    output_has '\r  \n'
}
