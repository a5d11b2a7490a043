/* The RESULT that a runtime's create waits for. */
#include "vmm/ready.h"

#include <errno.h>
#include <stdlib.h>

#include "init/protocol.h"
#include "lib/fd.h"

int ready_tell(int *fd, const struct error *failure)
{
    struct protocol_writer writer = { 0 };
    int ret = -ENOMEM;

    if (*fd < 0)
        return 0;
    protocol_begin(&writer, MESSAGE_RESULT, 0, 0);
    protocol_put_u64(&writer, FIELD_CODE, failure ? (uint64_t)failure->code : 0);
    if (failure)
        protocol_put_string(&writer, FIELD_TEXT, failure->message);
    if (protocol_finish(&writer) == 0)
        ret = fd_write_full(*fd, writer.data, writer.length);
    free(writer.data);
    fd_close(fd);
    return ret;
}
