/*
 * From the PVH entry (32 bits, flat, no paging) to C in long mode with the first 4 GiB mapped one
 * to one. Interrupts stay off and there are no handlers: any exception is a triple fault.
 */
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18              /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long payload_entry

    .section .text.entry, "ax"
    .code32
    .globl payload_entry
payload_entry:
    cld
    cli
    mov %ebx, payload_start_info
    mov $page_directories, %edi
    mov $0x83, %eax             /* present, writable, 2 MiB */
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $page_directories + 3, %eax
    mov $page_pointers, %edi
    mov $4, %ecx
2:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 2b
    movl $page_pointers + 3, page_root
    mov $stack_top, %esp
    call enter_long_mode
    .code64
    call payload_main
3:  hlt
    jmp 3b

/* Returns to its caller in 64-bit mode; used by every CPU. */
    .code32
enter_long_mode:
    pop %esi
    lgdt descriptor_table_pointer
    mov $page_root, %eax
    mov %eax, %cr3
    mov %cr4, %eax
    or $0x20, %eax              /* PAE */
    mov %eax, %cr4
    mov $0xc0000080, %ecx       /* EFER.LME */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    or $0x80000001, %eax        /* PG, PE */
    mov %eax, %cr0
    ljmp $8, $1f
    .code64
1:  mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %esp, %esp
    mov %esi, %esi
    jmp *%rsi

/*
 * Where a second CPU begins, in real mode: payload.c copies it below 1 MiB. It takes a stack by
 * number, goes through protected to long mode and calls payload_second_cpu().
 */
    .globl trampoline, trampoline_end
    .code16
trampoline:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl trampoline_table - trampoline
    mov $1, %eax
    mov %eax, %cr0
    ljmpl $24, $second_cpu
trampoline_table:
    .word 31
    .long descriptor_table
trampoline_end:
    .code32
second_cpu:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $1, %eax
    lock xadd %eax, second_cpus
    shl $12, %eax
    mov $second_stacks + 4096, %esp
    add %eax, %esp
    call enter_long_mode
    .code64
    call payload_second_cpu
1:  hlt
    jmp 1b

    .section .rodata
    .balign 8
descriptor_table:
    .quad 0
    .quad 0x00af9b000000ffff    /* 8: 64-bit code */
    .quad 0x00cf93000000ffff    /* 16: data */
    .quad 0x00cf9b000000ffff    /* 24: 32-bit code */
descriptor_table_pointer:
    .word 31
    .long descriptor_table

    .bss
    .balign 4096
page_root:
    .skip 4096
page_pointers:
    .skip 4096
page_directories:
    .skip 4 * 4096
    .skip 32768
stack_top:
second_stacks:
    .skip 64 * 4096
    .globl payload_start_info
payload_start_info:
    .skip 8
second_cpus:
    .skip 4
