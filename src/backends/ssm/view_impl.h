/* The renderers, a file a family of formats: each appends to `out`, whose marks the caller checks, items in order. */
#ifndef SSM_VIEW_IMPL_H
#define SSM_VIEW_IMPL_H

#include "backends/ssm/view.h"

/* VIEW_ENV, _EXPORT, _DOTENV, _DOCKER, _TFVARS. ERR_INVAL, ERR_NOMEM. */
enum err_code view_vars(enum view_format format, const struct view_item *items, size_t n, struct buf *out,
                        struct err *e) MUST_CHECK;
/* VIEW_PROPERTIES, _CSV, _TSV. */
void view_rows(enum view_format format, const struct view_item *items, size_t n, struct buf *out);
void view_json(bool tree, const struct view_item *items, size_t n, struct buf *out);
void view_yaml(bool tree, const struct view_item *items, size_t n, struct buf *out);

/* The code point at `p` (UTF-8, checked before; `len` > 0) and its bytes. */
unsigned view_rune(const char *p, size_t len, size_t *bytes);

/*
 * Items of one level of a tree, walked in their order: each step is a name of this level, with what is there itself (a
 * value) and what is below it.
 */
struct view_level {
    const struct view_item *items;
    size_t n;
    size_t skip; /* bytes of the names that belong to the levels above */
};
struct view_node {
    const char *name;
    size_t len;
    const struct view_item *value; /* NULL: nothing but what is below */
    struct view_level below;       /* n 0: nothing */
};
/* False at the end. `at` is 0 in the beginning. */
bool view_level_next(const struct view_level *l, size_t *at, struct view_node *out);

/* The name, in a tree, of the value of what has others below it too: no parameter can be called so. */
#define VIEW_SELF "@self"

/* The next part of a list's value, between commas. `at` is 0 in the beginning. */
bool view_list_next(const struct view_item *item, size_t *at, const char **part, size_t *len);

#endif
