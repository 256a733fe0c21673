#include "awsfs/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct check_row *next_row(struct check_report *r)
{
    struct check_row *row = &r->rows[r->n < CHECK_ROWS_MAX ? r->n++ : CHECK_ROWS_MAX - 1];

    memset(row, 0, sizeof(*row));
    return row;
}

struct check_row *check_add(struct check_report *r, enum check_kind kind, const char *what, enum check_verdict verdict,
                            const char *fmt, ...)
{
    struct check_row *row = next_row(r);
    struct err text;
    va_list ap;

    va_start(ap, fmt);
    err_vset(&text, ERR_OK, fmt, ap);
    va_end(ap);
    row->kind = kind;
    row->what = what;
    row->verdict = verdict;
    memcpy(row->detail, text.msg, sizeof(row->detail));
    return row;
}

struct check_row *check_add_permission(struct check_report *r, const char *what, enum check_verdict verdict,
                                       const char *action, enum check_on on)
{
    struct check_row *row = check_add(r, CHECK_PERMISSION, what, verdict, "%s", "");

    snprintf(row->action, sizeof(row->action), "%s", action);
    row->on = on;
    return row;
}

const struct check_row *check_find(const struct check_report *r, const char *what)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->rows[i].what, what) == 0)
            return &r->rows[i];
    return NULL;
}

bool check_works(const struct check_report *r, const struct check_row **why)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct check_row *row = &r->rows[i];
        bool stands_in_the_way = row->need == CHECK_REQUIRED
                                     ? row->verdict != CHECK_YES
                                     : row->need == CHECK_NOT_DENIED && row->verdict == CHECK_NO;
        if (!stands_in_the_way)
            continue;
        if (why)
            *why = row;
        return false;
    }
    return true;
}
