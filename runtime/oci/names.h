/* Tables of names: capabilities, resource limits, signals. */
#ifndef VMRT_OCI_NAMES_H
#define VMRT_OCI_NAMES_H

#include <stddef.h>

/* "CAP_CHOWN" by number; NULL beyond the last. */
const char *names_capability(unsigned int number);

/* Number of "CAP_CHOWN". Return: 0.., or -1 for a name that is none. */
int names_capability_number(const char *name);

/* RLIMIT_* number of "RLIMIT_NOFILE". Return: 0.., or -1. */
int names_rlimit_number(const char *name);

/**
 * names_signal_number() - a signal as engines and people write it.
 * @text: "9", "KILL", "SIGKILL", "sigkill", "RTMIN+3".
 * Return: the number, which for one written in digits may be any, 0 and more than 64 too; or -1.
 */
int names_signal_number(const char *text);

#endif
