/* /etc/passwd read as text: getpwuid(3) would pull NSS into a static program. */
#include "oci/users.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"

#define PASSWD_MAX (16u << 20)

const char *users_name(uint32_t uid, struct arena *arena)
{
    _cleanup_free_ char *text = NULL;
    char *rest, *line;

    if (fd_read_file(AT_FDCWD, "/etc/passwd", PASSWD_MAX, &text, NULL) < 0)
        return arena_format(arena, "%u", uid);
    rest = text;
    while ((line = strsep(&rest, "\n")) != NULL) {
        const char *name = strsep(&line, ":"), *number;
        char *end;

        strsep(&line, ":");
        number = strsep(&line, ":");
        if (number && name[0] && number[0] && strtoul(number, &end, 10) == uid && !*end)
            return arena_strdup(arena, name);
    }
    return arena_format(arena, "%u", uid);
}
