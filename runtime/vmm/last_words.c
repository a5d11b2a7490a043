/*
 * The kernel keeps its log in memory whether or not a console shows it (kernel/printk/printk.c:
 * __log_buf, in bss), and a machine without a console is the ordinary case. A record's text lies
 * there in one piece, with what is no text before and after it (printk_ringbuffer.h: struct
 * prb_data_block).
 */
#include "vmm/last_words.h"

#include <stdbool.h>
#include <string.h>

/* A record ends with its text, of at most LOG_LINE_MAX bytes; of that this much is shown. */
#define LINE_MAX_SHOWN 160
/* How far before the panic its details are looked for: CONFIG_LOG_BUF_SHIFT. */
#define LOG_SIZE 65536

/*
 * What is looked for, the most telling first. init writes its own to /dev/kmsg (init/main.c).
 * A format string of the kernel's own (kernel/panic.c) has a % behind it and is not meant.
 */
static const char *const causes[] = { "vmrt-init: ", "Kernel panic - not syncing: " };
/* What the kernel says of where it was (arch/x86/kernel/dumpstack.c, process_64.c). */
static const char *const details[] = { "BUG: ", "Oops: ", "RIP: " };

static bool is_printable(uint8_t c)
{
    return c >= ' ' && c <= '~';
}

/*
 * printk moves a record's text over its level, two bytes, and leaves what was behind: the last two
 * characters once more, and the line's end (kernel/printk/printk.c printk_sprint()).
 */
static size_t without_rest(const uint8_t *at, size_t length, const uint8_t *end)
{
    bool ends = length >= 4 && at + length < end && at[length] == '\n';

    return ends && memcmp(at + length - 2, at + length - 4, 2) == 0 ? length - 2 : length;
}

static size_t line_length(const uint8_t *at, const uint8_t *end)
{
    size_t length = 0;

    while (length < LINE_MAX_SHOWN && at + length < end && is_printable(at[length]))
        length++;
    return without_rest(at, length, end);
}

/*
 * The shortest of those that begin with @what: a record ends where its text does, while a copy of
 * it on its way to a console (printk_shared_pbufs) may have a longer one's end behind it.
 */
static const uint8_t *find(const uint8_t *from, size_t length, const char *what)
{
    const uint8_t *end = from + length, *at = from, *best = NULL;
    size_t known = strlen(what), shortest = SIZE_MAX;

    while ((at = memmem(at, (size_t)(end - at), what, known))) {
        size_t line = line_length(at, end);

        if (line > known && line < shortest && at[known] != '%') {
            best = at;
            shortest = line;
        }
        at += known;
    }
    return best;
}

/* Appends the line at @at. */
static size_t append(char *text, size_t used, size_t size, const uint8_t *at, const uint8_t *end)
{
    size_t length = line_length(at, end), limit = used + length;

    if (limit > size - 1)
        limit = size - 1;
    /* What was printable may not be any more: other CPUs of the guest may still be running. */
    while (used < limit) {
        uint8_t c = *at++;

        if (!is_printable(c))
            break;
        text[used++] = (char)c;
    }
    text[used] = '\0';
    return used;
}

static size_t append_separator(char *text, size_t used, size_t size)
{
    return used + 2 < size ? (size_t)(stpcpy(text + used, "; ") - text) : used;
}

size_t last_words(const struct guest_memory *memory, uint64_t start, uint64_t end, char *text,
                  size_t size)
{
    const uint8_t *image, *cause = NULL;
    size_t used = 0, before;

    text[0] = '\0';
    image = start < end ? memory_translate(memory, start, end - start) : NULL;
    if (!image)
        return 0;
    for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]) && !cause; i++)
        cause = find(image, end - start, causes[i]);
    if (!cause)
        return 0;
    used = append(text, 0, size, cause, image + (end - start));
    before = (size_t)(cause - image) < LOG_SIZE ? (size_t)(cause - image) : LOG_SIZE;
    for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
        const uint8_t *detail = find(cause - before, before, details[i]);

        if (!detail)
            continue;
        used = append_separator(text, used, size);
        used = append(text, used, size, detail, cause);
    }
    return used;
}
