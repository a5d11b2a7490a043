/* vmrt exec as engines call it: streams, statuses, signals, terminals, and what is refused. */
#include "cli_world.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static void test_the_status_and_streams_of_a_process(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "echo in | $V exec c sh -c 'cat; echo err >&2; exit 0' 2>err");
    assert_string_equal(cli->out, "in\n");
    CLI_OK(cli, "cat err");
    assert_string_equal(cli->out, "err\n");
    assert_int_equal(cli_shell(cli, "$V exec c sh -c 'exit 7'"), 7);
    assert_int_equal(cli_shell(cli, "$V exec c sh -c 'kill -9 $$'"), 137);
}

static void test_the_container_s_own_process_is_the_pattern(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_config(cli, "sleep 1000", "\"env\":[\"PATH=/bin\",\"A=1\",\"B=2\"]", NULL);
    CLI_OK(cli, "$V run -d c >/dev/null 2>&1");
    CLI_OK(cli, "$V exec -e A=3 --env C=4 --cwd /bin c sh -c 'echo $A$B$C; pwd'");
    assert_string_equal(cli->out, "324\n/bin\n");
    CLI_OK(cli, "echo '{\"args\":[\"sh\",\"-c\",\"echo $A-$D\"],\"cwd\":\"/\","
                "\"env\":[\"PATH=/bin\",\"D=9\"],\"user\":{\"uid\":0,\"gid\":0}}' >p.json");
    CLI_OK(cli, "$V exec --process p.json c");
    assert_string_equal(cli->out, "-9\n");
    CLI_OK(cli, "$V exec -p p.json c ignored");
}

static void test_failures_are_255_in_runc_s_words(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    CLI_FAILS(cli, 255, "exec failed: container does not exist", "$V exec nosuch true");
    cli_start(cli, "sleep 1000");
    CLI_FAILS(cli, 255,
              "exec failed: unable to start container process: exec: \"nosuch\": executable file "
              "not found in $PATH",
              "$V exec c nosuch");
    CLI_FAILS(cli, 255,
              "exec failed: unable to start container process: exec: \"nosuch\": executable file "
              "not found in $PATH",
              "$V exec --detach --pid-file p c nosuch");
    CLI_OK(cli, "[ ! -e p ]");
    CLI_FAILS(cli, 255, "process args cannot be empty", "$V exec c");
    CLI_FAILS(cli, 255, "bad uid", "$V exec -u root c true");
    CLI_FAILS(cli, 255, "bad gid", "$V exec -u 0:x c true");
    CLI_FAILS(cli, 255, "additional gid", "$V exec -g -1 c true");
    CLI_OK(cli, "$V exec --cap CAP_NOSUCH c pwd");
    CLI_FAILS(cli, 255, "expected NAME=VALUE", "$V exec -e nothing c true");
    CLI_FAILS(cli, 255, "Cwd must be an absolute path", "$V exec --cwd x c true");
    CLI_FAILS(cli, 255, "open /nosuch: no such file or directory", "$V exec -p /nosuch c");
    CLI_FAILS(cli, 255, "--preserve-fds 2: descriptor 3 is not open",
              "$V exec --preserve-fds 2 c true");
    CLI_FAILS(cli, 255, "--preserve-fds: expected how many descriptors, found \"x\"",
              "$V exec --preserve-fds x c true");
    CLI_FAILS(cli, 255, "--cgroup sub", "$V exec --cgroup sub c true");
    /* As with runc, they are a container's only. */
    CLI_OK(cli, "LISTEN_FDS=1 sh -c 'export LISTEN_PID=$$; exec $V exec --preserve-fds 0 c pwd'");
    CLI_FAILS(cli, 255, "cannot allocate tty if vmrt will detach without setting console socket",
              "$V exec -d -t c true");
    CLI_FAILS(cli, 255, "cannot use console socket if vmrt will not detach or allocate tty",
              "$V exec --console-socket s c true");
    CLI_FAILS(cli, 255, "option --nosuch is not known", "$V exec --nosuch c true");
    CLI_FAILS(cli, 1, "--nosuch", "$V exec c sh -c 'echo $0; exit 1' --nosuch");
    CLI_OK(cli, "$V pause c");
    CLI_FAILS(cli, 255, "exec failed: cannot exec in a paused container", "$V exec c true");
    CLI_OK(cli, "$V resume c && $V kill c KILL");
    cli_reap(cli_read_pid(cli, "pid"));
    CLI_FAILS(cli, 255, "exec failed: cannot exec in a stopped container", "$V exec c true");
}

static void test_further_descriptors_of_exec(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_FAILS(cli, 3, "<from 3><from 4>",
              "echo 'from 3' >in; echo 'from 4' | $V exec --preserve-fds 2 c sh -c "
              "'read a <&3; read b <&4; echo \"<$a><$b>\"; exit 3' 3<in 4<&0 </dev/null");
    CLI_OK(cli, "$V exec --detach --preserve-fds 1 --pid-file p c sh -c 'echo out >&3' "
                "3>out </dev/null >/dev/null && while [ ! -s out ]; do sleep 0.02; done && "
                "grep -q out out");
    /* Whoever reads what the process wrote must not wait for the proxy. */
    CLI_OK(cli, "mkfifo fifo; $V exec --preserve-fds 1 c sh -c 'exec 3>&-; sleep 2' 3>fifo & "
                "timeout 1.5 cat fifo; s=$?; wait; exit $s");
}

static void test_a_detached_process_is_its_proxy(void **state)
{
    struct cli *cli = *state;
    char condition[64];
    pid_t pid;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    /* The pipe ends with the command: the proxy holds nothing of the engine. */
    CLI_OK(cli, "$V exec --detach --pid-file p c sh -c 'exec >o 2>&1; while [ ! -e go ]; "
                "do sleep 0.02; done; exit 9' | "
                "cat");
    pid = cli_read_pid(cli, "p");
    CLI_OK(cli, "$V ps -f json c");
    snprintf(condition, sizeof(condition), "%d", (int)pid);
    CLI_SAYS(cli, condition);
    assert_int_equal(getsid(pid), pid);
    CLI_OK(cli, "echo >rootfs/go");
    assert_int_equal(cli_reap(pid), 9);

    CLI_OK(cli, "$V exec -d --pid-file p c sh -c 'trap \"exit 5\" TERM; echo r >ready; "
                "while :; do sleep 0.02; done' >/dev/null 2>&1");
    pid = cli_read_pid(cli, "p");
    cli_wait_for(cli, "[ -s rootfs/ready ]");
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(cli_reap(pid), 5);
}

static void test_a_killed_proxy_takes_its_process_along(void **state)
{
    struct cli *cli = *state;
    pid_t pid;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "$V exec -d --pid-file p c sleep 7654 >/dev/null 2>&1");
    pid = cli_read_pid(cli, "p");
    cli_wait_for(cli, "grep -qs '[7]654' /proc/[0-9]*/cmdline");
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(cli_reap(pid), 137);
    /* Nobody else has such an argument; grep's own has brackets in it. */
    cli_wait_for(cli, "! grep -qs '[7]654' /proc/[0-9]*/cmdline");
}

static void test_proxies_end_with_their_machine(void **state)
{
    struct cli *cli = *state;
    pid_t pid;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "$V exec -d --pid-file p c sleep 1000 >/dev/null 2>&1");
    pid = cli_read_pid(cli, "p");
    CLI_OK(cli, "$V kill c KILL");
    assert_int_equal(cli_reap(pid), 137);
    assert_int_equal(cli_reap(cli_read_pid(cli, "pid")), 137);
    CLI_OK(cli, "$V delete c");
}

static void test_a_stopped_proxy_does_not_keep_the_container(void **state)
{
    struct cli *cli = *state;
    pid_t pid;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "$V exec -d --pid-file p c sleep 1000 >/dev/null 2>&1");
    pid = cli_read_pid(cli, "p");
    assert_int_equal(kill(pid, SIGSTOP), 0);
    CLI_OK(cli, "$V delete --force c");
    assert_int_equal(cli_reap(pid), 137);
}

static void test_twenty_at_once(void **state)
{
    struct cli *cli = *state;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    CLI_OK(cli, "for i in $(seq 20); do { $V exec c sh -c 'exit '$i; [ $? = $i ] || echo bad $i; } "
                "& done; wait");
    assert_string_equal(cli->out, "");
}

/* A --console-socket: accepts one connection. Return: the master. */
static int receive_master(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), master = -1;
    size_t count = 1;
    char name[4096];
    ssize_t n = fd_receive_message(fd, name, sizeof(name), &master, &count);

    assert_int_equal(count, 1);
    assert_true(n > 0);
    assert_int_equal(strncmp(name, "/dev/ptmx", (size_t)n), 0);
    close(fd);
    return master;
}

static int listen_at(const struct cli *cli, const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%.64s/%s", cli->world.directory, name);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Reads until @text has come. */
static void expect_from(int fd, const char *text)
{
    char buffer[4096];
    size_t used = 0;

    memset(buffer, 0, sizeof(buffer));
    while (!strstr(buffer, text)) {
        struct pollfd polled = { .fd = fd, .events = POLLIN };
        ssize_t n;

        if (poll(&polled, 1, 30000) != 1)
            fail_msg("no \"%s\" in \"%s\"", text, buffer);
        n = read(fd, buffer + used, sizeof(buffer) - 1 - used);
        if (n <= 0)
            fail_msg("end before \"%s\" in \"%s\"", text, buffer);
        used += (size_t)n;
    }
}

static void test_a_terminal_over_a_console_socket(void **state)
{
    struct cli *cli = *state;
    struct winsize size = { .ws_row = 33, .ws_col = 77 };
    struct termios settings;
    int listener, master;
    pid_t pid;

    cli_require_host();
    cli_start(cli, "sleep 1000");
    listener = listen_at(cli, "console");
    CLI_OK(cli, "echo '{\"terminal\":true,\"consoleSize\":{\"height\":11,\"width\":22},"
                "\"args\":[\"sh\",\"-c\",\"stty size; read x; echo got $x; exit 4\"],\"cwd\":\"/\","
                "\"env\":[\"PATH=/bin\"],\"user\":{\"uid\":0,\"gid\":0}}' >p.json");
    CLI_OK(cli, "$V exec -d --pid-file p --console-socket console --process p.json c");
    pid = cli_read_pid(cli, "p");
    master = receive_master(listener);
    assert_int_equal(tcgetattr(master, &settings), 0);
    assert_false(settings.c_oflag & OPOST);
    assert_false(settings.c_lflag & (ECHO | ICANON | ISIG));
    expect_from(master, "11 22\n");
    /* The proxy owns the terminal: it hears of a new size, and says so. */
    assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
    expect_from(master, "resized 33x77");
    assert_int_equal(write(master, "word\n", 5), 5);
    expect_from(master, "got word");
    assert_int_equal(cli_reap(pid), 4);
    close(master);
    close(listener);
}

static void test_a_terminal_of_create(void **state)
{
    struct cli *cli = *state;
    int listener, master;

    cli_require_host();
    cli_config(cli, "stty size; read x; echo got $x; exit 3",
               "\"terminal\":true,\"consoleSize\":{\"height\":12,\"width\":34}", NULL);
    CLI_FAILS(cli, 1, "cannot allocate tty if vmrt will detach without setting console socket",
              "$V create c");
    CLI_FAILS(cli, 1, "--console-socket nosuch", "$V create --console-socket nosuch c");
    CLI_OK(cli, "[ ! -e $ROOT/c ]");
    listener = listen_at(cli, "console");
    CLI_OK(cli, "$V create --pid-file pid --console-socket console c | cat");
    master = receive_master(listener);
    CLI_OK(cli, "$V start c");
    expect_from(master, "12 34\n");
    assert_int_equal(getsid(cli_read_pid(cli, "pid")), cli_read_pid(cli, "pid"));
    assert_int_equal(write(master, "abc\n", 4), 4);
    expect_from(master, "got abc");
    assert_int_equal(cli_reap(cli_read_pid(cli, "pid")), 3);
    close(master);
    close(listener);
}

/* Runs a command on a terminal of its own, as a person does. Return: its pid. */
static pid_t run_on_terminal(struct cli *cli, const char *command, int *master)
{
    struct winsize size = { .ws_row = 20, .ws_col = 90 };
    char vmrt[512], *name;
    pid_t pid;

    *master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_int_equal(grantpt(*master), 0);
    assert_int_equal(unlockpt(*master), 0);
    assert_int_equal(ioctl(*master, TIOCSWINSZ, &size), 0);
    name = ptsname(*master);
    pid = fork();
    if (pid == 0) {
        int slave;

        setsid();
        slave = open(name, O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(slave, fd);
        snprintf(vmrt, sizeof(vmrt), "%s --root %s", cli->program, cli->root);
        setenv("V", vmrt, 1);
        if (chdir(cli->world.directory) < 0)
            _exit(126);
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    return pid;
}

static void test_a_terminal_in_the_foreground(void **state)
{
    static const char *const commands[] = {
        "exec $V exec -t c sh -c 'stty size; read x; echo got $x; exit 6'",
        "exec $V run r",
    };
    struct cli *cli = *state;
    struct termios before, during, after;
    struct winsize size = { .ws_row = 44, .ws_col = 55 };

    cli_require_host();
    cli_start(cli, "sleep 1000");
    cli_config(cli, "stty size; read x; stty size; echo got $x; exit 6", "\"terminal\":true", NULL);
    CLI_OK(cli, "sed -i 's/vmrt-cli-[0-9]*/&r/' config.json");
    for (size_t i = 0; i < 2; i++) {
        int master, slave;
        pid_t pid = run_on_terminal(cli, commands[i], &master);

        assert_int_equal(tcgetattr(master, &before), 0);
        expect_from(master, "20 90");
        /* Ours is raw meanwhile: Ctrl-C is a byte for the container. */
        slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_int_equal(tcgetattr(slave, &during), 0);
        assert_false(during.c_lflag & (ECHO | ICANON | ISIG));
        assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
        if (i == 0)
            expect_from(master, "resized 44x55");
        assert_int_equal(write(master, "me\n", 3), 3);
        expect_from(master, "got me");
        assert_int_equal(cli_reap(pid), 6);
        assert_int_equal(tcgetattr(slave, &after), 0);
        assert_int_equal(before.c_lflag, after.c_lflag);
        assert_int_equal(before.c_oflag, after.c_oflag);
        close(slave);
        close(master);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLI_TEST(test_the_status_and_streams_of_a_process),
        CLI_TEST(test_the_container_s_own_process_is_the_pattern),
        CLI_TEST(test_failures_are_255_in_runc_s_words),
        CLI_TEST(test_further_descriptors_of_exec),
        CLI_TEST(test_a_detached_process_is_its_proxy),
        CLI_TEST(test_a_killed_proxy_takes_its_process_along),
        CLI_TEST(test_proxies_end_with_their_machine),
        CLI_TEST(test_a_stopped_proxy_does_not_keep_the_container),
        CLI_TEST(test_twenty_at_once),
        CLI_TEST(test_a_terminal_over_a_console_socket),
        CLI_TEST(test_a_terminal_of_create),
        CLI_TEST(test_a_terminal_in_the_foreground),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
