/* Private /30 networks of the links between the host and machines: which are free. */
#include "subnet.h"

#include <stddef.h>

/*
 * From each private block a corner that few use; the last one is set apart for measurements (RFC
 * 2544), and routed nowhere: for hosts whose routes cover all of RFC 1918.
 */
static const struct range {
    uint32_t address, count; /* of /30 */
} ranges[] = {
    { 0x0aed0000, 16384 }, /* 10.237.0.0/16 */
    { 0xac1d0000, 16384 }, /* 172.29.0.0/16 */
    { 0xc0a8e000, 2048 },  /* 192.168.224.0/19 */
    { 0xc6120000, 32768 }, /* 198.18.0.0/15 */
};

uint32_t subnet_address(uint32_t number)
{
    size_t i = 0;

    while (number >= ranges[i].count)
        number -= ranges[i++].count;
    return ranges[i].address + number * 4;
}

void subnet_exclude(struct subnet_map *map, uint32_t address, unsigned int prefix)
{
    uint32_t mask, first, last, base = 0;

    if (prefix < SUBNET_ROUTE_MIN || prefix > 32)
        return;
    mask = UINT32_MAX << (32 - prefix);
    first = address & mask;
    last = first | ~mask;
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); base += ranges[i++].count) {
        uint32_t begin = ranges[i].address, end = begin + ranges[i].count * 4 - 1;

        if (last < begin || first > end)
            continue;
        begin = first > begin ? first : begin;
        end = last < end ? last : end;
        for (uint32_t n = base + (begin - ranges[i].address) / 4;
             n <= base + (end - ranges[i].address) / 4; n++)
            map->taken[n / 8] |= (uint8_t)(1u << n % 8);
    }
}

uint32_t subnet_next(const struct subnet_map *map, uint32_t from)
{
    while (from < SUBNET_COUNT && map->taken[from / 8] >> from % 8 & 1)
        from++;
    return from;
}
