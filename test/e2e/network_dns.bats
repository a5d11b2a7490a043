# Names on Docker's user networks: its name server at 127.0.0.11, as a container of runc has it.
load engines

setup_file() {
    engines_up
    mkdir -p /srv/dns
    cp "$BATS_TEST_DIRNAME"/dns_*.py /srv/dns
    docker network create --subnet 10.91.0.0/24 --gateway 10.91.0.1 vmrt-names >/dev/null
    # The world beyond: a name server on the lab's host, which dockerd asks for what it does not know.
    python3 /srv/dns/dns_server.py 10.91.0.1 >/dev/null 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/server"
    docker run -d --name vmrt-peer --network vmrt-names --network-alias other-name --ip 10.91.0.77 \
        --runtime=runc busybox sh -c 'mkdir /w; echo from-runc >/w/f; exec httpd -f -h /w' >/dev/null
}
teardown_file() {
    kill "$(cat "$BATS_FILE_TMPDIR/server")"
    remove vmrt-peer
    docker network rm vmrt-names vmrt-second >/dev/null 2>&1 || true
}
teardown() { remove vmrt-a vmrt-b; }

# A container on the network, whose foreign names the lab's host knows.
named() { docker run --network vmrt-names --dns 10.91.0.1 -v /srv/dns:/dns:ro --runtime="${runtime:-$RUNTIME}" "$@"; }
asks() { named --rm debian python3 /dns/dns_client.py "$@"; }

@test "every way to ask gets the answers that it gets with runc" {
    each asks udp vmrt-peer A tcp vmrt-peer A loose other-name A mapped vmrt-peer A \
        udp vmrt-peer AAAA udp 77.0.91.10.in-addr.arpa PTR \
        udp www.lab.test A tcp www.lab.test A edns big.lab.test TXT tcp big.lab.test TXT \
        udp nowhere.test A tcp nowhere.test A
    output_has 'udp vmrt-peer A: NOERROR 10.91.0.77'
    output_has 'tcp vmrt-peer A: NOERROR 10.91.0.77'
    output_has 'loose other-name A: NOERROR 10.91.0.77'
    output_has 'mapped vmrt-peer A: NOERROR 10.91.0.77'
    output_has 'udp www.lab.test A: NOERROR 10.91.0.1'
    output_has 'tcp big.lab.test TXT: NOERROR type 16, 1206 bytes'
    output_has 'udp nowhere.test A: NXDOMAIN'
}

@test "two hundred questions at once" {
    run asks many 200 vmrt-peer
    [ "$output" = "200 times NOERROR 10.91.0.77" ]
}

@test "containers of runc and of vmrt, and two of vmrt, talk by name and by alias" {
    docker run -d --name vmrt-a --network vmrt-names --network-alias alias-a --runtime="$RUNTIME" busybox \
        sh -c 'mkdir /w; echo from-a >/w/f; exec httpd -f -h /w'
    run named --rm --name vmrt-b busybox sh -c 'wget -qO- http://vmrt-a/f; wget -qO- http://alias-a/f
        wget -qO- http://other-name/f'
    show "$output"
    [ "$output" = $'from-a\nfrom-a\nfrom-runc' ]
    run docker exec vmrt-peer wget -qO- http://alias-a/f
    [ "$output" = from-a ]
    # In a process that comes later, too.
    run docker exec vmrt-a wget -qO- http://vmrt-peer/f
    [ "$output" = from-runc ]
}

@test "a name server of the workload's own on 0.0.0.0:53" {
    named -d --name vmrt-a debian python3 /dns/dns_server.py 0.0.0.0
    answered() { docker exec vmrt-peer nslookup www.lab.test vmrt-a 2>/dev/null | grep -q 'Address.*0\.0\.0\.0'; }
    wait_for 60 answered
    # It is asked at its address; 127.0.0.11 stays Docker's.
    run docker exec vmrt-a python3 /dns/dns_client.py udp vmrt-peer A tcp vmrt-peer A udp www.lab.test A
    show "$output"
    [ "${lines[0]}" = "udp vmrt-peer A: NOERROR 10.91.0.77" ]
    [ "${lines[1]}" = "tcp vmrt-peer A: NOERROR 10.91.0.77" ]
    [ "${lines[2]}" = "udp www.lab.test A: NOERROR 10.91.0.1" ]
}

@test "a network that is connected later brings its names and its traffic" {
    docker run -d --name vmrt-a --runtime="$RUNTIME" busybox sleep 1000
    run docker exec vmrt-a grep -c 127.0.0.11 /etc/resolv.conf
    [ "$output" = 0 ]
    docker network connect vmrt-names vmrt-a
    found() { docker exec vmrt-a nslookup vmrt-peer | grep -q 'Address: 10.91.0.77'; }
    wait_for 60 found
    run docker exec vmrt-a wget -qO- http://vmrt-peer/f
    show "$output"
    [ "$output" = from-runc ]
}

@test "a download by name from a server in another network, through its published port" {
    docker network create vmrt-second >/dev/null
    docker run -d --name vmrt-a --network vmrt-second -p 8098:80 --runtime="$RUNTIME" busybox sh -c \
        'mkdir /w; dd if=/dev/urandom of=/w/f bs=1M count=4 2>/dev/null; md5sum </w/f >/w/sum; exec httpd -f -h /w'
    wait_for 60 curl -sSf -o "$BATS_TEST_TMPDIR/sum" http://127.0.0.1:8098/sum
    run named --rm busybox sh -c 'wget -qO- http://archive.lab.test:8098/f | md5sum'
    [ "$output" = "$(cat "$BATS_TEST_TMPDIR/sum")" ]
}

@test "nothing of it stays when containers end, and none of it is there without a user network" {
    [ "$RUNTIME" = vmrt ] || skip "about vmrt"
    asker() { pgrep -x vmrt-net-dns >/dev/null; }
    no_asker() { ! asker; }
    wait_for 10 no_asker
    docker run -d --name vmrt-a --runtime=vmrt busybox sleep 1000
    no_asker
    named -d --name vmrt-b busybox sleep 1000
    asker
    docker rm -f vmrt-b
    wait_for 10 no_asker
}
