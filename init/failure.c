/* The failure object and the wording of errno values. */
#include "init/failure.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *failure_describe(int code)
{
    static char text[128];

    /* glibc and Go agree but for the capital letter. */
    snprintf(text, sizeof(text), "%s", strerrordesc_np(code) ?: "unknown error");
    if (text[0] && text[1] && islower((unsigned char)text[1]))
        text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}

int failure_set(struct failure *failure, int code, const char *fmt, ...)
{
    va_list args;

    failure->code = code;
    va_start(args, fmt);
    vsnprintf(failure->text, sizeof(failure->text), fmt, args);
    va_end(args);
    return -code;
}

int failure_errno(struct failure *failure, const char *fmt, ...)
{
    int code = errno;
    size_t used;
    va_list args;

    failure->code = code;
    va_start(args, fmt);
    vsnprintf(failure->text, sizeof(failure->text), fmt, args);
    va_end(args);
    used = strlen(failure->text);
    snprintf(failure->text + used, sizeof(failure->text) - used, ": %s", failure_describe(code));
    return -code;
}

struct failure *failure_if_first(int first, struct failure *failure)
{
    static struct failure ignored;

    return first ? &ignored : failure;
}
