/* vmrt checkpoint and vmrt restore: refused in the way by which engines find out. */
#include "commands/command.h"
#include "lib/log.h"

int command_unsupported(const struct context *context, const struct command *self, int argc,
                        char **argv)
{
    log_error("%s is not supported: the state of a virtual machine is not CRIU's", self->name);
    return 1;
}
