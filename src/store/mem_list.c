/*
 * Listing of the in-memory store. A token is the last entry of the page before: what is behind it follows, and when it
 * was a common prefix, so is what is behind that whole prefix. That of an empty page a test asked for is EMPTY_MARK, a number, ':'
 * and the token that page was asked with.
 */
#include "store/mem_impl.h"
#include "store/wanted.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY_MARK '\x01'

/* The length of the common prefix that `key` belongs to, 0 if it stands for itself. */
static size_t group_len(const struct store_list *l, const char *key)
{
    if (!l->delimiter)
        return 0;
    const char *slash = strchr(key + strlen(l->prefix), '/');
    return slash != NULL ? (size_t)(slash - key) + 1 : 0;
}

static size_t skip_group_locked(const struct mem_store *m, size_t at, const char *group, size_t len)
{
    while (at < m->n_objects && strncmp(m->objects[at]->key, group, len) == 0)
        at++;
    return at;
}

/* The token without what empty pages made of it; NULL: from the beginning. */
static const char *plain_token(const struct store_list *l)
{
    if (l->token == NULL || *l->token != EMPTY_MARK)
        return l->token;
    const char *rest = strchr(l->token, ':') + 1;
    return *rest != 0 ? rest : NULL;
}

static enum err_code empty_locked(struct mem_store *m, const struct store_list *l, struct store_page *p, struct err *e)
{
    const char *token = plain_token(l);
    if (asprintf(&p->next, "%c%u:%s", EMPTY_MARK, m->empty_pages, token != NULL ? token : "") < 0) {
        p->next = NULL;
        return err_set(e, ERR_NOMEM, "listing");
    }
    m->empty_pages--;
    return ERR_OK;
}

static size_t first_locked(const struct mem_store *m, const struct store_list *l)
{
    const char *token = plain_token(l), *after = token != NULL ? token : l->start_after;
    if (after == NULL || strcmp(after, l->prefix) < 0)
        return mem_lower_bound_locked(m, l->prefix);
    size_t at = mem_lower_bound_locked(m, after);
    if (at < m->n_objects && strcmp(m->objects[at]->key, after) == 0)
        at++;
    size_t len = strlen(after);
    if (str_starts(after, l->prefix) && len > 0 && group_len(l, after) == len)
        at = skip_group_locked(m, at, after, len);
    return at;
}

static enum err_code add_locked(const struct mem_store *m, const struct mem_object *o, size_t group,
                                struct store_page *p, struct err *e)
{
    struct store_entry *entry = &p->entries[p->n];
    entry->key = group > 0 ? str_ndup(o->key, group) : strdup(o->key);
    if (entry->key == NULL)
        return err_set(e, ERR_NOMEM, "listing");
    p->n++;
    entry->is_prefix = group > 0;
    if (group > 0)
        return ERR_OK;
    return mem_tell_locked(m, o, (m->caps.flags & STORE_LIST_CONTENT) != 0, &entry->object, e);
}

static enum err_code fill_locked(const struct mem_store *m, const struct store_list *l, unsigned max,
                                 struct store_page *p, struct err *e)
{
    p->entries = calloc(max, sizeof(*p->entries));
    if (p->entries == NULL)
        return err_set(e, ERR_NOMEM, "listing");
    size_t at = first_locked(m, l);
    while (at < m->n_objects && p->n < max && str_starts(m->objects[at]->key, l->prefix)) {
        size_t group = group_len(l, m->objects[at]->key);
        enum err_code code = add_locked(m, m->objects[at], group, p, e);
        if (code != ERR_OK)
            return code;
        at = group > 0 ? skip_group_locked(m, at, p->entries[p->n - 1].key, group) : at + 1;
    }
    bool more = at < m->n_objects && str_starts(m->objects[at]->key, l->prefix);
    if (more && (p->next = strdup(p->entries[p->n - 1].key)) == NULL)
        return err_set(e, ERR_NOMEM, "listing");
    return ERR_OK;
}

enum err_code mem_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                       struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_LIST, .key = l->prefix};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    lock_take(&m->lock);
    unsigned max = m->options.page_size;
    if (l->max_keys > 0 && l->max_keys < max)
        max = l->max_keys;
    code = m->empty_pages > 0 ? empty_locked(m, l, &page, e) : fill_locked(m, l, max, &page, e);
    lock_drop(&m->lock);
    const struct store_object *wanted = code == ERR_OK && l->wanted != NULL && !l->delimiter
                                            ? store_wanted(l->wanted, page.entries, page.n, NULL)
                                            : NULL;
    if (wanted != NULL)
        l->found(l->found_arg, wanted);
    if (code == ERR_OK)
        code = mem_notify(m, &ev, MEM_AFTER, e);
    if (code == ERR_OK) {
        *out = page;
        memset(&page, 0, sizeof(page));
    }
    return code;
}
