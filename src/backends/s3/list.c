#include "backends/s3/impl.h"
#include "backends/s3/xml_list.h"
#include "store/walk.h"
#include "store/wanted.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 8 << 20, MAX_KEYS = 1000 };

/* A key that a listing behind `after` does not have. A common prefix that `after` is inside of is no such key: servers
 * differ in whether they list it. */
static bool is_before(const struct store_entry *entry, const char *after)
{
    if (entry->is_prefix && str_starts(after, entry->key))
        return false;
    return strcmp(entry->key, after) <= 0;
}

struct waited_for {
    const struct s3_store *s;
    const struct store_list *list;
};

/* True once it was told, or cannot be. */
static bool find_wanted(void *arg, const char *body, size_t len)
{
    const struct waited_for *w = arg;
    const struct store_list *l = w->list;
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    if (s3_list_parse_beginning(body, len, w->s->prefix, &page, NULL) != ERR_OK || page.n == 0)
        return false;
    bool wrong = l->start_after != NULL && l->token == NULL && is_before(&page.entries[0], l->start_after);
    bool over = wrong;
    const struct store_object *object = wrong ? NULL : store_wanted(l->wanted, page.entries, page.n, &over);
    if (object != NULL)
        l->found(l->found_arg, object);
    return over;
}

/* One request, without start_after where `whole`. */
static enum err_code list_page(struct s3_store *s, const struct store_list *l, bool whole,
                               const struct store_call *call, struct store_page *out, struct err *e)
{
    PARAMS(query);
    params_add(&query, "list-type", "2");
    /* Keys may hold characters that XML cannot. */
    params_add(&query, "encoding-type", "url");
    params_addf(&query, "prefix", "%s%s", s->prefix, l->prefix);
    if (l->delimiter)
        params_add(&query, "delimiter", "/");
    if (l->max_keys > 0 && l->max_keys < MAX_KEYS)
        params_addf(&query, "max-keys", "%u", l->max_keys);
    if (l->token != NULL)
        params_add(&query, "continuation-token", l->token);
    else if (l->start_after != NULL && !whole)
        params_addf(&query, "start-after", "%s%s", s->prefix, l->start_after);
    enum err_code code = params_check(&query, "ListObjectsV2", e);
    if (code != ERR_OK)
        return code;
    S3_ANSWER(a);
    struct waited_for wanted = {s, l};
    const struct s3_watch watch = {.so_far = find_wanted, .arg = &wanted};
    const struct s3_request r = {.method = HTTP_GET,
                                 .what = "ListObjectsV2",
                                 .query = params_list(&query),
                                 .call = call,
                                 .watch = l->wanted != NULL && !l->delimiter && !whole ? &watch : NULL,
                                 .reply_max = PAGE_BYTES};
    code = s3_call(s, &r, &a, e);
    if (a.status != 0)
        s3_traits_met(s->traits, params_get(&a.headers, "server"));
    /* A listing of nothing is an empty one: a 404 here says something else. */
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_IO, "ListObjectsV2: HTTP %d %s: no such bucket?", a.status, a.code);
    if (code == ERR_OK)
        code = s3_list_parse(buf_str(&a.body), a.body.len, s->prefix, out, e);
    return code;
}

/* Takes the entries away that are not behind `after`. */
static void drop_before(struct store_page *page, const char *after)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->n; i++) {
        if (is_before(&page->entries[i], after))
            free(page->entries[i].key);
        else
            page->entries[kept++] = page->entries[i];
    }
    page->n = kept;
}

/* On a server that cannot begin a listing at a key: the pages before it are read and left out. */
static enum err_code list_up_to(struct s3_store *s, const struct store_list *l, const struct store_call *call,
                                struct store_page *page, struct err *e)
{
    struct store_list next = *l;
    CLEANUP(free) char *token = NULL;
    struct store_walk walk = {0};
    next.max_keys = 0;
    for (;;) {
        enum err_code code = list_page(s, &next, true, call, page, e);
        if (code != ERR_OK)
            return code;
        bool brought = page->n > 0;
        drop_before(page, l->start_after);
        if (page->n > 0 || page->next == NULL)
            return ERR_OK;
        if (token != NULL && strcmp(token, page->next) == 0)
            code = err_set(e, ERR_PROTO, "ListObjectsV2: the listing does not move on");
        else
            code = store_walk_on(&walk, l->prefix, brought, e);
        if (code != ERR_OK) {
            store_page_release(page);
            return code;
        }
        free(token);
        next.token = token = TAKE(page->next);
        store_page_release(page);
    }
}

static enum err_code list_behind(struct s3_store *s, const struct store_list *l, const struct store_call *call,
                                 struct store_page *page, struct err *e)
{
    if (l->direct)
        return err_set(e, ERR_UNSUPPORTED, "ListObjectsV2: this server cannot begin a listing at a key");
    return list_up_to(s, l, call, page, e);
}

enum err_code s3_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                      struct err *e)
{
    struct s3_store *s = impl;
    struct store_page page = {0};
    struct err local = ERR_INIT;
    bool placed = l->start_after != NULL && l->token == NULL;
    enum s3_verdict known = s3_traits_get(s->traits, S3_START_AFTER);
    enum err_code code;
    if (placed && (known == S3_IGNORES || known == S3_REFUSES)) {
        code = list_behind(s, l, call, &page, &local);
    } else {
        code = list_page(s, l, false, call, &page, &local);
        bool wrong =
            code == ERR_OK && page.n > 0 && is_before(&page.entries[0], l->start_after != NULL ? l->start_after : "");
        if (placed && (wrong || code == ERR_UNSUPPORTED)) {
            s3_traits_set(s->traits, S3_START_AFTER, wrong ? S3_IGNORES : S3_REFUSES, false);
            store_page_release(&page);
            local = (struct err)ERR_INIT;
            code = list_behind(s, l, call, &page, &local);
        }
    }
    if (code != ERR_OK)
        return err_copy(e, &local);
    *out = page;
    return ERR_OK;
}
