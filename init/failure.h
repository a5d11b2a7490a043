/* One failure, filled in once, by the layer that can name what failed; it travels to the host. */
#ifndef VMRT_INIT_FAILURE_H
#define VMRT_INIT_FAILURE_H

/* Bytes of text, NUL included: a report of the workload's child must fit one packet. */
#define FAILURE_TEXT_MAX 1024

struct failure {
    int code; /* positive errno value; 0 while nothing has failed */
    char text[FAILURE_TEXT_MAX];
};

/**
 * failure_set() - record a failure.
 * @failure: filled in.
 * @code:    positive errno value.
 * @fmt:     printf format: names the thing and what was wrong with it.
 * Return: -@code.
 */
int failure_set(struct failure *failure, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* failure_set() with the current errno, whose text is appended. Return: -errno. */
int failure_errno(struct failure *failure, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Where to tell of a failure of several: @failure if @first is 0, so that the first one counts. */
struct failure *failure_if_first(int first, struct failure *failure);

/**
 * failure_describe() - the text for @code as runc's users know it: lower case, as Go's syscall
 * package spells it, because engines look for these words ("no such file or directory").
 */
const char *failure_describe(int code);

#endif
