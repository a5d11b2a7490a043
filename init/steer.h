/*
 * Leads what processes of this network namespace send to one address and port to another port of
 * the same address.
 *
 * Theory of operation. Programs of BPF at the root of the cgroup tree change the address that
 * connect(2) and sendto(2) were given, and change it back where recvfrom(2) and getpeername(2) say
 * who the peer is. Nobody sees the difference but who looks at the packets: the workload may bind
 * 0.0.0.0:53, which a listener on 127.0.0.11:53 would not let it. Rules of nftables would do the
 * same, but make every packet of the machine pass through the tracking of connections, and stand in
 * the workload's own view of its firewall. Namespaces that the workload makes itself are left
 * alone: a Docker in the container has servers of its own at the same address.
 */
#ifndef VMRT_INIT_STEER_H
#define VMRT_INIT_STEER_H

#include <stdint.h>

#define STEER_HOOKS 7

/* Zeroes and closed links (-1) to begin with: steer_init(). */
struct steer {
    int links[STEER_HOOKS]; /* each keeps its program in place */
};

void steer_init(struct steer *steer);

/**
 * steer_begin() - lead @address:@from to @address:@to, UDP and TCP, IPv4-mapped IPv6 included.
 * @cgroup: of version 2; processes below it are meant.
 * @address, @from, @to: host byte order.
 * Return: 0, or -errno of bpf(2): -ENOSYS or -EINVAL when the kernel lacks CONFIG_CGROUP_BPF.
 */
int steer_begin(struct steer *steer, int cgroup, uint32_t address, uint16_t from, uint16_t to);

void steer_end(struct steer *steer);

#endif
