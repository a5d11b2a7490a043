/* The machine's network interfaces. */
#ifndef VMRT_INIT_NETWORK_H
#define VMRT_INIT_NETWORK_H

/* Brings up the loopback interface, which gets 127.0.0.1 and ::1 by that. Return: 0 or -errno. */
int network_loopback_up(void);

#endif
