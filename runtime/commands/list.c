/* vmrt list */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands/options.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "oci/container.h"
#include "oci/users.h"

#define COLUMNS       6
#define COLUMN_MIN    12 /* as runc's tabwriter: cells of at least 12, 3 of them padding */
#define COLUMN_MARGIN 3

/* One line of the table; strings are of the arena. */
struct row {
    const char *cells[COLUMNS];
};

struct listing {
    struct arena arena;
    struct row *rows;
    size_t count, capacity;
    yajl_gen gen;
};

static int add_row(struct listing *listing, const struct container *container,
                   enum container_status status)
{
    struct arena *arena = &listing->arena;
    struct stat st = { 0 };
    struct row *row;

    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? 2 * listing->capacity : 16;
        struct row *rows = reallocarray(listing->rows, capacity, sizeof(*rows));

        if (!rows)
            return -ENOMEM;
        listing->rows = rows;
        listing->capacity = capacity;
    }
    (void)fstat(container->directory, &st);
    row = &listing->rows[listing->count++];
    row->cells[0] = arena_strdup(arena, container->id);
    row->cells[1] =
        arena_format(arena, "%lld", (long long)(status == CONTAINER_STOPPED ? 0 : container->pid));
    row->cells[2] = container_status_name(status);
    row->cells[3] = arena_strdup(arena, container->bundle);
    row->cells[4] = arena_strdup(arena, container->created);
    row->cells[5] = users_name(st.st_uid, arena);
    for (size_t i = 0; i < COLUMNS; i++)
        if (!row->cells[i])
            return -ENOMEM;
    return 0;
}

static int add_container(struct listing *listing, const char *root, const char *id, bool quiet)
{
    struct container container;
    enum container_status status;
    struct error err;
    int ret = container_open(root, id, &container, &err);

    if (ret == -ENOENT) {
        ret = 0; /* deleted meanwhile */
    } else if (ret < 0) {
        log_warning("container %s: %s", id, err.message);
        ret = ret == -ENOMEM ? ret : 0;
    } else if (quiet) {
        puts(id);
    } else {
        status = container_status(&container);
        container_put_state(listing->gen, &container, status, CONTAINER_FOR_LIST);
        ret = add_row(listing, &container, status);
    }
    container_close(&container);
    return ret;
}

static void print_table(const struct listing *listing)
{
    static const struct row header = { { "ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER" } };
    size_t widths[COLUMNS];

    for (size_t column = 0; column < COLUMNS; column++) {
        widths[column] = strlen(header.cells[column]) + COLUMN_MARGIN;
        for (size_t i = 0; i < listing->count; i++)
            if (strlen(listing->rows[i].cells[column]) + COLUMN_MARGIN > widths[column])
                widths[column] = strlen(listing->rows[i].cells[column]) + COLUMN_MARGIN;
        if (widths[column] < COLUMN_MIN)
            widths[column] = COLUMN_MIN;
    }
    for (size_t i = 0; i <= listing->count; i++) {
        const struct row *row = i == 0 ? &header : &listing->rows[i - 1];

        for (size_t column = 0; column + 1 < COLUMNS; column++)
            printf("%-*s", (int)widths[column], row->cells[column]);
        puts(row->cells[COLUMNS - 1]);
    }
}

static int gather(struct listing *listing, const char *root, bool quiet)
{
    struct dirent **entries = NULL;
    int count = scandir(root, &entries, NULL, alphasort), ret = 0;

    /* No state directory is no containers. */
    if (count < 0 && errno != ENOENT) {
        log_error("--root %s: %s", root, strerror(errno));
        return -errno;
    }
    for (int i = 0; i < count; i++) {
        if (ret == 0 && container_check_id(entries[i]->d_name, NULL) == 0)
            ret = add_container(listing, root, entries[i]->d_name, quiet);
        free(entries[i]);
    }
    free(entries);
    if (ret < 0)
        log_error("out of memory");
    return ret;
}

int command_list(const struct context *context, const struct command *self, int argc, char **argv)
{
    const char *format = "table";
    bool quiet = false;
    const struct option_row rows[] = {
        { "format", 'f', OPTION_STRING, "FORMAT", "table (default) or json", &format },
        { "quiet", 'q', OPTION_FLAG, NULL, "print ids only", &quiet },
    };
    enum options_result parsed = options_parse(self, rows, 2, 0, 0, &argc, &argv);
    _cleanup_free_ char *text = NULL;
    struct listing listing = { 0 };
    int ret;

    if (parsed != OPTIONS_OK)
        return parsed == OPTIONS_ERROR;
    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0) {
        log_error("list: --format: expected table or json, found \"%s\"", format);
        return 1;
    }
    listing.gen = yajl_gen_alloc(NULL);
    if (!listing.gen) {
        log_error("out of memory");
        return 1;
    }
    yajl_gen_array_open(listing.gen);
    ret = gather(&listing, context->root, quiet);
    yajl_gen_array_close(listing.gen);
    if (json_take_text(listing.gen, &text) < 0)
        ret = -ENOMEM;
    else if (ret == 0 && !quiet && strcmp(format, "json") == 0)
        puts(text);
    else if (ret == 0 && !quiet)
        print_table(&listing);
    free(listing.rows);
    arena_free(&listing.arena);
    return ret < 0;
}
