/* Puts machine, devices, session and sandbox together and runs them to the end. */
#ifndef VMRT_VMM_SUPERVISOR_H
#define VMRT_VMM_SUPERVISOR_H

#include "lib/error.h"
#include "vmm/plan.h"

/**
 * supervisor_run() - the life of one VM.
 * @plan: its descriptors are used up.
 * Return: exit status 0..255 of the workload, SESSION_STATUS_FAILED when the machine failed
 * (already reported), or -errno with @err when it could not be set up.
 */
int supervisor_run(struct vm_plan *plan, struct error *err);

#endif
