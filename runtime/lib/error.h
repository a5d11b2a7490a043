/* One error object, filled in once, by the layer that can name what failed. */
#ifndef VMRT_LIB_ERROR_H
#define VMRT_LIB_ERROR_H

#include <stddef.h>

struct error {
    int code;           /* positive errno value; 0 while nothing has failed */
    char message[1024]; /* one line, no trailing newline, no "vmrt: " prefix */
};

/**
 * error_set() - record a failure.
 * @err:  object to fill; may be NULL when the caller does not want the text.
 * @code: positive errno value that describes the failure.
 * @fmt:  printf format of the message; names the thing and what was expected.
 *
 * Control characters in the result are replaced by '?', so that hostile names cannot forge lines.
 *
 * Return: -@code, so that callers can write "return error_set(...)".
 */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * error_set_errno() - like error_set() with the current errno, whose text is appended (": ENOENT
 * text").
 *
 * Return: -errno as it was on entry.
 */
int error_set_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
