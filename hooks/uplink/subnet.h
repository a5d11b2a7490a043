/* Private /30 networks of the links between the host and machines: which are free. */
#ifndef VMRT_HOOKS_UPLINK_SUBNET_H
#define VMRT_HOOKS_UPLINK_SUBNET_H

#include <stdbool.h>
#include <stdint.h>

/* All that there are: see the table in subnet.c. */
#define SUBNET_COUNT (16384u + 16384u + 2048u + 32768u)

/*
 * Routes shorter than this are ways to the world, not networks of somebody: the default route, and
 * the halves and quarters in which VPNs lay themselves over it.
 */
#define SUBNET_ROUTE_MIN 8u

struct subnet_map {
    uint8_t taken[SUBNET_COUNT / 8];
};

/* The first address of a /30, host byte order. */
uint32_t subnet_address(uint32_t number);

/**
 * subnet_exclude() - what a route covers is not free.
 * @address: host byte order.
 * @prefix:  bits, 0 to 32; below SUBNET_ROUTE_MIN it excludes nothing.
 */
void subnet_exclude(struct subnet_map *map, uint32_t address, unsigned int prefix);

/* The first free one from @from on. Return: its number, or SUBNET_COUNT: there is none. */
uint32_t subnet_next(const struct subnet_map *map, uint32_t from);

#endif
