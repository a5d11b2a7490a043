/* Requests that bring descriptors: processes, interfaces, a name server. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/control_internal.h"

static const struct protocol_reader nothing;

/* ---- proxies ---- */

static void process_exited(void *context, unsigned int status)
{
    struct client *client = context;
    struct protocol_writer writer = { 0 };

    client->process = 0;
    protocol_begin(&writer, CONTROL_EXITED, 0, 0);
    protocol_put_u64(&writer, FIELD_STATUS, status);
    control_send(client, &writer);
}

/* The description of a process: a file in memory, or any other that has a size. */
static uint8_t *read_description(int fd, size_t *length)
{
    struct stat st;
    uint8_t *data;
    size_t done = 0;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
        st.st_size > (off_t)(PROTOCOL_HEADER_SIZE + PROTOCOL_LENGTH_MAX))
        return NULL;
    data = malloc((size_t)st.st_size);
    while (data && done < (size_t)st.st_size) {
        ssize_t n = pread(fd, data + done, (size_t)st.st_size - done, (off_t)done);

        if (n <= 0) {
            free(data);
            return NULL;
        }
        done += (size_t)n;
    }
    *length = done;
    return data;
}

/* The descriptors are taken over. */
void control_handle_exec(struct client *client, struct packet *packet)
{
    _cleanup_free_ uint8_t *message = NULL;
    struct session_exec exec = { .fds = packet->fds + 1,
                                 .fd_count = packet->fd_count - 1,
                                 .answer = control_end,
                                 .exited = process_exited,
                                 .context = client };
    struct error failure;

    if (control_is_paused(client)) {
        control_refuse(client, packet->header.sequence, EBUSY, "cannot exec in a paused container");
        return;
    }
    if (packet->fd_count > 0)
        message = read_description(packet->fds[0], &exec.length);
    if (!message) {
        control_refuse(client, packet->header.sequence, EPROTO, "expected a file with one process");
        return;
    }
    exec.message = message;
    client->proxy = true;
    control_begin(client, packet);
    fd_close(&packet->fds[0]);
    packet->fd_count = 0;
    if (session_exec(client->server->config.session, &exec, &client->process, &failure) < 0)
        control_end(client, &failure, nothing);
}

/* ---- network ---- */

void control_handle_network(struct client *client, struct packet *packet)
{
    const struct control_config *config = &client->server->config;
    _cleanup_free_ uint8_t *message = NULL;
    struct protocol_reader fields;
    struct error failure;
    size_t length = 0, fd_count = packet->fd_count;
    int ret;

    if (fd_count > 0)
        message = read_description(packet->fds[0], &length);
    if (!message || length < PROTOCOL_HEADER_SIZE) {
        control_refuse(client, packet->header.sequence, EPROTO,
                       "expected a file that describes a network");
        return;
    }
    /* A guest that is paused hears of it when it goes on: who watches a network waits till then. */
    fd_close(&packet->fds[0]);
    packet->fd_count = 0;
    ret =
        config->network(config->context, message, length, packet->fds + 1, fd_count - 1, &failure);
    if (ret < 0) {
        control_answer(client, packet->header.sequence, &failure, nothing);
        return;
    }
    control_begin(client, packet);
    fields =
        (struct protocol_reader) { message + PROTOCOL_HEADER_SIZE, length - PROTOCOL_HEADER_SIZE };
    session_ask(config->session, MESSAGE_NETWORK, fields, control_end, client);
}

void control_handle_resolver(struct client *client, struct packet *packet)
{
    struct error failure;
    int fd;

    if (packet->fd_count != 1) {
        control_refuse(client, packet->header.sequence, EPROTO,
                       "expected a socket to a name server");
        return;
    }
    fd = steal_fd(&packet->fds[0]);
    if (session_set_resolver(client->server->config.session, fd, &failure) < 0)
        control_answer(client, packet->header.sequence, &failure, nothing);
    else
        control_done(client, packet->header.sequence);
}
