/*
 * A stand-in for systemd on a bus of its own: a socket whose other end vmrt-scope takes for the
 * system bus. It answers like bus and manager, and notes down what it was asked.
 */
#ifndef VMRT_TEST_FAKE_SYSTEMD_H
#define VMRT_TEST_FAKE_SYSTEMD_H

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#define FAKE_JOB "/org/freedesktop/systemd1/job/1"

struct fake_systemd {
    const char *log;    /* a line for each request */
    const char *result; /* of jobs */
    const char *control_group;
    bool unknown; /* units are not known */
    bool exists;  /* the first start finds a unit of that name */
};

static inline void fake_note(const struct fake_systemd *fake, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void fake_note(const struct fake_systemd *fake, const char *fmt, ...)
{
    FILE *file = fopen(fake->log, "ae");
    va_list args;

    va_start(args, fmt);
    vfprintf(file, fmt, args);
    va_end(args);
    fputc('\n', file);
    fclose(file);
}

static inline void fake_note_value(const struct fake_systemd *fake, sd_bus_message *m,
                                   const char *name, const char *type)
{
    const char *text;
    const void *data;
    uint64_t number = 0;
    size_t size = 0;
    int flag = 0;

    sd_bus_message_enter_container(m, 'v', type);
    if (strcmp(type, "t") == 0 && sd_bus_message_read(m, "t", &number) > 0)
        fake_note(fake, " %s=%llu", name, (unsigned long long)number);
    else if (strcmp(type, "b") == 0 && sd_bus_message_read(m, "b", &flag) > 0)
        fake_note(fake, " %s=%s", name, flag ? "true" : "false");
    else if (strcmp(type, "s") == 0 && sd_bus_message_read(m, "s", &text) > 0)
        fake_note(fake, " %s=%s", name, text);
    else if (strcmp(type, "au") == 0 && sd_bus_message_read_array(m, 'u', &data, &size) > 0)
        fake_note(fake, " %s=[%zu]", name, size / 4);
    else if (strcmp(type, "ay") == 0 && sd_bus_message_read_array(m, 'y', &data, &size) > 0)
        fake_note(fake, " %s=0x%02x of %zu", name, *(const unsigned char *)data, size);
    sd_bus_message_exit_container(m);
}

static inline void fake_note_properties(const struct fake_systemd *fake, sd_bus_message *m)
{
    const char *name, *type;

    sd_bus_message_enter_container(m, 'a', "(sv)");
    while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
        sd_bus_message_read(m, "s", &name);
        sd_bus_message_peek_type(m, NULL, &type);
        fake_note_value(fake, m, name, type);
        sd_bus_message_exit_container(m);
    }
    sd_bus_message_exit_container(m);
}

/* The job ends before its request is answered, as can happen. */
static inline int fake_job(const struct fake_systemd *fake, sd_bus_message *m, const char *unit)
{
    sd_bus *bus = sd_bus_message_get_bus(m);

    sd_bus_emit_signal(bus, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                       "JobRemoved", "uoss", 1u, FAKE_JOB, unit, fake->result);
    return sd_bus_reply_method_return(m, "o", FAKE_JOB);
}

static inline int fake_handle(sd_bus_message *m, void *context, sd_bus_error *error)
{
    struct fake_systemd *fake = context;
    const char *member = sd_bus_message_get_member(m), *unit = "", *mode = "";
    int flag;

    (void)error;
    if (!sd_bus_message_is_method_call(m, NULL, NULL))
        return 0;
    if (strcmp(member, "Hello") == 0)
        return sd_bus_reply_method_return(m, "s", ":1.1");
    if (strcmp(member, "StartTransientUnit") == 0) {
        sd_bus_message_read(m, "ss", &unit, &mode);
        fake_note(fake, "%s %s %s", member, unit, mode);
        if (fake->exists) {
            fake->exists = false;
            return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.UnitExists",
                                              "Unit %s already exists.", unit);
        }
        fake_note_properties(fake, m);
        return fake_job(fake, m, unit);
    }
    if (strcmp(member, "StopUnit") == 0) {
        sd_bus_message_read(m, "ss", &unit, &mode);
        fake_note(fake, "%s %s %s", member, unit, mode);
        if (fake->unknown)
            return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit",
                                              "Unit %s not loaded.", unit);
        return fake_job(fake, m, unit);
    }
    if (strcmp(member, "SetUnitProperties") == 0) {
        sd_bus_message_read(m, "sb", &unit, &flag);
        fake_note(fake, "%s %s %d", member, unit, flag);
        fake_note_properties(fake, m);
    } else if (strcmp(member, "ResetFailedUnit") == 0) {
        sd_bus_message_read(m, "s", &unit);
        fake_note(fake, "%s %s", member, unit);
    } else if (strcmp(member, "Get") == 0) {
        fake_note(fake, "Get %s", sd_bus_message_get_path(m));
        return sd_bus_reply_method_return(m, "v", "s", fake->control_group);
    }
    return sd_bus_reply_method_return(m, NULL);
}

/* Serves connections at @path, one after the other, until it is killed. */
static inline __attribute__((noreturn)) void fake_serve(struct fake_systemd *fake, int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        sd_id128_t id;
        sd_bus *bus;

        sd_id128_randomize(&id);
        if (fd < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, fd, fd) < 0 ||
            sd_bus_set_server(bus, 1, id) < 0 || sd_bus_set_anonymous(bus, 1) < 0 ||
            sd_bus_add_filter(bus, NULL, fake_handle, fake) < 0 || sd_bus_start(bus) < 0)
            _exit(1);
        for (;;) {
            int ret = sd_bus_process(bus, NULL);

            if (ret == 0)
                ret = sd_bus_wait(bus, UINT64_MAX);
            if (ret < 0)
                break;
        }
        sd_bus_flush_close_unref(bus);
    }
}

#endif
