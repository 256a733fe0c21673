/* What an error says is legal for an option. */
#include "cli/option_table.h"

#include <string.h>

static void put_size(struct buf *b, uint64_t bytes)
{
    static const char units[] = "\0KMGT";
    int unit = 0;

    while (unit < 4 && bytes >= 1024 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    buf_addf(b, "%llu", (unsigned long long)bytes);
    if (unit)
        buf_add_char(b, units[unit]);
}

static void put_range(struct buf *b, const struct option_row *row, void (*put)(struct buf *b, uint64_t n))
{
    if (row->max == UINT64_MAX && !row->min)
        return;
    buf_add_str(b, ", from ");
    put(b, row->min);
    if (row->max != UINT64_MAX) {
        buf_add_str(b, " to ");
        put(b, row->max);
    }
}

static void put_number(struct buf *b, uint64_t n)
{
    buf_addf(b, "%llu", (unsigned long long)n);
}

static void put_duration(struct buf *b, uint64_t ms)
{
    buf_addf(b, ms % 1000 ? "%llums" : "%llus", (unsigned long long)(ms % 1000 ? ms : ms / 1000));
}

void option_choices(const struct option_row *row, const char *separator, struct buf *out)
{
    const char *between = "";

    for (const char *c = row->choices; *c;) {
        size_t n = strcspn(c, "|");
        if (!row->later || strlen(row->later) != n || memcmp(row->later, c, n) != 0) {
            buf_add_str(out, between);
            buf_add(out, c, n);
            between = separator;
        }
        c += n + (c[n] == '|');
    }
}

static void put_legal(struct buf *b, const struct option_row *row)
{
    switch (row->kind) {
    case OPTION_FLAG:
        buf_add_str(b, "yes or no, or no value");
        break;
    case OPTION_WORD:
    case OPTION_CHOICE:
        option_choices(row, ", ", b);
        break;
    case OPTION_SIZE:
        buf_add_str(b, "a whole number of bytes, or of K, M, G, T");
        put_range(b, row, put_size);
        break;
    case OPTION_DURATION:
        buf_add_str(b, "seconds (5 or 5s), 100ms, 2m, 1h");
        buf_add_str(b, row->max == UINT64_MAX ? ", inf" : "");
        put_range(b, row, put_duration);
        break;
    case OPTION_NUMBER:
        buf_add_str(b, "a whole number");
        put_range(b, row, put_number);
        break;
    case OPTION_MODE:
        buf_add_str(b, "octal permissions such as 0644, at most 0777");
        break;
    case OPTION_USER:
        buf_add_str(b, "a user's name or number");
        break;
    case OPTION_GROUP:
        buf_add_str(b, "a group's name or number");
        break;
    case OPTION_REGION:
        buf_add_str(b, "a region's name such as eu-west-1");
        break;
    default:
        buf_addf(b, "%s=%s", row->name, row->value ? row->value : "VALUE");
    }
}

enum err_code option_illegal(const struct option_row *row, const char *value, struct err *e)
{
    BUF(legal, 1024);

    put_legal(&legal, row);
    if (!value)
        return err_set(e, ERR_INVAL, "option %s needs a value: %s", row->name, buf_str(&legal));
    return err_set(e, ERR_INVAL, "option %s=%s: not legal; legal: %s", row->name, value, buf_str(&legal));
}
