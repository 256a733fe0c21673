#include "backends/s3/params.h"

#include "util/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAIRS_MAX = 256, NAME_MAX_BYTES = 256, BYTES_MAX = 128 * 1024 };

static bool has_room(struct params *p, const char *name, const char *value)
{
    size_t size = strlen(name) + (value != NULL ? strlen(value) : 0);
    if (p->failed != ERR_OK)
        return false;
    if (strlen(name) > NAME_MAX_BYTES || p->n >= PAIRS_MAX || size > BYTES_MAX - p->bytes) {
        p->failed = ERR_TOO_BIG;
        return false;
    }
    if (p->n + 1 >= p->cap) {
        size_t cap = p->cap > 0 ? p->cap * 2 : 16;
        struct aws_param *more = realloc(p->items, cap * sizeof(*more));
        if (more == NULL) {
            p->failed = ERR_NOMEM;
            return false;
        }
        p->items = more;
        p->cap = cap;
    }
    p->bytes += size;
    return true;
}

void params_add(struct params *p, const char *name, const char *value)
{
    if (!has_room(p, name, value))
        return;
    char *own_name = strdup(name), *own_value = value != NULL ? strdup(value) : NULL;
    if (own_name == NULL || (value != NULL && own_value == NULL)) {
        free(own_name);
        free(own_value);
        p->failed = ERR_NOMEM;
        return;
    }
    p->items[p->n++] = (struct aws_param){own_name, own_value};
    p->items[p->n] = (struct aws_param){NULL, NULL};
}

void params_addf(struct params *p, const char *name, const char *fmt, ...)
{
    char *value = NULL;
    va_list ap;
    va_start(ap, fmt);
    int len = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (len < 0) {
        p->failed = ERR_NOMEM;
        return;
    }
    params_add(p, name, value);
    free(value);
}

const char *params_get(const struct params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (str_ieq(p->items[i].name, name))
            return p->items[i].value;
    return NULL;
}

const struct aws_param *params_list(const struct params *p)
{
    static const struct aws_param none[1];
    return p->n > 0 ? p->items : none;
}

enum err_code params_check(const struct params *p, const char *what, struct err *e)
{
    if (p->failed == ERR_OK)
        return ERR_OK;
    return err_set(e, p->failed, "%s: %s", what, p->failed == ERR_NOMEM ? "no memory" : "too much metadata");
}

void params_release(struct params *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free((char *)p->items[i].name);
        free((char *)p->items[i].value);
    }
    free(p->items);
    memset(p, 0, sizeof(*p));
}
