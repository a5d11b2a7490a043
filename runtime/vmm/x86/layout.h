/* Guest physical addresses that the x86 boot uses below 1 MiB, and the first free one above. */
#ifndef VMRT_VMM_X86_LAYOUT_H
#define VMRT_VMM_X86_LAYOUT_H

#define LAYOUT_START_INFO   0x6000u /* struct hvm_start_info, then modules, then memory map */
#define LAYOUT_MODULES      0x6100u
#define LAYOUT_MEMORY_MAP   0x6200u
#define LAYOUT_CMDLINE      0x20000u
#define LAYOUT_CMDLINE_MAX  4096u    /* COMMAND_LINE_SIZE of the kernel is 2048 */
#define LAYOUT_LOW_END      0x9fc00u /* RAM below ends here, as on any PC */
#define LAYOUT_MPTABLE      0xf0000u /* where a BIOS would lie; reserved in the memory map */
#define LAYOUT_MPTABLE_SIZE 0x10000u
#define LAYOUT_HIGH_MEMORY  0x100000u
#define LAYOUT_IDENTITY_MAP 0xfffbc000u /* 3 pages for the TSS that real mode needs on Intel */
#define LAYOUT_IOAPIC       0xfec00000u
#define LAYOUT_LAPIC        0xfee00000u
#define LAYOUT_IOAPIC_PINS  24u
#define LAYOUT_FIRST_GSI    3u /* of the device slots: 3..23, all free on a machine without ISA */
/*
 * KVM takes this one for the clock's, and follows each end of its interrupt: the guest leaves for
 * it every time (Linux 6.12, arch/x86/kvm/ioapic.c, kvm_ioapic_scan_entry()).
 */
#define LAYOUT_RTC_GSI   8u
#define LAYOUT_SPARE_GSI 1u /* the keyboard's, of which there is none */

#endif
