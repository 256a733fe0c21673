#include "backends/ssm/view_impl.h"

#include "util/str.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum view_format format;
    bool tree;
} views[] = {
    {"env", VIEW_ENV, false},       {"export", VIEW_EXPORT, false},   {"dotenv", VIEW_DOTENV, false},
    {"docker", VIEW_DOCKER, false}, {"tfvars", VIEW_TFVARS, false},   {"json", VIEW_JSON, false},
    {"tree.json", VIEW_JSON, true}, {"yaml", VIEW_YAML, false},       {"tree.yaml", VIEW_YAML, true},
    {"csv", VIEW_CSV, false},       {"properties", VIEW_PROPERTIES, false}, {"tsv", VIEW_TSV, false},
};

bool view_parse(const char *name, struct view *out)
{
    if (name[0] != '@')
        return false;
    const char *at = strchr(name + 1, '@');
    size_t len = at ? (size_t)(at - name) - 1 : strlen(name + 1);
    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        if (strlen(views[i].name) != len || memcmp(views[i].name, name + 1, len) != 0)
            continue;
        *out = (struct view){.format = views[i].format, .tree = views[i].tree, .selector = at ? at + 1 : NULL};
        return true;
    }
    return false;
}

unsigned view_rune(const char *p, size_t len, size_t *bytes)
{
    unsigned char c = (unsigned char)p[0];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    *bytes = n <= len ? n : len;
    unsigned rune = n == 1 ? c : c & (0xffu >> (n + 1));
    for (size_t i = 1; i < *bytes; i++)
        rune = rune << 6 | ((unsigned char)p[i] & 0x3f);
    return rune;
}

/* By components: what is below a name stands right behind it. */
static int compare(const void *a, const void *b)
{
    const char *x = ((const struct view_item *)a)->name, *y = ((const struct view_item *)b)->name;
    while (*x == *y && *x) {
        x++;
        y++;
    }
    int cx = *x == '/' ? 1 : (unsigned char)*x, cy = *y == '/' ? 1 : (unsigned char)*y;
    return cx - cy;
}

bool view_level_next(const struct view_level *l, size_t *at, struct view_node *out)
{
    if (*at >= l->n)
        return false;
    const char *name = l->items[*at].name + l->skip;
    size_t len = strcspn(name, "/");
    *out = (struct view_node){.name = name, .len = len};
    if (name[len] == '\0')
        out->value = &l->items[(*at)++];
    size_t begin = *at;
    while (*at < l->n && strncmp(l->items[*at].name + l->skip, name, len) == 0 &&
           l->items[*at].name[l->skip + len] == '/')
        (*at)++;
    out->below = (struct view_level){l->items + begin, *at - begin, l->skip + len + 1};
    return true;
}

bool view_list_next(const struct view_item *item, size_t *at, const char **part, size_t *len)
{
    if (*at > item->len)
        return false;
    const char *comma = memchr(item->value + *at, ',', item->len - *at);
    *part = item->value + *at;
    *len = comma ? (size_t)(comma - *part) : item->len - *at;
    *at += *len + 1;
    return true;
}

enum err_code view_render(const struct view *v, struct view_item *items, size_t n, struct buf *out, struct err *e)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += items[i].len;
    if (bytes > VIEW_VALUES_MAX)
        return err_set(e, ERR_TOO_BIG, "values of %llu bytes, a view takes %u", (unsigned long long)bytes,
                       VIEW_VALUES_MAX);
    if (n > 0)
        qsort(items, n, sizeof(*items), compare);
    enum err_code code = ERR_OK;
    switch (v->format) {
    case VIEW_JSON:
        view_json(v->tree, items, n, out);
        break;
    case VIEW_YAML:
        view_yaml(v->tree, items, n, out);
        break;
    case VIEW_PROPERTIES:
    case VIEW_CSV:
    case VIEW_TSV:
        view_rows(v->format, items, n, out);
        break;
    default:
        code = view_vars(v->format, items, n, out, e);
    }
    return code == ERR_OK ? buf_check(out, "view", e) : code;
}
