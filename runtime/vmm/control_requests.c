/* What is asked on the control socket, and who may ask when. */
#include <errno.h>
#include <signal.h>

#include "vmm/control_internal.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static const struct protocol_reader nothing;

bool control_is_paused(const struct client *client)
{
    return client->server->pause != PAUSE_NONE;
}

static void handle_start(struct client *client, struct packet *packet)
{
    if (control_is_paused(client)) {
        control_refuse(client, packet->header.sequence, EBUSY,
                       "cannot start a container in the paused state");
        return;
    }
    control_begin(client, packet);
    session_start(client->server->config.session, control_end, client);
}

static void handle_stats(struct client *client, struct packet *packet)
{
    if (control_is_paused(client)) {
        control_refuse(client, packet->header.sequence, EAGAIN, "the container is paused");
        return;
    }
    control_begin(client, packet);
    session_ask(client->server->config.session, MESSAGE_STATS, nothing, control_end, client);
}

static void ignore_answer(void *context, const struct error *failure, struct protocol_reader fields)
{
    (void)context;
    (void)failure;
    (void)fields;
}

static void handle_update(struct client *client, struct packet *packet)
{
    struct session *session = client->server->config.session;

    if (control_is_paused(client)) {
        /* Works once the guest goes on; who asks must not wait for that. */
        session_ask(session, MESSAGE_UPDATE, packet->fields, ignore_answer, NULL);
        control_done(client, packet->header.sequence);
        return;
    }
    control_begin(client, packet);
    session_ask(session, MESSAGE_UPDATE, packet->fields, control_end, client);
}

/* Return: false when the field is missing or none of 0..@max. */
static bool read_number(struct protocol_reader fields, uint16_t tag, uint64_t max, uint64_t *value)
{
    struct protocol_field field;
    bool bad = false;

    if (protocol_find(fields, tag, &field) != 1)
        return false;
    *value = protocol_u64(&field, &bad);
    return !bad && *value <= max;
}

static void handle_resize(struct client *client, struct packet *packet)
{
    uint64_t rows, columns;

    if (client->process && read_number(packet->fields, FIELD_ROWS, UINT16_MAX, &rows) &&
        read_number(packet->fields, FIELD_COLUMNS, UINT16_MAX, &columns))
        session_exec_resize(client->server->config.session, client->process, (unsigned int)rows,
                            (unsigned int)columns);
}

static void handle_signal(struct client *client, struct packet *packet)
{
    struct session *session = client->server->config.session;
    uint64_t signal = 0, all = 0;

    if (!read_number(packet->fields, FIELD_SIGNAL, 64, &signal) || signal == 0) {
        if (!client->process)
            control_refuse(client, packet->header.sequence, EINVAL, "signal: expected 1 to 64");
        return;
    }
    if (client->process) {
        session_exec_signal(session, client->process, (unsigned int)signal);
        return;
    }
    read_number(packet->fields, FIELD_ALL, 1, &all);
    /* A guest that does not run cannot kill anything; all others take effect when it goes on. */
    if (signal == SIGKILL && control_is_paused(client))
        session_kill(session);
    else
        session_signal(session, (unsigned int)signal, all != 0);
    control_done(client, packet->header.sequence);
}

static void handle_status(struct client *client, struct packet *packet)
{
    const struct control_server *server = client->server;
    const char *state =
        session_state(server->config.session) < SESSION_RUNNING ? "created" : "running";
    struct protocol_writer writer = { 0 };

    if (server->pause == PAUSE_STOPPED)
        state = "paused";
    protocol_begin(&writer, MESSAGE_RESULT, 0, packet->header.sequence);
    protocol_put_u64(&writer, FIELD_CODE, 0);
    protocol_put_string(&writer, FIELD_STATE, state);
    control_send(client, &writer);
}

static void handle_pause(struct client *client, struct packet *packet)
{
    struct control_server *server = client->server;

    if (session_state(server->config.session) >= SESSION_EXITED) {
        control_refuse(client, packet->header.sequence, ESRCH, "container not running");
        return;
    }
    if (server->pause != PAUSE_NONE) {
        control_refuse(client, packet->header.sequence, EBUSY, "container is paused already");
        return;
    }
    control_begin(client, packet);
    server->pause = PAUSE_STOPPING;
    server->config.pause(server->config.context);
}

/* Answers whoever asked for the pause. */
static void end_pause(struct control_server *server, const struct error *failure)
{
    for (struct client *client = server->clients, *next; client; client = next) {
        next = client->next;
        if (client->asked == CONTROL_PAUSE)
            control_end(client, failure, nothing);
    }
}

void control_server_paused(struct control_server *server)
{
    if (server->pause != PAUSE_STOPPING)
        return;
    server->pause = PAUSE_STOPPED;
    end_pause(server, NULL);
}

static void handle_resume(struct client *client, struct packet *packet)
{
    struct control_server *server = client->server;
    struct error failure;

    if (server->pause == PAUSE_NONE) {
        control_refuse(client, packet->header.sequence, EINVAL, "container not paused");
        return;
    }
    server->pause = PAUSE_NONE;
    server->config.resume(server->config.context);
    error_set(&failure, EINTR, "container was resumed meanwhile");
    end_pause(server, &failure);
    control_done(client, packet->header.sequence);
}

static void handle_parting(struct client *client, struct packet *packet)
{
    control_server_part(client->server);
    control_done(client, packet->header.sequence);
}

/* Whose request may come while one before it is still being answered, or from a proxy. */
enum { ALONE, ANY_TIME };

static const struct {
    uint16_t type;
    int when;
    void (*handle)(struct client *client, struct packet *packet);
} requests[] = {
    { CONTROL_STATUS, ANY_TIME, handle_status },
    { CONTROL_SIGNAL, ANY_TIME, handle_signal },
    { CONTROL_RESIZE, ANY_TIME, handle_resize },
    { CONTROL_RESUME, ANY_TIME, handle_resume },
    { CONTROL_PARTING, ALONE, handle_parting },
    { CONTROL_START, ALONE, handle_start },
    { CONTROL_EXEC, ALONE, control_handle_exec },
    { CONTROL_PAUSE, ALONE, handle_pause },
    { CONTROL_STATS, ALONE, handle_stats },
    { CONTROL_UPDATE, ALONE, handle_update },
    { CONTROL_NETWORK, ALONE, control_handle_network },
    { CONTROL_RESOLVER, ALONE, control_handle_resolver },
};

void control_handle(struct client *client, struct packet *packet)
{
    uint16_t type = packet->header.type;
    uint32_t sequence = packet->header.sequence;
    struct error failure;
    size_t i = 0;

    while (i < COUNT(requests) && requests[i].type != type)
        i++;
    if (i < COUNT(requests) && requests[i].when == ANY_TIME) {
        requests[i].handle(client, packet);
    } else if (client->asked == CONTROL_START && type == CONTROL_START) {
        control_refuse(client, sequence, EINVAL, "cannot start a container that has been started");
    } else if (client->asked) {
        control_refuse(client, sequence, EBUSY,
                       "the request before this one is still being answered");
    } else if (client->process) {
        control_refuse(client, sequence, EINVAL,
                       "expected a signal or a size on a process's connection");
    } else if (i < COUNT(requests)) {
        requests[i].handle(client, packet);
    } else {
        error_set(&failure, EOPNOTSUPP, "request %u is not known to this vmrt-vmm", type);
        control_answer(client, sequence, &failure, nothing);
    }
}
