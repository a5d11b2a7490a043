/* Text that is to be shown. */
#include "lib/text.h"

#include <stddef.h>
#include <stdint.h>

/* First bytes of sequences: the bits that say how long one is, and the least it may stand for. */
static const struct {
    unsigned char mask, bits;
    uint32_t least;
} sequences[] = {
    { 0x80, 0x00, 0x0 },
    { 0xe0, 0xc0, 0x80 },
    { 0xf0, 0xe0, 0x800 },
    { 0xf8, 0xf0, 0x10000 },
};

/* Return: the length in bytes of the character at @text, or 0 for what is none. */
static size_t read_character(const unsigned char *text, uint32_t *character)
{
    size_t more = 0;

    while (more < 4 && (text[0] & sequences[more].mask) != sequences[more].bits)
        more++;
    if (more == 4)
        return 0;
    *character = text[0] & (unsigned char)~sequences[more].mask;
    for (size_t i = 1; i <= more; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *character = *character << 6 | (text[i] & 0x3f);
    }
    if (*character < sequences[more].least || *character > 0x10ffff ||
        (*character >= 0xd800 && *character <= 0xdfff))
        return 0;
    return more + 1;
}

void text_mask_controls(char *text)
{
    while (*text) {
        uint32_t character = 0;
        size_t length = read_character((const unsigned char *)text, &character);

        if (length == 0 || character < 0x20 || (character >= 0x7f && character < 0xa0))
            for (size_t i = 0; i < (length ? length : 1); i++)
                text[i] = '?';
        text += length ? length : 1;
    }
}
