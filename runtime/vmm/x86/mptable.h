/* The MP table (Intel MultiProcessor Specification 1.4): CPUs and interrupts without ACPI. */
#ifndef VMRT_VMM_X86_MPTABLE_H
#define VMRT_VMM_X86_MPTABLE_H

#include "vmm/memory.h"

/* Writes the table to LAYOUT_MPTABLE. Return: 0, or -E2BIG when @cpus do not fit. */
int mptable_write(const struct guest_memory *memory, unsigned int cpus);

#endif
