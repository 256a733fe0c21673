/* Names made of others, for tests: "x@y" is an object of its own, "@all" and "@tree" are views: a line "KEY=CONTENT" an object, in
 * order. A content that begins with '!' has no place in them. */
#include "store/mem_impl.h"
#include "util/buf.h"
#include "util/secret.h"

#include <stdlib.h>
#include <string.h>

#define VIEW_MAX (1 << 20)

enum store_form mem_form(void *impl, const char *key)
{
    const char *slash = strrchr(key, '/'), *name = slash ? slash + 1 : key;
    if (strcmp(name, "@all") == 0)
        return STORE_FORM_VIEW;
    if (strcmp(name, "@tree") == 0)
        return STORE_FORM_TREE_VIEW;
    return name[0] != '@' && strchr(name, '@') ? STORE_FORM_OBJECT : STORE_FORM_PLAIN;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct store_view_item *const *)a)->key, (*(const struct store_view_item *const *)b)->key);
}

enum err_code mem_view(void *impl, const char *key, const struct store_view_item *items, size_t n,
                       const struct store_call *call, struct store_object *out, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_VIEW, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    CLEANUP(free) const struct store_view_item **sorted = calloc(n + 1, sizeof(struct store_view_item *));
    BUF_SECRET(text, VIEW_MAX);
    if (sorted == NULL)
        return err_set(e, ERR_NOMEM, "view");
    for (size_t i = 0; i < n; i++)
        sorted[i] = &items[i];
    qsort(sorted, n, sizeof(struct store_view_item *), by_key);
    for (size_t i = 0; i < n; i++) {
        if (sorted[i]->version.size > 0 && sorted[i]->content[0] == '!')
            return err_set(e, ERR_INVAL, "%s has no place in a view", sorted[i]->key);
        buf_addf(&text, "%s=", sorted[i]->key);
        buf_add(&text, sorted[i]->content, sorted[i]->version.size);
        buf_add_char(&text, '\n');
    }
    code = buf_check(&text, "view", e);
    size_t len = text.len;
    if (code != ERR_OK)
        return code;
    char *content = len > 0 ? buf_take(&text) : secret_alloc(1);
    if (content == NULL)
        return err_set(e, ERR_NOMEM, "view");
    *out = (struct store_object){.version = {.size = len}, .content = content};
    return ERR_OK;
}
