/* Properties from the command line into a message. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scope/bus.h"

#define BITS_MAX 8192

/* "0-3,7" as systemd's bitmap: the lowest numbers in the first byte. Return: bytes, or -EINVAL. */
static int parse_list(const char *text, uint8_t *bits)
{
    size_t length = 0;

    while (*text) {
        char *end;
        unsigned long first = strtoul(text, &end, 10), last = first;

        if (end == text)
            return -EINVAL;
        if (*end == '-') {
            text = end + 1;
            last = strtoul(text, &end, 10);
            if (end == text)
                return -EINVAL;
        }
        if (last < first || last >= BITS_MAX)
            return -EINVAL;
        for (unsigned long i = first; i <= last; i++)
            bits[i / 8] |= (uint8_t)(1u << i % 8);
        if (last / 8 + 1 > length)
            length = last / 8 + 1;
        text = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return -EINVAL;
    }
    return (int)length;
}

static int put_list(sd_bus_message *message, const char *list)
{
    uint8_t bits[BITS_MAX / 8] = { 0 };
    int length = parse_list(list, bits), ret;

    if (length < 0)
        return length;
    ret = sd_bus_message_open_container(message, 'v', "ay");
    if (ret >= 0)
        ret = sd_bus_message_append_array(message, 'y', bits, (size_t)length);
    return ret < 0 ? ret : sd_bus_message_close_container(message);
}

int bus_put_property(sd_bus_message *message, const char *text, struct error *err)
{
    const char *equals = strchr(text, '=');
    bool list = strncmp(text, "Allowed", 7) == 0;
    char name[64], *end = NULL;
    uint64_t number = 0;
    int ret;

    if (!equals || (size_t)(equals - text) >= sizeof(name))
        return error_set(err, EINVAL, "expected NAME=VALUE, found \"%s\"", text);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = '\0';
    if (!list) {
        errno = 0;
        number = strtoull(equals + 1, &end, 10);
        if (errno || *end || end == equals + 1)
            return error_set(err, EINVAL, "%s: expected a number, found \"%s\"", name, equals + 1);
    }
    ret = sd_bus_message_open_container(message, 'r', "sv");
    if (ret >= 0)
        ret = sd_bus_message_append(message, "s", name);
    if (ret >= 0)
        ret =
            list ? put_list(message, equals + 1) : sd_bus_message_append(message, "v", "t", number);
    if (ret >= 0)
        ret = sd_bus_message_close_container(message);
    return ret < 0 ? error_set(err, -ret, "%s: %s", name, strerror(-ret)) : 0;
}
