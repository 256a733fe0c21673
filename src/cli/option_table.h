/* One row for each option. Private to the option parser. */
#ifndef CLI_OPTION_TABLE_H
#define CLI_OPTION_TABLE_H

#include "cli/options.h"

#include <stddef.h>

enum option_kind {
    OPTION_FLAG,     /* bool: no value, or yes/no */
    OPTION_TEXT,     /* char * */
    OPTION_PATH,     /* char *, made absolute unless it is the row's word */
    OPTION_URL,      /* char *, http or https */
    OPTION_REGION,   /* char * */
    OPTION_WORD,     /* char *, one of the choices */
    OPTION_CHOICE,   /* int: index of the choice */
    OPTION_SIZE,     /* uint64_t, bytes */
    OPTION_DURATION, /* uint64_t, milliseconds */
    OPTION_NUMBER,   /* uint64_t */
    OPTION_MODE,     /* uint64_t, octal */
    OPTION_USER,     /* uint64_t, number or name */
    OPTION_GROUP,
    OPTION_IGNORED,  /* mount(8) and systemd use it among themselves */
};

enum option_scope { FOR_ALL, FOR_S3, FOR_SSM };

struct option_row {
    const char *name;
    enum option_kind kind;
    size_t offset;          /* in struct options */
    enum option_scope scope;
    const char *choices;    /* "a|b|c", in the order of the enum */
    const char *later;      /* a choice that is known but not available in this version */
    uint64_t min, max;
    const char *value;      /* what stands for the value in the help: "URL"; NULL for flags and choices */
    const char *word;       /* a value that is no path; NULL: none is */
    const char *preset;     /* default, as written; NULL: none */
    const char *help;       /* NULL: not listed in the help */
};

/* The table; its size is put into *n. Constant. */
const struct option_row *option_table(size_t *n);

/* The row with that name, or NULL. */
const struct option_row *option_find(const char *name);

/* The row that somebody who wrote this unknown name may have meant; NULL: none comes near. */
const struct option_row *option_nearest(const char *name);

/* Parses `value` for the row into `o`. ERR_INVAL with what is legal, ERR_NOMEM. */
enum err_code option_store(struct options *o, const struct option_row *row, const char *value, struct err *e) MUST_CHECK;

/* ERR_INVAL that names the option, its value (NULL: it has none) and what is legal. */
enum err_code option_illegal(const struct option_row *row, const char *value, struct err *e);

/* Appends the row's choices that this version has. */
void option_choices(const struct option_row *row, const char *separator, struct buf *out);

#endif
