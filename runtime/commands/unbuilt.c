/* Commands of the interface that do not exist yet: they say so, and never pretend. */
#include <stdio.h>
#include <string.h>

#include "commands/command.h"
#include "lib/log.h"

/* runc: what fails before a process of the container runs is not that process's status. */
#define EXEC_FAILED 255

static int fail(const struct command *self)
{
    log_error("%s is not supported yet", self->name);
    return strcmp(self->name, "exec") == 0 ? EXEC_FAILED : 1;
}

int command_unbuilt(const struct context *context, const struct command *self, int argc,
                    char **argv)
{
    /* What follows the first argument may be somebody else's command line. */
    for (int i = 1; i < argc && argv[i][0] == '-'; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            printf(
                "Usage: vmrt [global options] %s %s\n\n%s\n\nThis command is not supported yet.\n",
                self->name, self->arguments, self->summary);
            return 0;
        }
    return fail(self);
}

int command_unsupported(const struct context *context, const struct command *self, int argc,
                        char **argv)
{
    return fail(self);
}
