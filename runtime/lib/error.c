/* The error object: formatting and sanitising of messages. */
#include "lib/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/text.h"

int error_set(struct error *err, int code, const char *fmt, ...)
{
    va_list args;

    if (!err)
        return -code;
    err->code = code;
    va_start(args, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
    text_mask_controls(err->message);
    return -code;
}

int error_set_errno(struct error *err, const char *fmt, ...)
{
    int code = errno;
    size_t used;
    va_list args;

    if (!err)
        return -code;
    err->code = code;
    va_start(args, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
    used = strlen(err->message);
    snprintf(err->message + used, sizeof(err->message) - used, ": %s", strerror(code));
    text_mask_controls(err->message);
    return -code;
}
