/* /etc/passwd and /etc/group read as text: getpwuid(3) would pull NSS into a static program. */
#include "oci/users.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fd.h"

#define FILE_SIZE_MAX (16u << 20)

/* Lines of both files begin with name, password and id. */
static const char *find_name(const char *path, uint32_t id, struct arena *arena)
{
    _cleanup_free_ char *text = NULL;
    char *rest, *line;

    if (fd_read_file(AT_FDCWD, path, FILE_SIZE_MAX, &text, NULL) < 0)
        return arena_format(arena, "%u", id);
    rest = text;
    while ((line = strsep(&rest, "\n")) != NULL) {
        const char *name = strsep(&line, ":"), *number;
        char *end;

        strsep(&line, ":");
        number = strsep(&line, ":");
        if (number && name[0] && number[0] && strtoul(number, &end, 10) == id && !*end)
            return arena_strdup(arena, name);
    }
    return arena_format(arena, "%u", id);
}

const char *users_name(uint32_t uid, struct arena *arena)
{
    return find_name("/etc/passwd", uid, arena);
}

const char *users_group(uint32_t gid, struct arena *arena)
{
    return find_name("/etc/group", gid, arena);
}
