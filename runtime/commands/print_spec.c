/*
 * vmrt spec: the config.json that `runc spec` writes. With --rootless it differs where runc's does,
 * but keeps the network namespace: a machine has no other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/fields.h"

enum piece_use { ALWAYS, ROOTFUL, ROOTLESS, MAPPINGS };

/* The document in pieces, in order. */
static const struct {
    enum piece_use use;
    const char *text;
} pieces[] = {
    { ALWAYS,
      "{\n"
      "\t\"ociVersion\": \"1.0.2\",\n"
      "\t\"process\": {\n"
      "\t\t\"terminal\": true,\n"
      "\t\t\"user\": { \"uid\": 0, \"gid\": 0 },\n"
      "\t\t\"args\": [ \"sh\" ],\n"
      "\t\t\"env\": [\n"
      "\t\t\t\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\n"
      "\t\t\t\"TERM=xterm\"\n"
      "\t\t],\n"
      "\t\t\"cwd\": \"/\",\n"
      "\t\t\"capabilities\": {\n"
      "\t\t\t\"bounding\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\" ],\n"
      "\t\t\t\"effective\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\" ],\n"
      "\t\t\t\"permitted\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\", \"CAP_NET_BIND_SERVICE\" ]\n"
      "\t\t},\n"
      "\t\t\"rlimits\": [ { \"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, \"soft\": 1024 } ],\n"
      "\t\t\"noNewPrivileges\": true\n"
      "\t},\n"
      "\t\"root\": { \"path\": \"rootfs\", \"readonly\": true },\n"
      "\t\"hostname\": \"vmrt\",\n"
      "\t\"mounts\": [\n"
      "\t\t{ \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\" },\n"
      "\t\t{ \"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"
      "\t\t  \"options\": [ \"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\" ] },\n"
      "\t\t{ \"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"
      "\t\t  \"options\": [ \"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", " },
    { ROOTFUL, "\"mode=0620\",\n"
               "\t\t               \"gid=5\" ] },\n" },
    { ROOTLESS, "\"mode=0620\" ] },\n" },
    { ALWAYS,
      "\t\t{ \"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"
      "\t\t  \"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\" ] "
      "},\n"
      "\t\t{ \"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\",\n"
      "\t\t  \"options\": [ \"nosuid\", \"noexec\", \"nodev\" ] },\n" },
    { ROOTFUL, "\t\t{ \"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\",\n"
               "\t\t  \"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"ro\" ] },\n" },
    { ROOTLESS,
      "\t\t{ \"destination\": \"/sys\", \"type\": \"none\", \"source\": \"/sys\",\n"
      "\t\t  \"options\": [ \"rbind\", \"nosuid\", \"noexec\", \"nodev\", \"ro\" ] },\n" },
    { ALWAYS,
      "\t\t{ \"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n"
      "\t\t  \"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\" ] }\n"
      "\t],\n"
      "\t\"linux\": {\n" },
    { MAPPINGS, NULL },
    { ROOTFUL,
      "\t\t\"resources\": { \"devices\": [ { \"allow\": false, \"access\": \"rwm\" } ] },\n" },
    { ALWAYS, "\t\t\"namespaces\": [\n"
              "\t\t\t{ \"type\": \"pid\" },\n"
              "\t\t\t{ \"type\": \"network\" },\n"
              "\t\t\t{ \"type\": \"ipc\" },\n"
              "\t\t\t{ \"type\": \"uts\" },\n"
              "\t\t\t{ \"type\": \"mount\" },\n" },
    { ROOTFUL, "\t\t\t{ \"type\": \"cgroup\" }\n" },
    { ROOTLESS, "\t\t\t{ \"type\": \"cgroup\" },\n"
                "\t\t\t{ \"type\": \"user\" }\n" },
    { ALWAYS,
      "\t\t],\n"
      "\t\t\"maskedPaths\": [\n"
      "\t\t\t\"/proc/acpi\", \"/proc/asound\", \"/proc/kcore\", \"/proc/keys\",\n"
      "\t\t\t\"/proc/latency_stats\", \"/proc/timer_list\", \"/proc/timer_stats\",\n"
      "\t\t\t\"/proc/sched_debug\", \"/sys/firmware\", \"/proc/scsi\"\n"
      "\t\t],\n"
      "\t\t\"readonlyPaths\": [\n"
      "\t\t\t\"/proc/bus\", \"/proc/fs\", \"/proc/irq\", \"/proc/sys\", \"/proc/sysrq-trigger\"\n"
      "\t\t]\n"
      "\t}\n"
      "}\n" },
};

static char *make_text(bool rootless)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (!out)
        return NULL;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        if (pieces[i].use == ALWAYS || pieces[i].use == (rootless ? ROOTLESS : ROOTFUL))
            fputs(pieces[i].text, out);
        else if (pieces[i].use == MAPPINGS && rootless)
            /* The caller is root in there. */
            for (size_t kind = 0; kind < 2; kind++)
                fprintf(out,
                        "\t\t\"%s\": [ { \"containerID\": 0, \"hostID\": %u, \"size\": 1 } ],\n",
                        kind ? "gidMappings" : "uidMappings", kind ? getegid() : geteuid());
    }
    return fclose(out) == 0 ? text : NULL;
}

static int write_template(const char *bundle, bool rootless)
{
    _cleanup_free_ char *text = make_text(rootless);
    _cleanup_close_ int directory = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = -1;
    int ret;

    if (!text) {
        log_error("out of memory");
        return 1;
    }
    if (directory < 0) {
        log_error("bundle %s: %s", bundle, strerror(errno));
        return 1;
    }
    fd = openat(directory, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) {
        /* runc's words. */
        log_error("File config.json exists. Remove it first");
        return 1;
    }
    ret = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
    if (ret < 0)
        log_error("%s/config.json: %s", bundle, strerror(-ret));
    return ret < 0;
}

int command_spec(const struct context *context, const struct command *self, int argc, char **argv)
{
    const char *bundle = ".";
    bool rootless = false, fields = false;
    const struct option_row rows[] = {
        { "bundle", 'b', OPTION_STRING, "DIR", "where to write it (default: here)", &bundle },
        { "rootless", 0, OPTION_FLAG, NULL, "for a caller who is not root", &rootless },
        { "fields", 0, OPTION_FLAG, NULL, "print how each field is treated, write nothing",
          &fields },
    };
    enum options_result parsed = options_parse(self, rows, 3, 0, 0, &argc, &argv);

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    if (fields) {
        fields_print(stdout);
        return 0;
    }
    return write_template(bundle, rootless);
}
