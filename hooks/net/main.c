/* vmrt-net: will connect a container's network namespace with its VM; does nothing yet. */
#include <build.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("vmrt-net version %s\ncommit: %s\n", BUILD_VERSION, BUILD_COMMIT);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        puts("Usage: vmrt-net [--help | --version]\n\n"
             "Connects the interfaces of a network namespace with a virtual machine.\n"
             "This version does nothing yet: virtual machines have only a loopback interface.");
        return 0;
    }
    fputs("vmrt-net: does nothing yet; see --help\n", stderr);
    return 2;
}
