/* Names of users, without NSS. */
#ifndef VMRT_OCI_USERS_H
#define VMRT_OCI_USERS_H

#include <stdint.h>

#include "lib/arena.h"

/* Name of a user of the host, or the number as text. Return: NULL when memory runs out. */
const char *users_name(uint32_t uid, struct arena *arena);
/* The same for a group. */
const char *users_group(uint32_t gid, struct arena *arena);

#endif
