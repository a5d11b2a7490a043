/* What makes a freshly booted (or cloned) machine a particular one: MESSAGE_SETUP. */
#ifndef VMRT_INIT_SETUP_H
#define VMRT_INIT_SETUP_H

#include "init/failure.h"
#include "init/protocol.h"

/**
 * setup_apply() - entropy, clock, late devices and shares, in that order.
 * @fields: those of MESSAGE_SETUP or MESSAGE_BIND; what is absent is not done.
 * @shares: directory to mount the shares on.
 * Return: 0 or -errno with the failure naming the step.
 */
int setup_apply(struct protocol_reader fields, const char *shares, struct failure *failure);

#endif
