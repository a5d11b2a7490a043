/* Command lines: one table per command, from which they are parsed and --help is printed. */
#ifndef VMRT_COMMANDS_OPTIONS_H
#define VMRT_COMMANDS_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

#include "commands/command.h"

enum option_kind {
    OPTION_FLAG,   /* bool; also --name=false */
    OPTION_MAYBE,  /* int: as it was when not given, else 0 or 1 */
    OPTION_STRING, /* const char * */
    OPTION_LIST,   /* struct option_list: one more each time it is given */
    OPTION_IGNORED_FLAG,
    OPTION_IGNORED_STRING,
};

/* Values in the order they were given; zeroed to begin with, free() @values when done. */
struct option_list {
    const char **values;
    size_t count;
};

struct option_row {
    const char *name; /* long name, without dashes */
    char letter;      /* short name, or 0 */
    enum option_kind kind;
    const char *argument; /* what --help calls the value; NULL for flags */
    const char *help;
    void *target;
};

enum options_result {
    OPTIONS_OK,
    OPTIONS_HELP,  /* --help was given and printed: exit 0 */
    OPTIONS_ERROR, /* already reported: exit 1 */
};

/**
 * options_parse() - parse the options of a command.
 * @argc, @argv: shrunk to the positional arguments.
 * @minimum, @maximum: how many of those there may be.
 *
 * Options are taken as "--name value", "--name=value", "-name value" and "-n value", before,
 * between and after arguments, until "--".
 */
enum options_result options_parse(const struct command *command, const struct option_row *rows,
                                  size_t count, int minimum, int maximum, int *argc, char ***argv);

/* The same, but the first argument ends the options: what follows it is somebody else's. */
enum options_result options_parse_leading(const struct command *command,
                                          const struct option_row *rows, size_t count, int minimum,
                                          int *argc, char ***argv);

/**
 * options_parse_global() - parse what stands before the command.
 * @argv: shrunk to begin with the command's name.
 * --help is a row like any other here.
 */
enum options_result options_parse_global(const struct option_row *rows, size_t count, int *argc,
                                         char ***argv);

/* Prints the rows as in --help. */
void options_print(FILE *out, const struct option_row *rows, size_t count);

#endif
