/* The table that says of every field of config.json where it is applied, or why it is not. */
#ifndef VMRT_OCI_FIELDS_H
#define VMRT_OCI_FIELDS_H

#include <stdio.h>

#include "lib/error.h"
#include "lib/json.h"

/**
 * fields_check() - hold a document against the table.
 *
 * A field that the table refuses and that asks for something (not null, false, 0, "", [] or {}) is
 * an error; ignored and unknown ones are debug lines.
 *
 * Return: 0, or -ENOTSUP naming the field and the reason.
 */
int fields_check(const struct json *document, struct error *err);

/* The same for a part that comes as a document of its own; @path: what it is in config.json. */
int fields_check_part(const struct json *part, const char *path, struct error *err);

/* Prints the table as Markdown, for the documentation. */
void fields_print(FILE *out);

#endif
