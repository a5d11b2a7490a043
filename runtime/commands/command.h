/* What the table in main.c holds, and what every command gets. */
#ifndef VMRT_COMMANDS_COMMAND_H
#define VMRT_COMMANDS_COMMAND_H

#include <stdbool.h>

/* The global options. */
struct context {
    const char *root;          /* state root */
    const char *host_settings; /* the host's settings file */
    bool systemd_cgroup, no_cgroup;
    bool rootless; /* see oci/rootless.h */
};

struct command {
    const char *name;
    const char *arguments; /* "<container-id> [signal]", for --help */
    const char *summary;   /* one line */
    /* @argv[0] is the command's name. Return: exit status. */
    int (*run)(const struct context *context, const struct command *self, int argc, char **argv);
};

int command_create(const struct context *context, const struct command *self, int argc,
                   char **argv);
int command_run(const struct context *context, const struct command *self, int argc, char **argv);
int command_start(const struct context *context, const struct command *self, int argc, char **argv);
int command_state(const struct context *context, const struct command *self, int argc, char **argv);
int command_kill(const struct context *context, const struct command *self, int argc, char **argv);
int command_delete(const struct context *context, const struct command *self, int argc,
                   char **argv);
int command_list(const struct context *context, const struct command *self, int argc, char **argv);
int command_spec(const struct context *context, const struct command *self, int argc, char **argv);
int command_features(const struct context *context, const struct command *self, int argc,
                     char **argv);
int command_check(const struct context *context, const struct command *self, int argc, char **argv);
int command_settings(const struct context *context, const struct command *self, int argc,
                     char **argv);
int command_exec(const struct context *context, const struct command *self, int argc, char **argv);
int command_ps(const struct context *context, const struct command *self, int argc, char **argv);
int command_pause(const struct context *context, const struct command *self, int argc, char **argv);
int command_resume(const struct context *context, const struct command *self, int argc,
                   char **argv);
int command_update(const struct context *context, const struct command *self, int argc,
                   char **argv);
int command_events(const struct context *context, const struct command *self, int argc,
                   char **argv);
/*
 * Checkpoints: even asking for help must fail, for that is how engines find out that they are not
 * supported.
 */
int command_unsupported(const struct context *context, const struct command *self, int argc,
                        char **argv);

#endif
