/* What a guest that ended by itself had to say, out of its kernel's log. */
#ifndef VMRT_VMM_LAST_WORDS_H
#define VMRT_VMM_LAST_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/memory.h"

/**
 * last_words() - find why the guest's kernel or its init ended, in the guest's memory.
 * @start, @end: guest physical addresses of the kernel's image with its bss, where the log lies.
 * @text: for the answer, without characters that a terminal or a log would take for its own.
 * @size: bytes, at least 1; what does not fit is left out.
 *
 * The guest may have written anything there: the answer is for people to read and nothing else.
 *
 * Return: length of the text; 0 and an empty text when there is nothing.
 */
size_t last_words(const struct guest_memory *memory, uint64_t start, uint64_t end, char *text,
                  size_t size);

#endif
