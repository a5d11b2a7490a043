/* What create and run have in common: options, and the container they make. */
#ifndef VMRT_COMMANDS_CREATING_H
#define VMRT_COMMANDS_CREATING_H

#include "commands/command.h"
#include "commands/options.h"
#include "lib/error.h"
#include "oci/container.h"

struct creating {
    const char *bundle, *config, *pid_file, *console_socket, *pidfd_socket, *preserve_fds;
};

/* Rows for @options; a command adds its own. */
#define CREATING_ROWS(options)                                                                        \
    { "bundle",                                                                                       \
      'b',                                                                                            \
      OPTION_STRING,                                                                                  \
      "DIR",                                                                                          \
      "the bundle's directory (default: the current one)",                                            \
      &(options)->bundle },                                                                           \
        { "config", 0, OPTION_STRING, "FILE", "config.json outside the bundle", &(options)->config }, \
        { "pid-file",          0, OPTION_STRING, "FILE", "write the container's pid to FILE",         \
          &(options)->pid_file },                                                                     \
        { "console-socket",                                                                           \
          0,                                                                                          \
          OPTION_STRING,                                                                              \
          "SOCKET",                                                                                   \
          "send the process's terminal to SOCKET",                                                    \
          &(options)->console_socket },                                                               \
        { "pidfd-socket",                                                                             \
          0,                                                                                          \
          OPTION_STRING,                                                                              \
          "SOCKET",                                                                                   \
          "send a pidfd of the container to SOCKET",                                                  \
          &(options)->pidfd_socket },                                                                 \
        { "preserve-fds",                                                                             \
          0,                                                                                          \
          OPTION_STRING,                                                                              \
          "N",                                                                                        \
          "give the process descriptors 3 to 2+N, too",                                               \
          &(options)->preserve_fds },                                                                 \
        { "no-pivot", 0, OPTION_IGNORED_FLAG, NULL, "accepted, without effect", NULL },               \
    {                                                                                                 \
        "no-new-keyring", 0, OPTION_IGNORED_FLAG, NULL, "accepted, without effect", NULL              \
    }

/**
 * creating_run() - make the container @id.
 * @master: NULL when the caller detaches; else receives the master of the process's terminal, -1
 *          when it has none.
 * @container: call container_close() whatever is returned.
 * Return: 0 or -errno with @err; then nothing is left behind.
 */
int creating_run(const struct context *context, const struct creating *options, const char *id,
                 int *master, struct container *container, struct error *err);

#endif
