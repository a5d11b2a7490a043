/* Copies of directory trees, for a tmpfs that is to start with what it covers. */
#ifndef VMRT_INIT_COPYUP_H
#define VMRT_INIT_COPYUP_H

/**
 * copyup_tree() - copy what the directory @from holds into the directory @to: files, directories,
 * links, nodes; with modes, owners and times. Other mounts below @from are copied as they look.
 * @from, @to: descriptors open for reading.
 * Return: 0 or -errno.
 */
int copyup_tree(int from, int to);

#endif
