/* Option tables over getopt_long_only(3): Go programs call runtimes with single dashes, too. */
#include "commands/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

#define ROWS_MAX 32
/* getopt's value for row n; above every letter. */
#define ROW_VALUE(n) (256 + (int)(n))
#define HELP_VALUE   255

static bool takes_value(const struct option_row *row)
{
    return row->kind == OPTION_STRING || row->kind == OPTION_LIST ||
           row->kind == OPTION_IGNORED_STRING;
}

static bool set_flag(const struct option_row *row, const char *text)
{
    bool value = !text || strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

    if (!value && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
        return false;
    if (row->kind == OPTION_FLAG)
        *(bool *)row->target = value;
    else if (row->kind == OPTION_MAYBE)
        *(int *)row->target = value;
    return true;
}

static bool set_value(const struct option_row *row, const char *value)
{
    struct option_list *list = row->target;
    const char **values;

    if (row->kind == OPTION_STRING)
        *(const char **)row->target = value;
    if (row->kind != OPTION_LIST)
        return true;
    values = reallocarray(list->values, list->count + 1, sizeof(*values));
    if (!values)
        return false;
    values[list->count++] = value;
    list->values = values;
    return true;
}

static const struct option_row *find_row(const struct option_row *rows, size_t count, int value)
{
    for (size_t i = 0; i < count; i++)
        if (value == ROW_VALUE(i) || (rows[i].letter && value == rows[i].letter))
            return &rows[i];
    return NULL;
}

/* getopt's own tables. @letters begins with "+" or "-"-less ordering and ":" as asked. */
static void make_tables(const struct option_row *rows, size_t count, bool help,
                        struct option *options, char *letters)
{
    size_t used = strlen(letters);

    for (size_t i = 0; i < count; i++) {
        options[i] = (struct option) { .name = rows[i].name,
                                       .has_arg = takes_value(&rows[i]) ? required_argument
                                                                        : optional_argument,
                                       .val = ROW_VALUE(i) };
        if (rows[i].letter) {
            letters[used++] = rows[i].letter;
            if (takes_value(&rows[i]))
                letters[used++] = ':';
        }
    }
    if (help) {
        options[count] = (struct option) { .name = "help", .val = HELP_VALUE };
        letters[used++] = 'h';
    }
    letters[used] = '\0';
}

static void report(const char *command, int result, char *const *argv)
{
    const char *word = argv[optind - 1];
    char letter[3] = { '-', (char)optopt, '\0' };

    if (optopt > 0 && optopt < HELP_VALUE)
        word = letter;
    log_error("%s%soption %.*s %s", command, command[0] ? ": " : "",
              (int)(result == ':' ? strlen(word) : strcspn(word, "=")), word,
              result == ':' ? "needs a value" : "is not known; see --help");
}

/* @order is getopt's: "+" ends the options at the first argument. @global: --help is a row. */
static enum options_result parse(const char *command, const struct option_row *rows, size_t count,
                                 bool global, const char *order, int argc, char **argv)
{
    struct option options[ROWS_MAX + 2] = { { 0 } };
    char letters[2 * ROWS_MAX + 8];
    int value;

    if (count > ROWS_MAX)
        return OPTIONS_ERROR;
    snprintf(letters, sizeof(letters), "%s:", order);
    make_tables(rows, count, !global, options, letters);
    optind = 0; /* glibc: start anew */
    opterr = 0;
    while ((value = getopt_long_only(argc, argv, letters, options, NULL)) != -1) {
        const struct option_row *row = find_row(rows, count, value);

        if (value == HELP_VALUE || (value == 'h' && !global))
            return OPTIONS_HELP;
        if (!row) {
            report(command, value, argv);
            return OPTIONS_ERROR;
        }
        if (takes_value(row) && !set_value(row, optarg)) {
            log_error("out of memory");
            return OPTIONS_ERROR;
        }
        if (!takes_value(row) && !set_flag(row, optarg)) {
            /* --rootless=auto is one of those that are only ignored. */
            if (row->kind == OPTION_IGNORED_FLAG)
                continue;
            log_error("option --%s: expected true or false, found \"%s\"", row->name, optarg);
            return OPTIONS_ERROR;
        }
    }
    return OPTIONS_OK;
}

void options_print(FILE *out, const struct option_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char left[64], letter[8] = "    ";

        if (rows[i].letter)
            snprintf(letter, sizeof(letter), "-%c, ", rows[i].letter);
        snprintf(left, sizeof(left), "%s--%s%s%s", letter, rows[i].name,
                 rows[i].argument ? " " : "", rows[i].argument ? rows[i].argument : "");
        fprintf(out, "  %-30s %s\n", left, rows[i].help);
    }
}

static void print_help(const struct command *command, const struct option_row *rows, size_t count)
{
    printf("Usage: vmrt [global options] %s%s%s%s\n\n%s\n", command->name,
           count ? " [options]" : "", command->arguments[0] ? " " : "", command->arguments,
           command->summary);
    if (count) {
        puts("\nOptions:");
        options_print(stdout, rows, count);
    }
}

static enum options_result parse_command(const struct command *command,
                                         const struct option_row *rows, size_t count, int minimum,
                                         int maximum, const char *order, int *argc, char ***argv)
{
    enum options_result result = parse(command->name, rows, count, false, order, *argc, *argv);

    if (result == OPTIONS_HELP)
        print_help(command, rows, count);
    if (result != OPTIONS_OK)
        return result;
    *argc -= optind;
    *argv += optind;
    if (*argc >= minimum && *argc <= maximum)
        return OPTIONS_OK;
    log_error("%s: expected %s%s, found %d argument%s", command->name,
              command->arguments[0] ? command->arguments : "no arguments",
              *argc > maximum ? " and nothing else" : "", *argc, *argc == 1 ? "" : "s");
    return OPTIONS_ERROR;
}

enum options_result options_parse(const struct command *command, const struct option_row *rows,
                                  size_t count, int minimum, int maximum, int *argc, char ***argv)
{
    return parse_command(command, rows, count, minimum, maximum, "", argc, argv);
}

enum options_result options_parse_leading(const struct command *command,
                                          const struct option_row *rows, size_t count, int minimum,
                                          int *argc, char ***argv)
{
    return parse_command(command, rows, count, minimum, INT_MAX, "+", argc, argv);
}

enum options_result options_parse_global(const struct option_row *rows, size_t count, int *argc,
                                         char ***argv)
{
    enum options_result result = parse("", rows, count, true, "+", *argc, *argv);

    *argc -= optind;
    *argv += optind;
    return result;
}
