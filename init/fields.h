/* Fields to members of a struct: tables say which, one function walks them. */
#ifndef VMRT_INIT_FIELDS_H
#define VMRT_INIT_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "init/protocol.h"

/* Items of one kind, in the order of the message. */
struct list {
    void *items;
    size_t count;
};

#define LIST_AT(list, type, index) (&((type *)(list).items)[index])

/* Appends a zeroed item of @size bytes. Return: the item, or NULL without memory. */
void *list_append(struct list *list, size_t size);

/* The strings as an array that ends with NULL, as execve(2) takes it; NULL without memory. */
char **list_finish(struct list *list);

/* Return: 0, -EPROTO for a field that is not what @member takes, -EINVAL, or -ENOMEM. */
typedef int field_parser(void *member, const struct protocol_field *field);

struct field_rule {
    uint16_t tag;
    field_parser *parse;
    size_t offset;  /* of the member that is filled in */
    size_t present; /* offset of a bool that is set; 0: none */
};

/**
 * fields_parse() - fill in @object from the fields that have a rule; others are passed over.
 * @culprit: the tag of the field that was refused; untouched when the fields themselves are
 *           malformed.
 * Return: 0, -EPROTO, or what the field's parser said.
 */
int fields_parse(struct protocol_reader reader, const struct field_rule *rules, size_t rule_count,
                 void *object, uint16_t *culprit);

#define FIELDS_PARSE(reader, rules, object, culprit) \
    fields_parse(reader, rules, sizeof(rules) / sizeof((rules)[0]), object, culprit)

/* Parsers for members of the types they are named after; each is a field_parser. */
int parse_u64(void *member, const struct protocol_field *field);
int parse_u32(void *member, const struct protocol_field *field);
int parse_u16(void *member, const struct protocol_field *field);
int parse_flag(void *member, const struct protocol_field *field);   /* bool */
int parse_string(void *member, const struct protocol_field *field); /* const char *: in place */
int parse_string_item(void *member, const struct protocol_field *field); /* struct list of them */
int parse_bytes(void *member, const struct protocol_field *field);       /* protocol_reader */

#endif
