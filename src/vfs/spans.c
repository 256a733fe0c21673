#include "vfs/spans.h"

#include "store/meta.h"
#include "vfs/split.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_A_SPAN 5   /* that have come, for each range that is listed at once */
#define PAGES_A_CUT   4   /* and for each cut */
#define WORTH_PAGES   2   /* that seem to be left in a range */
#define SAMPLE_STEP   16  /* names for one that the alphabet is told */

TAILQ_HEAD(span_list, span);

struct spans {
    char *prefix;
    size_t prefix_len, longest;
    struct span_list list;
    struct alphabet alphabet;
    uint64_t pages, names, cuts;
    unsigned open, taken;
    bool may_cut;
    bool placed;    /* a range that began at a key has brought a page */
};

static void span_free(struct span *x)
{
    if (!x)
        return;
    free(x->after);
    free(x->end);
    free(x->first);
    free(x->last);
    free(x->token);
    free(x);
}

struct spans *spans_new(const char *prefix, bool cut)
{
    struct spans *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    TAILQ_INIT(&r->list);
    r->may_cut = cut;
    r->open = 1;
    struct span *x = calloc(1, sizeof(*x));
    if (x)
        TAILQ_INSERT_TAIL(&r->list, x, link);
    r->prefix = strdup(prefix);
    if (!x || !r->prefix) {
        spans_free(r);
        return NULL;
    }
    r->prefix_len = strlen(prefix);
    return r;
}

void spans_free(struct spans *r)
{
    if (!r)
        return;
    for (struct span *x; (x = TAILQ_FIRST(&r->list));) {
        TAILQ_REMOVE(&r->list, x, link);
        span_free(x);
    }
    free(r->prefix);
    free(r);
}

struct span *spans_first(struct spans *r)
{
    return TAILQ_FIRST(&r->list);
}

struct span *spans_next(const struct span *x)
{
    return TAILQ_NEXT(x, link);
}

struct span *spans_before(struct span *x)
{
    return TAILQ_PREV(x, span_list, link);
}

bool spans_done(const struct spans *r)
{
    return r->open == 0;
}

uint64_t spans_pages(const struct spans *r)
{
    return r->pages;
}

/* ---- Cutting */

/* Names that seem to be left, if they stand as dense as those that came last. */
static double left_in(const struct spans *r, const struct span *x)
{
    if (x->state != SPAN_TAKEN || !x->last || x->names == 0)
        return 0;
    double part = split_part(&r->alphabet, x->first, x->end, x->last);
    return part > 0 ? (double)x->n * (1 - part) / part : 1e18;
}

static struct span *longest(const struct spans *r)
{
    struct span *best = NULL;
    double most = r->pages ? WORTH_PAGES * (double)r->names / (double)r->pages : 0;
    for (struct span *x = TAILQ_FIRST(&r->list); x; x = TAILQ_NEXT(x, link)) {
        double left = left_in(r, x);
        if (left > most) {
            best = x;
            most = left;
        }
    }
    return best;
}

/* Whether server and directory have shown that it pays. One cut comes first, by itself: not every server can begin at a key. */
static bool may_cut(const struct spans *r)
{
    if (!r->may_cut || r->pages < SPANS_SERIAL || (r->cuts > 0 && !r->placed))
        return false;
    uint64_t at_once = r->pages / PAGES_A_SPAN < SPANS_MAX ? r->pages / PAGES_A_SPAN : SPANS_MAX;
    return r->taken < at_once && r->cuts < r->pages / PAGES_A_CUT;
}

static struct span *cut(struct spans *r, struct span *x)
{
    char key[SPLIT_KEY_MAX + 1];
    if (!x || !split_between(&r->alphabet, x->last, x->end, key))
        return NULL;
    struct span *made = calloc(1, sizeof(*made));
    char *after = strdup(key), *end = strdup(key);
    if (!made || !after || !end) {
        free(made);
        free(after);
        free(end);
        return NULL;
    }
    made->after = after;
    made->end = x->end;
    x->end = end;
    TAILQ_INSERT_AFTER(&r->list, x, made, link);
    r->cuts++;
    r->open++;
    if (strlen(key) > r->longest)
        r->longest = strlen(key);
    return made;
}

struct span *spans_take(struct spans *r, struct span **cut_from)
{
    *cut_from = NULL;
    struct span *x = TAILQ_FIRST(&r->list);
    while (x && x->state != SPAN_WAITS)
        x = TAILQ_NEXT(x, link);
    if (!x && may_cut(r)) {
        struct span *from = longest(r);
        x = cut(r, from);
        *cut_from = x ? from : NULL;
    }
    if (!x)
        return NULL;
    x->state = SPAN_TAKEN;
    r->taken++;
    return x;
}

/* The range before it goes on over its keys. */
static void join(struct spans *r, struct span *x)
{
    struct span *before = TAILQ_PREV(x, span_list, link);
    assert(before && before->state != SPAN_DONE && x->pages == 0);
    free(before->end);
    before->end = x->end;
    x->end = NULL;
    TAILQ_REMOVE(&r->list, x, link);
    r->taken -= x->state == SPAN_TAKEN;
    r->open--;
    span_free(x);
}

bool spans_put_back(struct spans *r, struct span *x)
{
    struct span *before = TAILQ_PREV(x, span_list, link);
    if (x->after && x->pages == 0 && before && before->state != SPAN_DONE) {
        join(r, x);
        return true;
    }
    x->state = SPAN_WAITS;
    r->taken--;
    return false;
}

bool spans_unplaced(struct spans *r, struct span *x)
{
    struct span *before = TAILQ_PREV(x, span_list, link);
    r->may_cut = false;
    if (!before || before->state == SPAN_DONE)
        return false;
    join(r, x);
    return true;
}

/* ---- Pages */

size_t span_key_max(const struct spans *r)
{
    return r->prefix_len + SPLIT_KEY_MAX + 1;
}

void span_ask(const struct spans *r, const struct span *x, struct store_list *out, char after_key[])
{
    *out = (struct store_list){.prefix = r->prefix, .delimiter = true, .token = x->token};
    if (x->token || !x->after)
        return;
    memcpy(after_key, r->prefix, r->prefix_len);
    memcpy(after_key + r->prefix_len, x->after, strlen(x->after) + 1);
    out->start_after = after_key;
    out->direct = r->may_cut;
}

/* Leaves the entries from `first` to before `end`. */
static void keep(struct store_page *page, size_t first, size_t end)
{
    for (size_t k = 0; k < page->n; k++) {
        if (k >= first && k < end)
            continue;
        free(page->entries[k].key);
        store_object_release(&page->entries[k].object);
    }
    if (end > first && first > 0)
        memmove(page->entries, page->entries + first, (end - first) * sizeof(*page->entries));
    page->n = end > first ? end - first : 0;
}

/* How many entries are not behind the key; they are in order. */
static size_t count_up_to(const struct spans *r, const struct store_page *page, const char *key)
{
    size_t low = 0, high = page->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(page->entries[mid].key + r->prefix_len, key) > 0)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static enum err_code check_order(const struct spans *r, const struct span *x, const struct store_page *page, bool *disorder,
                                 struct err *e)
{
    for (size_t k = 0; k < page->n; k++)
        if (strncmp(page->entries[k].key, r->prefix, r->prefix_len) != 0)
            return err_set(e, ERR_PROTO, "a listing of \"%s\" has a key outside it", r->prefix);
    *disorder = page->n > 0 && x->last && strcmp(page->entries[0].key + r->prefix_len, x->last) <= 0;
    return *disorder ? err_set(e, ERR_PROTO, "a listing of \"%s\" is out of order", r->prefix) : ERR_OK;
}

static enum err_code note_keys(struct spans *r, struct span *x, const struct store_page *page, struct err *e)
{
    if (page->n == 0)
        return ERR_OK;
    char *first = strdup(page->entries[0].key + r->prefix_len), *last = strdup(page->entries[page->n - 1].key + r->prefix_len);
    if (!first || !last) {
        free(first);
        free(last);
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    }
    free(x->first);
    free(x->last);
    x->first = first;
    x->last = last;
    x->n = page->n;
    for (size_t k = 0; k < page->n; k += SAMPLE_STEP)
        alphabet_add(&r->alphabet, page->entries[k].key + r->prefix_len);
    return ERR_OK;
}

enum err_code span_page(struct spans *r, struct span *x, struct store_page *page, bool *disorder, struct err *e)
{
    *disorder = false;
    enum err_code code = check_order(r, x, page, disorder, e);
    if (code)
        return code;
    size_t first = x->after ? count_up_to(r, page, x->after) : 0;
    size_t end = x->end ? count_up_to(r, page, x->end) : page->n;
    bool over = end < page->n || !page->next;
    bool brought = page->n > 0;
    keep(page, first, end);
    code = note_keys(r, x, page, e);
    if (code)
        return code;
    if (!over)
        code = store_walk_on(&x->walk, r->prefix, brought, e);
    free(x->token);
    x->token = page->next;
    page->next = NULL;
    x->names += page->n;
    x->pages++;
    r->names += page->n;
    r->pages++;
    r->placed |= x->after != NULL;
    if (!code && over) {
        x->state = SPAN_DONE;
        r->open--;
        r->taken--;
    }
    return code;
}
