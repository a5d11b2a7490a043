/* Requests to systemd, and waiting for its jobs. */
#include "scope/bus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVICE     "org.freedesktop.systemd1"
#define OBJECT      "/org/freedesktop/systemd1"
#define MANAGER     "org.freedesktop.systemd1.Manager"
#define NO_UNIT     "org.freedesktop.systemd1.NoSuchUnit"
#define EXISTS      "org.freedesktop.systemd1.UnitExists"
#define PRIVATE     "unix:path=/run/systemd/private"
#define MODE        "replace"
#define MICROSECOND 1000000ull
/* As runc waits. */
#define TIMEOUT_US (30 * MICROSECOND)

/* What the signals of jobs that ended have told: they may come before we know our job's name. */
struct jobs {
    const char *unit;
    char *path;      /* ours, once we know */
    char ended[256]; /* the last job of our unit that ended */
    char result[32];
};

static int connect_system(sd_bus **bus)
{
    int ret = sd_bus_open_system(bus);

    /* No bus daemon is needed to talk to systemd: root can do so directly. */
    if (ret >= 0 || geteuid() != 0 || sd_bus_new(bus) < 0)
        return ret;
    if (sd_bus_set_address(*bus, PRIVATE) >= 0 && sd_bus_start(*bus) >= 0)
        return 0;
    *bus = sd_bus_unref(*bus);
    return ret;
}

int bus_open(bool user, sd_bus **bus, struct error *err)
{
    int ret = user ? sd_bus_open_user(bus) : connect_system(bus);

    if (ret < 0)
        return error_set(err, -ret,
                         "systemd cgroup flag passed, but systemd support for managing cgroups is "
                         "not available: %s",
                         strerror(-ret));
    return sd_bus_set_method_call_timeout(*bus, TIMEOUT_US) < 0
               ? error_set(err, EINVAL, "cannot set the timeout of the bus")
               : 0;
}

static int fail(const char *what, const char *unit, int ret, const sd_bus_error *said,
                struct error *err)
{
    return error_set(err, -ret, "%s systemd unit %s: %s", what, unit,
                     said && said->message ? said->message : strerror(-ret));
}

static int job_removed(sd_bus_message *message, void *context, sd_bus_error *error)
{
    struct jobs *jobs = context;
    const char *path, *unit, *result;
    uint32_t id;

    (void)error;
    if (sd_bus_message_read(message, "uoss", &id, &path, &unit, &result) >= 0 &&
        strcmp(unit, jobs->unit) == 0) {
        snprintf(jobs->ended, sizeof(jobs->ended), "%s", path);
        snprintf(jobs->result, sizeof(jobs->result), "%s", result);
    }
    return 0;
}

static int watch_jobs(sd_bus *bus, struct jobs *jobs, sd_bus_slot **slot, struct error *err)
{
    int ret =
        sd_bus_match_signal(bus, slot, NULL, OBJECT, MANAGER, "JobRemoved", job_removed, jobs);

    if (ret >= 0)
        ret = sd_bus_call_method(bus, SERVICE, OBJECT, MANAGER, "Subscribe", NULL, NULL, NULL);
    /* A second subscription of one connection is refused, and is as good. */
    return ret < 0 && ret != -EEXIST
               ? error_set(err, -ret, "cannot watch the jobs of systemd: %s", strerror(-ret))
               : 0;
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MICROSECOND + (uint64_t)now.tv_nsec / 1000;
}

static int wait_for_job(sd_bus *bus, struct jobs *jobs, const char *what, struct error *err)
{
    uint64_t deadline = now_us() + TIMEOUT_US;

    while (strcmp(jobs->ended, jobs->path) != 0) {
        uint64_t now = now_us();
        int ret = sd_bus_process(bus, NULL);

        if (ret == 0 && now < deadline)
            ret = sd_bus_wait(bus, deadline - now);
        if (ret < 0 && ret != -EINTR)
            return fail(what, jobs->unit, ret, NULL, err);
        if (now >= deadline)
            return error_set(err, ETIMEDOUT, "Timeout waiting for systemd to %s %s", what,
                             jobs->unit);
    }
    if (strcmp(jobs->result, "done") == 0)
        return 0;
    return error_set(err, EIO, "cannot %s systemd unit %s: got \"%s\"", what, jobs->unit,
                     jobs->result);
}

/* The reply to a request that queues a job: its path. */
static int take_job(sd_bus_message *reply, struct jobs *jobs)
{
    const char *path;
    int ret = sd_bus_message_read(reply, "o", &path);

    if (ret < 0)
        return ret;
    jobs->path = strdup(path);
    return jobs->path ? 0 : -ENOMEM;
}

static void reset_failed(sd_bus *bus, const char *name)
{
    (void)sd_bus_call_method(bus, SERVICE, OBJECT, MANAGER, "ResetFailedUnit", NULL, NULL, "s",
                             name);
}

/* What runc sends, and the limits. */
static int put_properties(sd_bus_message *message, const struct bus_unit *unit,
                          const struct bus_properties *properties, struct error *err)
{
    size_t length = strlen(unit->name);
    bool slice = length > 6 && strcmp(unit->name + length - 6, ".slice") == 0;
    int ret = sd_bus_message_append(message, "ss", unit->name, MODE);

    if (ret >= 0)
        ret = sd_bus_message_open_container(message, 'a', "(sv)");
    if (ret >= 0)
        ret = sd_bus_message_append(message, "(sv)", "Description", "s", unit->description);
    /* A slice's place in the tree is its name. */
    if (ret >= 0)
        ret = slice ? sd_bus_message_append(message, "(sv)", "Wants", "as", 1, unit->slice)
                    : sd_bus_message_append(message, "(sv)(sv)", "Slice", "s", unit->slice,
                                            "Delegate", "b", 1);
    if (ret >= 0 && !slice)
        ret = sd_bus_message_append(message, "(sv)", "PIDs", "au", 1, unit->pid);
    if (ret >= 0)
        ret = sd_bus_message_append(message, "(sv)(sv)(sv)(sv)(sv)", "MemoryAccounting", "b", 1,
                                    "CPUAccounting", "b", 1, "IOAccounting", "b", 1,
                                    "TasksAccounting", "b", 1, "DefaultDependencies", "b", 0);
    for (size_t i = 0; ret >= 0 && i < properties->count; i++) {
        ret = bus_put_property(message, properties->texts[i], err);
        if (ret < 0)
            return ret;
    }
    if (ret >= 0)
        ret = sd_bus_message_close_container(message);
    /* No auxiliary units. */
    if (ret >= 0)
        ret = sd_bus_message_append(message, "a(sa(sv))", 0);
    return ret < 0 ? fail("cannot describe", unit->name, ret, NULL, err) : 0;
}

/* Return: 0, -EEXIST, or -errno with @err. */
static int try_start(sd_bus *bus, const struct bus_unit *unit,
                     const struct bus_properties *properties, struct jobs *jobs, struct error *err)
{
    sd_bus_message *message = NULL, *reply = NULL;
    sd_bus_error said = SD_BUS_ERROR_NULL;
    int ret = sd_bus_message_new_method_call(bus, &message, SERVICE, OBJECT, MANAGER,
                                             "StartTransientUnit");

    if (ret >= 0)
        ret = put_properties(message, unit, properties, err);
    else
        ret = fail("cannot start", unit->name, ret, NULL, err);
    if (ret >= 0) {
        ret = sd_bus_call(bus, message, 0, &said, &reply);
        if (ret >= 0)
            ret = take_job(reply, jobs);
        if (ret < 0) {
            bool exists = sd_bus_error_has_name(&said, EXISTS);

            ret = fail("cannot start", unit->name, ret, &said, err);
            ret = exists ? -EEXIST : ret;
        }
    }
    sd_bus_error_free(&said);
    sd_bus_message_unref(reply);
    sd_bus_message_unref(message);
    return ret;
}

int bus_start(sd_bus *bus, const struct bus_unit *unit, const struct bus_properties *properties,
              struct error *err)
{
    struct jobs jobs = { .unit = unit->name };
    sd_bus_slot *slot = NULL;
    int ret = watch_jobs(bus, &jobs, &slot, err);

    if (ret == 0)
        ret = try_start(bus, unit, properties, &jobs, err);
    /* One that failed and was left behind under the same name. */
    if (ret == -EEXIST) {
        reset_failed(bus, unit->name);
        ret = try_start(bus, unit, properties, &jobs, err);
    }
    if (ret == 0) {
        ret = wait_for_job(bus, &jobs, "start", err);
        if (ret < 0)
            reset_failed(bus, unit->name);
    }
    sd_bus_slot_unref(slot);
    free(jobs.path);
    return ret;
}

int bus_set(sd_bus *bus, const char *name, const struct bus_properties *properties,
            struct error *err)
{
    sd_bus_message *message = NULL;
    sd_bus_error said = SD_BUS_ERROR_NULL;
    int ret = sd_bus_message_new_method_call(bus, &message, SERVICE, OBJECT, MANAGER,
                                             "SetUnitProperties");

    /* Runtime only: nothing is written to the disk. */
    if (ret >= 0)
        ret = sd_bus_message_append(message, "sb", name, 1);
    if (ret >= 0)
        ret = sd_bus_message_open_container(message, 'a', "(sv)");
    for (size_t i = 0; ret >= 0 && i < properties->count; i++) {
        ret = bus_put_property(message, properties->texts[i], err);
        if (ret < 0) {
            sd_bus_message_unref(message);
            return ret;
        }
    }
    if (ret >= 0)
        ret = sd_bus_message_close_container(message);
    if (ret >= 0)
        ret = sd_bus_call(bus, message, 0, &said, NULL);
    if (ret < 0)
        ret = fail("unable to set properties of", name, ret, &said, err);
    sd_bus_error_free(&said);
    sd_bus_message_unref(message);
    return ret < 0 ? ret : 0;
}

int bus_stop(sd_bus *bus, const char *name, struct error *err)
{
    struct jobs jobs = { .unit = name };
    sd_bus_error said = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    sd_bus_slot *slot = NULL;
    int ret = watch_jobs(bus, &jobs, &slot, err);

    if (ret == 0) {
        ret = sd_bus_call_method(bus, SERVICE, OBJECT, MANAGER, "StopUnit", &said, &reply, "ss",
                                 name, MODE);
        if (ret >= 0)
            ret = take_job(reply, &jobs);
        if (ret < 0 && sd_bus_error_has_name(&said, NO_UNIT))
            ret = 0;
        else if (ret < 0)
            ret = fail("cannot stop", name, ret, &said, err);
        else
            ret = wait_for_job(bus, &jobs, "stop", err);
        reset_failed(bus, name);
    }
    sd_bus_error_free(&said);
    sd_bus_message_unref(reply);
    sd_bus_slot_unref(slot);
    free(jobs.path);
    return ret;
}

int bus_control_group(sd_bus *bus, const char *name, char **path, struct error *err)
{
    size_t length = strlen(name);
    bool slice = length > 6 && strcmp(name + length - 6, ".slice") == 0;
    sd_bus_error said = SD_BUS_ERROR_NULL;
    char *object = NULL;
    int ret = sd_bus_path_encode(OBJECT "/unit", name, &object);

    if (ret >= 0)
        ret = sd_bus_get_property_string(bus, SERVICE, object,
                                         slice ? SERVICE ".Slice" : SERVICE ".Scope",
                                         "ControlGroup", &said, path);
    if (ret < 0)
        ret = fail("cannot find the control group of", name, ret, &said, err);
    sd_bus_error_free(&said);
    free(object);
    return ret < 0 ? ret : 0;
}
