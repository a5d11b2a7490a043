/*
 * vmrt-uplink: which networks are free, and what it makes. The rules themselves need a host with
 * iptables or nft: test/e2e/network_host.bats.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hooks/uplink/subnet.h"

#define ADDRESS(a, b, c, d) \
    ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static void test_addresses(void **state)
{
    static const struct {
        uint32_t number, address;
    } rows[] = {
        { 0, ADDRESS(10, 237, 0, 0) },         { 1, ADDRESS(10, 237, 0, 4) },
        { 16383, ADDRESS(10, 237, 255, 252) }, { 16384, ADDRESS(172, 29, 0, 0) },
        { 32768, ADDRESS(192, 168, 224, 0) },  { 34815, ADDRESS(192, 168, 255, 252) },
        { 34816, ADDRESS(198, 18, 0, 0) },     { SUBNET_COUNT - 1, ADDRESS(198, 19, 255, 252) },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(subnet_address(rows[i].number), rows[i].address);
}

/* What the first free one is with one route. */
static void test_routes(void **state)
{
    static const struct {
        uint32_t address;
        unsigned int prefix;
        uint32_t first;
    } rows[] = {
        { ADDRESS(192, 0, 2, 0), 24, 0 },
        { ADDRESS(10, 237, 0, 1), 32, 1 },
        { ADDRESS(10, 237, 0, 3), 32, 1 },
        { ADDRESS(10, 237, 0, 4), 30, 0 },
        { ADDRESS(10, 237, 0, 0), 31, 1 },
        { ADDRESS(10, 237, 0, 0), 28, 4 },
        { ADDRESS(10, 236, 255, 252), 30, 0 },
        { ADDRESS(10, 237, 0, 0), 16, 16384 },
        { ADDRESS(10, 0, 0, 0), 8, 16384 },
        /* A VPN's halves of everything are no network of somebody. */
        { ADDRESS(0, 0, 0, 0), 1, 0 },
        { ADDRESS(0, 0, 0, 0), 0, 0 },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct subnet_map map = { { 0 } };

        subnet_exclude(&map, rows[i].address, rows[i].prefix);
        if (subnet_next(&map, 0) != rows[i].first)
            fail_msg("row %zu: %u", i, subnet_next(&map, 0));
    }
}

static void test_none_is_free(void **state)
{
    struct subnet_map map = { { 0 } };

    subnet_exclude(&map, ADDRESS(10, 0, 0, 0), 8);
    subnet_exclude(&map, ADDRESS(172, 16, 0, 0), 12);
    subnet_exclude(&map, ADDRESS(192, 168, 0, 0), 16);
    assert_int_equal(subnet_next(&map, 0), 34816);
    subnet_exclude(&map, ADDRESS(198, 18, 0, 0), 16);
    assert_int_equal(subnet_address(subnet_next(&map, 0)), ADDRESS(198, 19, 0, 0));
    subnet_exclude(&map, ADDRESS(198, 19, 0, 0), 16);
    assert_int_equal(subnet_next(&map, 0), SUBNET_COUNT);
    assert_int_equal(subnet_next(&map, SUBNET_COUNT), SUBNET_COUNT);
}

/* In a network namespace that plays the host; $U is the program, $T this one. Return: its exit
 * status. */
static int shell(const char *script)
{
    char own[PATH_MAX] = "", program[PATH_MAX + 32];
    int status;
    pid_t pid;

    assert_true(readlink("/proc/self/exe", own, sizeof(own) - 1) > 0);
    setenv("T", own, 1);
    snprintf(program, sizeof(program), "%s/vmrt-uplink", dirname(own));
    fflush(NULL);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setenv("U", program, 1);
        if (unshare(CLONE_NEWNET | CLONE_NEWNS) == 0)
            execl("/bin/sh", "sh", "-ec", script, NULL);
        _exit(126);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void require_root(void)
{
    if (geteuid() != 0 || system("ip -V >/dev/null 2>&1") != 0) {
        print_message("skipped: needs root and ip(8)\n");
        skip();
    }
}

/*
 * The host of a container, whose namespace is descriptor 9 and that of process $P. The tools are
 * missing in the end, but the link is there by then.
 */
#define HOST                                                                                   \
    "mount --make-rprivate / && for d in /usr/local/sbin /usr/sbin /sbin /usr/local/bin; do "  \
    "for t in iptables-restore nft; do [ ! -e $d/$t ] || mount --bind /dev/null $d/$t; done; " \
    "done\n"                                                                                   \
    "ip link add way type veth peer name way-p && ip link set way mtu 1400 up\n"               \
    "ip addr add 192.0.2.2/24 dev way && ip link set way-p up\n"                               \
    "ip route add default via 192.0.2.1\n"                                                     \
    "ip link add other type veth peer name other-p && ip link set other up\n"                  \
    "ip addr add 10.237.0.1/29 dev other\n"                                                    \
    "unshare -n sleep 30 & P=$!\n"                                                             \
    "until [ \"$(readlink /proc/$P/ns/net)\" != \"$(readlink /proc/$$/ns/net)\" ] && "         \
    "[ \"$(cat /proc/$P/comm)\" = sleep ]; do :; done\n"                                       \
    "exec 9</proc/$P/ns/net\n"                                                                 \
    "W=$($U add vmrt-1 9 2>&1) && exit 1\n"

static void test_the_link_and_the_missing_tools(void **state)
{
    require_root();
    assert_int_equal(
        shell(
            HOST
            "case $W in *'neither iptables-restore nor nft'*'install iptables or nftables'*) ;; "
            "*) echo \"$W\"; exit 2;; esac\n"
            "ip -o -4 addr show dev vmrtu2 | grep -q '10.237.0.9/30' || exit 3\n"
            "ip -o link show vmrtu2 | grep -q 'mtu 1400' || exit 4\n"
            "nsenter --net=/proc/$P/ns/net ip -o -4 addr show dev eth0 | grep -q '10.237.0.10/30' "
            "|| exit 5\n"
            "nsenter --net=/proc/$P/ns/net ip route | grep -q 'default via 10.237.0.9' || exit 6\n"
            "[ $(cat /proc/sys/net/ipv6/conf/vmrtu2/disable_ipv6 2>/dev/null || echo 1) = 1 ] "
            "|| exit 7\n"
            "[ $(cat /proc/sys/net/ipv4/conf/vmrtu2/rp_filter) = 1 ] || exit 8\n"
            "kill $P"),
        0);
}

/* What the test's program does for the script below, with 10 s for it. */
static int play(char **args)
{
    struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(atoi(args[3])) };
    struct sockaddr_in there = here;
    socklen_t size = sizeof(there);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char text[8], name[INET_ADDRSTRLEN];

    alarm(10);
    if (inet_pton(AF_INET, args[2], &here.sin_addr) != 1)
        return 1;
    if (strcmp(args[1], "send") == 0) {
        here.sin_port = 0;
        inet_pton(AF_INET, args[4], &there.sin_addr);
        return bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
               sendto(fd, "hello", 5, 0, (struct sockaddr *)&there, sizeof(there)) != 5;
    }
    if (bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    if (recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&there, &size) < 0)
        return 1;
    puts(inet_ntop(AF_INET, &there.sin_addr, name, sizeof(name)));
    return 0;
}

/* Where the host's own check of senders is a loose one, as on Ubuntu. */
static void test_a_machine_does_not_speak_for_others(void **state)
{
    require_root();
    assert_int_equal(
        shell(HOST "echo 2 >/proc/sys/net/ipv4/conf/all/rp_filter\n"
                   "G=\"nsenter --net=/proc/$P/ns/net\"\n"
                   "$G ip addr add 203.0.113.7/32 dev eth0\n"
                   "D=$(mktemp -d) && mkfifo $D/heard && { $T hear 10.237.0.9 9000 >$D/heard & }\n"
                   "exec 8<$D/heard && rm -r $D && read -r W <&8 && [ \"$W\" = ready ] || exit 2\n"
                   "$G $T send 203.0.113.7 9000 10.237.0.9 || exit 3\n"
                   "$G $T send 10.237.0.10 9000 10.237.0.9 || exit 4\n"
                   "read -r W <&8; kill $P\n"
                   "[ \"$W\" = 10.237.0.10 ] || { echo \"$W\" >&2; exit 5; }"),
        0);
}

/* nft is there and its part of the kernel is not; or the container's rules never were. */
static void test_removal_does_not_need_a_tool_that_made_nothing(void **state)
{
    require_root();
    assert_int_equal(
        shell("mount --make-rprivate / && mount -t tmpfs none /usr/local/sbin\n"
              "cd /usr/local/sbin\n"
              "for t in iptables-restore iptables nft; do\n"
              "printf '#!/bin/sh\\necho Protocol not supported; exit 1\\n' >$t; chmod 755 $t\n"
              "done\n"
              "$U remove vmrt-1 || exit 1\n"
              /* It lists the table, but does not delete it. */
              "printf '#!/bin/sh\\n[ $1 = list ] || { echo busy; exit 1; }\\n' >nft\n"
              "W=$($U remove vmrt-1 2>&1) && exit 2\n"
              "[ \"$W\" = 'vmrt-uplink: /usr/local/sbin/nft: busy' ] || exit 3"),
        0);
}

/*
 * A tool that has the tag's chain in both tables, as files $C/TABLE, and a jump there while
 * $C/TABLE-jump exists; it refuses everything about a table that has $C/TABLE-busy. Like the real
 * ones, it does all of a script or nothing.
 */
#define TABLES                                                                                     \
    "mount --make-rprivate / && mount -t tmpfs none /usr/local/sbin && cd /usr/local/sbin\n"       \
    "mkdir chains && export C=/usr/local/sbin/chains\n"                                            \
    "cat >iptables-restore <<'END'\n"                                                              \
    "#!/bin/sh\n"                                                                                  \
    "C=/usr/local/sbin/chains; S=$(cat); T=$(echo \"$S\" | sed -n 's/^[*]//p')\n"                  \
    "[ ! -e $C/$T-busy ] || { echo $T is busy; exit 1; }\n"                                        \
    "[ -e $C/$T ] || { echo no chain; exit 1; }\n"                                                 \
    "if echo \"$S\" | grep -q -e '^-D [A-Z]* -j vmrt-1$'; then\n"                                  \
    "[ -e $C/$T-jump ] || { echo no such rule; exit 1; }\n"                                        \
    "elif [ -e $C/$T-jump ]; then echo chain is in use; exit 1; fi\n"                              \
    "echo \"$S\" | grep -q -e '^-F vmrt-1$' && echo \"$S\" | grep -q -e '^-X vmrt-1$' || exit 1\n" \
    "rm -f $C/$T $C/$T-jump\n"                                                                     \
    "END\n"                                                                                        \
    "printf '#!/bin/sh\\n[ -e /usr/local/sbin/chains/$3 ]\\n' >iptables\n"                         \
    "printf '#!/bin/sh\\nexit 1\\n' >nft; chmod 755 iptables iptables-restore nft\n"               \
    "touch chains/filter chains/filter-jump chains/nat chains/nat-jump\n"

static void test_a_chain_without_its_jump_is_removed(void **state)
{
    require_root();
    assert_int_equal(shell(TABLES "$U remove vmrt-1 || exit 1\n"
                                  "[ -z \"$(ls chains)\" ] || exit 2\n"
                                  /* iptables -F */
                                  "touch chains/filter chains/nat chains/nat-jump\n"
                                  "$U remove vmrt-1 || exit 3\n"
                                  "[ -z \"$(ls chains)\" ] || exit 4"),
                     0);
}

static void test_a_table_that_cannot_be_changed_does_not_keep_the_other(void **state)
{
    require_root();
    assert_int_equal(
        shell(TABLES "touch chains/filter-busy\n"
                     "W=$($U remove vmrt-1 2>&1) && exit 1\n"
                     "[ \"$W\" = 'vmrt-uplink: /usr/local/sbin/iptables-restore: filter is busy' ] "
                     "|| exit 2\n"
                     "[ ! -e chains/nat ] || exit 3\n"
                     "rm chains/filter-busy\n"
                     "$U remove vmrt-1 && [ -z \"$(ls chains)\" ] || exit 4"),
        0);
}

static void test_bad_arguments(void **state)
{
    static const char *const rows[] = { "",
                                        "add",
                                        "add vmrt-1",
                                        "add vmrt-1 x",
                                        "add vmrt-1 99",
                                        "add -1 0",
                                        "add 'a b' 0",
                                        "add aaaaaaaaaaaaaaaaaaaaaaaaaaaaa 0",
                                        "remove",
                                        "remove 'a;b'",
                                        "remove a b",
                                        "nosuch a" };

    require_root();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char script[128];

        snprintf(script, sizeof(script), "[ $($U %s 2>&1 | wc -l) = 1 ]; $U %s 2>/dev/null",
                 rows[i], rows[i]);
        assert_int_equal(shell(script), 1);
    }
    assert_int_equal(shell("$U --help | grep -q TAG && $U --version | grep -q commit"), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_none_is_free),
        cmocka_unit_test(test_the_link_and_the_missing_tools),
        cmocka_unit_test(test_a_machine_does_not_speak_for_others),
        cmocka_unit_test(test_removal_does_not_need_a_tool_that_made_nothing),
        cmocka_unit_test(test_a_chain_without_its_jump_is_removed),
        cmocka_unit_test(test_a_table_that_cannot_be_changed_does_not_keep_the_other),
        cmocka_unit_test(test_bad_arguments),
    };

    if (argc >= 4)
        return play(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
