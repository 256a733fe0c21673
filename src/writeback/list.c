/*
 * Listings: pages of the inner store with what is unsent laid over them. What the table tells of a key is the truth, whatever the page
 * says; keys that it adds are shown with the page in whose range they lie.
 *
 * A token is "LENGTH:POSITION" and 'n' with the inner store's token of the next page, or 's' where the inner store is to begin behind
 * the position: what was shown last.
 */
#include "util/str.h"
#include "writeback/inside.h"

#include <stdio.h>
#include <string.h>

#define PAGE_MAX    1000
#define EMPTY_PAGES 10000 /* in succession, of which everything was removed */

struct page { /* the making of one */
    struct writeback *w;
    const struct store_list *asked;
    struct store_list inner;  /* what the inner store is asked */
    char *position;           /* behind which entries are shown; NULL: the asked start */
    struct reading reading;
    struct store_page from;   /* the inner store's */
    const char *end;          /* up to which, NULL: to the end */
    struct store_entry *added;
    size_t n_added, cap;
};

static void page_release(struct page *p)
{
    for (size_t k = 0; k < p->n_added; k++)
        free(p->added[k].key);
    free(p->added);
    free(p->position);
    store_page_release(&p->from);
}

/* ---- Which keys */

/* Bytes of the key that stand for it in this listing: a common prefix, or all of it. */
static size_t entry_len(const struct store_list *l, const char *key)
{
    const char *slash = l->delimiter ? strchr(key + strlen(l->prefix), '/') : NULL;
    return slash ? (size_t)(slash - key) + 1 : strlen(key);
}

static int compare(const char *a, size_t len, const char *b)
{
    size_t blen = strlen(b);
    int order = memcmp(a, b, len < blen ? len : blen);
    return order ? order : len < blen ? -1 : len > blen;
}

static bool is_behind_start(const struct page *p, const char *key, size_t len)
{
    const char *after = p->asked->token ? NULL : p->asked->start_after;
    if (p->position)
        return compare(key, len, p->position) > 0;
    return !after || (strcmp(key, after) > 0 && compare(key, len, after) != 0);
}

static bool unordered(const struct page *p)
{
    return p->w->inner_caps.flags & STORE_UNORDERED;
}

static bool in_range(const struct page *p, const char *key, size_t len)
{
    if (unordered(p))
        return !p->from.next && (p->position || is_behind_start(p, key, len));
    return is_behind_start(p, key, len) && (!p->end || compare(key, len, p->end) <= 0);
}

/* ---- What is unsent */

static bool is_group(const struct store_list *l, const char *key, size_t len)
{
    return l->delimiter && len > strlen(l->prefix) && key[len - 1] == '/';
}

static enum err_code add(struct page *p, const char *key, size_t len, const struct store_version *version, struct err *e)
{
    if (p->n_added && compare(key, len, p->added[p->n_added - 1].key) == 0)
        return ERR_OK;
    if (p->n_added == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 64;
        struct store_entry *grown = reallocarray(p->added, cap, sizeof(*grown));
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory");
        p->added = grown;
        p->cap = cap;
    }
    struct store_entry entry = {.key = str_ndup(key, len), .is_prefix = is_group(p->asked, key, len)};
    if (!entry.key)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!entry.is_prefix)
        entry.object.version = *version;
    p->added[p->n_added++] = entry;
    return ERR_OK;
}

/* As many as a page may have, and one. */
static enum err_code collect_locked(struct page *p, struct err *e)
{
    const char *prefix = p->asked->prefix;
    const char *from = p->position && strcmp(p->position, prefix) > 0 ? p->position : prefix;
    enum err_code code = ERR_OK;
    for (const struct node *n = node_from(p->w, from); !code && n && str_starts(n->key, prefix); n = n->next[0]) {
        struct store_version version;
        bool present;
        size_t len = entry_len(p->asked, n->key);
        if (p->end && !unordered(p) && compare(n->key, len, p->end) > 0)
            break;
        if (p->n_added > PAGE_MAX && !unordered(p))
            break;
        if (node_tells(n, p->reading.tick, &version, &present) && present && in_range(p, n->key, len))
            code = add(p, n->key, len, &version, e);
    }
    return code;
}

/* Where an empty page is. */
static const char *begin_of(const struct store_list *l)
{
    return !l->token && l->start_after ? l->start_after : "";
}

static unsigned count_removed(struct writeback *w, const char *prefix, uint64_t tick, bool *others)
{
    unsigned n_removed = 0;
    struct store_version version;
    bool present;
    LOCK_SCOPE(&w->lock);
    for (const struct node *n = node_from(w, prefix); n && str_starts(n->key, prefix) && n_removed < PAGE_MAX; n = n->next[0]) {
        if (!node_tells(n, tick, &version, &present))
            continue;
        n_removed += !present;
        *others |= present;
        if (present)
            break;
    }
    return n_removed;
}

/* ---- What the inner store tells */

static bool all_removed(struct page *p, const struct store_page *page)
{
    struct store_version version;
    bool present;
    LOCK_SCOPE(&p->w->lock);
    for (size_t k = 0; k < page->n; k++) {
        const struct node *n = node_find(p->w, page->entries[k].key);
        if (!n || !node_tells(n, p->reading.tick, &version, &present) || present)
            return false;
    }
    return true;
}

/* A common prefix below which something was removed: whether anything is left. */
static enum err_code is_left(struct page *p, const char *prefix, const struct store_call *call, bool *left, struct err *e)
{
    bool others = false;
    unsigned n_removed = count_removed(p->w, prefix, p->reading.tick, &others);
    *left = true;
    if (others || !n_removed)
        return ERR_OK;
    CLEANUP(free) char *token = NULL;
    do {
        CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
        struct store_list l = {.prefix = prefix, .token = token, .max_keys = n_removed < PAGE_MAX ? n_removed + 1 : PAGE_MAX};
        enum err_code code = store_list(p->w->inner, &l, call, &page, e);
        if (code)
            return code;
        if (!all_removed(p, &page))
            return ERR_OK;
        free(token);
        token = TAKE(page.next);
    } while (token);
    *left = false;
    return ERR_OK;
}

static void entry_drop(struct store_entry *entry)
{
    free(entry->key);
    store_object_release(&entry->object);
    *entry = (struct store_entry){0};
}

static enum err_code keep_entry(struct page *p, struct store_entry *entry, const struct store_call *call, bool *keep, struct err *e)
{
    size_t len = strlen(entry->key);
    *keep = !p->position || p->inner.token || unordered(p) || compare(entry->key, len, p->position) > 0;
    if (!*keep)
        return ERR_OK;
    if (entry->is_prefix)
        return is_left(p, entry->key, call, keep, e);
    struct store_version version;
    bool present;
    LOCK_SCOPE(&p->w->lock);
    const struct node *n = node_find(p->w, entry->key);
    *keep = !n || !node_tells(n, p->reading.tick, &version, &present);
    const char *told = *keep ? alias_told(p->w, entry->key, entry->object.version.etag) : NULL;
    if (told && told != entry->object.version.etag) {
        size_t told_len = strnlen(told, STORE_ETAG_SIZE - 1);
        memmove(entry->object.version.etag, told, told_len);
        entry->object.version.etag[told_len] = 0;
    }
    return ERR_OK;
}

static enum err_code filter(struct page *p, const struct store_call *call, struct err *e)
{
    size_t kept = 0;
    enum err_code code = ERR_OK;
    for (size_t k = 0; k < p->from.n; k++) {
        struct store_entry *entry = &p->from.entries[k];
        bool keep = true;
        if (!code)
            code = keep_entry(p, entry, call, &keep, e);
        if (keep)
            p->from.entries[kept++] = *entry;
        else
            entry_drop(entry);
    }
    p->from.n = kept;
    return code;
}

/* ---- One page */

static enum err_code token_of(const char *position, char kind, const char *inner, char **out, struct err *e)
{
    *out = str_printf("%zu:%s%c%s", strlen(position), position, kind, inner);
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code token_read(struct page *p, const char *token, struct err *e)
{
    char *rest;
    unsigned long long len = strtoull(token, &rest, 10);
    if (*rest != ':' || len >= strlen(rest + 1))
        return err_set(e, ERR_INVAL, "a listing's token is not one of ours");
    p->position = str_ndup(rest + 1, (size_t)len);
    if (!p->position)
        return err_set(e, ERR_NOMEM, "out of memory");
    rest += 1 + len;
    p->inner.token = *rest == 'n' ? rest + 1 : NULL;
    p->inner.start_after = *rest == 's' ? p->position : NULL;
    return ERR_OK;
}

static enum err_code merge(struct page *p, struct store_page *out, struct err *e)
{
    size_t max = p->asked->max_keys && p->asked->max_keys < PAGE_MAX ? p->asked->max_keys : PAGE_MAX;
    size_t n = 0, a = 0, b = 0;
    struct store_entry *all = calloc(p->from.n + p->n_added + 1, sizeof(*all));
    if (!all)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (a < p->from.n || b < p->n_added) {
        int order = a == p->from.n ? 1 : b == p->n_added ? -1 : strcmp(p->from.entries[a].key, p->added[b].key);
        if (order == 0)
            entry_drop(&p->added[b++]); /* a common prefix that the inner store has too */
        struct store_entry *next = order <= 0 ? &p->from.entries[a++] : &p->added[b++];
        all[n++] = *next;
        *next = (struct store_entry){0};
    }
    out->entries = all;
    out->n = n;
    bool cut = n > max && (p->w->inner_caps.flags & STORE_START_AFTER) && !unordered(p) && p->n_added;
    if (cut) {
        while (out->n > max)
            entry_drop(&all[--out->n]);
        return token_of(all[max - 1].key, 's', "", &out->next, e);
    }
    return p->from.next ? token_of(p->end, 'n', p->from.next, &out->next, e) : ERR_OK;
}

/* A page of the inner store and what belongs to it. */
static enum err_code make_page(struct page *p, const struct store_call *call, struct store_page *out, struct err *e)
{
    enum err_code code = store_list(p->w->inner, &p->inner, call, &p->from, e);
    if (code)
        return code;
    const char *last = p->from.n ? p->from.entries[p->from.n - 1].key : p->position ? p->position : begin_of(p->asked);
    CLEANUP(free) char *end = p->from.next ? strdup(last) : NULL;
    if (p->from.next && !end)
        return err_set(e, ERR_NOMEM, "out of memory");
    p->end = end;
    code = filter(p, call, e);
    if (!code) {
        LOCK_SCOPE(&p->w->lock);
        code = collect_locked(p, e);
    }
    if (!code)
        code = merge(p, out, e);
    p->end = NULL;
    return code;
}

static unsigned more_keys(struct page *p)
{
    bool others = false;
    unsigned n = p->asked->max_keys;
    if (n)
        n += count_removed(p->w, p->asked->prefix, p->reading.tick, &others);
    return n < PAGE_MAX ? n : PAGE_MAX;
}

static enum err_code list(struct writeback *w, const struct store_list *l, const struct reading *reading, const struct store_call *call,
                          struct store_page *out, struct err *e)
{
    CLEANUP_RELEASE(page_release) struct page p = {.w = w, .asked = l, .inner = *l, .reading = *reading};
    p.inner.wanted = NULL; /* what is unsent may say otherwise */
    enum err_code code = l->token ? token_read(&p, l->token, e) : ERR_OK;
    if (code)
        return code;
    p.inner.max_keys = more_keys(&p);
    code = make_page(&p, call, out, e);
    if (code)
        store_page_release(out);
    return code;
}

/* The first level of containers is not ours. */
static bool is_plain(struct writeback *w, const struct store_list *l)
{
    LOCK_SCOPE(&w->lock);
    bool nothing = !w->first[0] && !map_size(w->aliases) && !l->token;
    return nothing || ((w->inner_caps.flags & STORE_CONTAINERS) && !strchr(l->prefix, '/'));
}

static enum err_code list_plain(struct writeback *w, const struct store_list *l, const struct store_call *call, struct store_page *out,
                                struct err *e)
{
    enum err_code code = store_list(w->inner, l, call, out, e);
    if (code || !out->next || (w->inner_caps.flags & STORE_CONTAINERS && !strchr(l->prefix, '/')))
        return code;
    CLEANUP(free) char *inner = TAKE(out->next);
    code = token_of(out->n ? out->entries[out->n - 1].key : begin_of(l), 'n', inner, &out->next, e);
    if (code)
        store_page_release(out);
    return code;
}

enum err_code wb_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out, struct err *e)
{
    struct writeback *w = impl;
    struct reading reading;
    struct store_list at = *l;
    CLEANUP(free) char *token = NULL;
    enum err_code code = ERR_OK;
    reading_begin(w, &reading);
    for (int k = 0; !code && k < EMPTY_PAGES; k++) {
        code = is_plain(w, &at) ? list_plain(w, &at, call, out, e) : list(w, &at, &reading, call, out, e);
        if (code || out->n || !out->next || (call && call->cancel && cancel_fired(call->cancel)))
            break;
        free(token);
        at.token = token = TAKE(out->next);
        store_page_release(out);
    }
    reading_end(w, &reading);
    return code;
}
