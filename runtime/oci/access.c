/* Whose a device is, said as a command to type. */
#include "oci/access.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/arena.h"
#include "oci/rootless.h"
#include "oci/users.h"

void access_remedy(const char *path, char *out, size_t size)
{
    struct arena arena = { 0 };
    struct stat st;

    if (stat(path, &st) < 0)
        snprintf(out, size, "run as root");
    else if (rootless_in_user_namespace())
        /* Its group is not one of this namespace, so its name cannot be told from here. */
        snprintf(out, size,
                 "as the user outside this user namespace, join the group that owns %s (\"vmrt "
                 "check\" there names it)",
                 path);
    else if ((st.st_mode & 0060) == 0060 && st.st_gid != 0)
        snprintf(out, size, "join the group %s: as root \"usermod -aG %s %s\", then log in again",
                 users_group(st.st_gid, &arena), users_group(st.st_gid, &arena),
                 users_name(geteuid(), &arena));
    else
        snprintf(out, size,
                 "no group may use it: as root \"setfacl -m u:%s:rw %s\" (udev's rules make that "
                 "last)",
                 users_name(geteuid(), &arena), path);
    arena_free(&arena);
}
