/* Pairs of pseudo-terminals (pty(7)) and the protocol of --console-socket. */
#include "oci/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "lib/fd.h"

#define MULTIPLEXER "/dev/ptmx"

int console_check(bool terminal, bool detach, const char *socket, struct error *err)
{
    if (detach && terminal && !socket)
        return error_set(err, EINVAL,
                         "cannot allocate tty if vmrt will detach without setting console socket");
    if ((!detach || !terminal) && socket)
        return error_set(err, EINVAL,
                         "cannot use console socket if vmrt will not detach or allocate tty");
    return 0;
}

/* No echo, no line editing, no translation of newlines: all of that happens in the guest. */
static int make_raw(int fd)
{
    struct termios settings;

    if (tcgetattr(fd, &settings) < 0)
        return -errno;
    cfmakeraw(&settings);
    return tcsetattr(fd, TCSANOW, &settings) < 0 ? -errno : 0;
}

int console_open(struct console *console, uint32_t rows, uint32_t columns, struct error *err)
{
    struct winsize size = { .ws_row = (unsigned short)(rows > UINT16_MAX ? UINT16_MAX : rows),
                            .ws_col =
                                (unsigned short)(columns > UINT16_MAX ? UINT16_MAX : columns) };
    _cleanup_close_ int master = open(MULTIPLEXER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    _cleanup_close_ int slave = -1;
    int unlock = 0, ret;

    if (master < 0)
        return error_set_errno(err, "cannot allocate a terminal: %s", MULTIPLEXER);
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return error_set_errno(err, "cannot unlock the terminal");
    /* By descriptor: a name in /dev/pts may be that of another instance. */
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return error_set_errno(err, "cannot open the terminal");
    ret = make_raw(slave);
    if (ret < 0)
        return error_set(err, -ret, "cannot make the terminal raw: %s", strerror(-ret));
    if ((rows || columns) && ioctl(master, TIOCSWINSZ, &size) < 0)
        return error_set_errno(err, "cannot set the size of the terminal");
    console->master = steal_fd(&master);
    console->slave = steal_fd(&slave);
    return 0;
}

void console_close(struct console *console)
{
    fd_close(&console->master);
    fd_close(&console->slave);
}

int console_adopt(int slave, struct error *err)
{
    return ioctl(slave, TIOCSCTTY, 0) < 0
               ? error_set_errno(err, "cannot make the terminal the controlling one")
               : 0;
}

int console_use(int slave, struct error *err)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (dup2(slave, fd) < 0)
            return error_set_errno(err, "cannot put the terminal in place of descriptor %d", fd);
    return 0;
}

int console_connect(const char *path, struct error *err)
{
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
        (int)sizeof(address.sun_path))
        return error_set(err, ENAMETOOLONG, "--console-socket %s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return error_set_errno(err, "--console-socket %s", path);
    return steal_fd(&fd);
}

int console_send(int socket, int master, struct error *err)
{
    /* As runc: the file that was opened for the master. No terminating NUL. */
    int ret = fd_send_message(socket, MULTIPLEXER, strlen(MULTIPLEXER), &master, 1);

    return ret < 0 ? error_set(err, -ret, "--console-socket: %s", strerror(-ret)) : 0;
}
