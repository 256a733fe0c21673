/* The nodes: a skip list by key, so that listings find what lies in their range. */
#include "util/clock.h"
#include "util/digest.h"
#include "writeback/inside.h"

#include <assert.h>
#include <string.h>

static unsigned random_levels(struct writeback *w)
{
    if (!w->random)
        random_bytes(&w->random, sizeof(w->random));
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    unsigned levels = 1;
    for (uint64_t bits = w->random; levels < NODE_LEVELS && (bits & 3) == 0; bits >>= 2)
        levels++;
    return levels;
}

/* before[level] is the link that leads to the first node whose key is not below `key`. */
static struct node *locate(struct writeback *w, const char *key, struct node **before[NODE_LEVELS])
{
    struct node **links = w->first;
    for (int level = NODE_LEVELS - 1; level >= 0; level--) {
        while (links[level] && strcmp(links[level]->key, key) < 0)
            links = links[level]->next;
        if (before)
            before[level] = &links[level];
    }
    return links[0];
}

struct node *node_from(const struct writeback *w, const char *key)
{
    return locate((struct writeback *)w, key, NULL);
}

struct node *node_find(const struct writeback *w, const char *key)
{
    struct node *n = node_from(w, key);
    return n && strcmp(n->key, key) == 0 ? n : NULL;
}

struct node *node_get(struct writeback *w, const char *key)
{
    lock_assert_held(&w->lock);
    struct node **before[NODE_LEVELS];
    struct node *n = locate(w, key, before);
    if (n && strcmp(n->key, key) == 0)
        return n;
    unsigned levels = random_levels(w);
    n = calloc(1, sizeof(*n) + levels * sizeof(n->next[0]));
    if (!n || !(n->key = strdup(key))) {
        free(n);
        return NULL;
    }
    TAILQ_INIT(&n->ops);
    TAILQ_INIT(&n->readers);
    n->levels = levels;
    for (unsigned level = 0; level < levels; level++) {
        n->next[level] = *before[level];
        *before[level] = n;
    }
    return n;
}

static void node_forget(struct writeback *w, struct node *n)
{
    if (!n->settled)
        return;
    TAILQ_REMOVE(&w->settled, n, settled_link);
    n->settled = false;
}

void node_put(struct writeback *w, struct node *n)
{
    lock_assert_held(&w->lock);
    if (!n || n->settled || !TAILQ_EMPTY(&n->ops) || !TAILQ_EMPTY(&n->readers))
        return;
    struct node **before[NODE_LEVELS];
    (void)locate(w, n->key, before);
    for (unsigned level = 0; level < n->levels; level++)
        *before[level] = n->next[level];
    free(n->key);
    free(n);
}

/* The operation that made the version which is named so. */
static const struct op *named(const struct node *n, const char *etag)
{
    const struct op *o = n && etag ? node_last(n) : NULL;
    while (o && (!o->etag || strcmp(o->etag, etag) != 0))
        o = TAILQ_PREV(o, ops, link);
    return o;
}

static void keep(struct op *o, const struct op *other)
{
    if (other && other->number < o->keeps)
        o->keeps = other->number;
}

uint64_t table_keeps(const struct writeback *w)
{
    lock_assert_held(&w->lock);
    uint64_t first = w->appended + 1;
    const struct op *o;
    TAILQ_FOREACH(o, &w->all, all_link)
        if (o->keeps < first)
            first = o->keeps;
    return first;
}

void op_link(struct writeback *w, struct op *o)
{
    lock_assert_held(&w->lock);
    w->entered_ms = clock_mono_ms();
    o->keeps = o->keeps && o->keeps < o->number ? o->keeps : o->number;
    keep(o, named(o->node, o->cond_etag));
    keep(o, named(o->from, o->from_etag));
    node_forget(w, o->node);
    TAILQ_INSERT_TAIL(&o->node->ops, o, link);
    TAILQ_INSERT_TAIL(&w->all, o, all_link);
    if (o->from)
        TAILQ_INSERT_TAIL(&o->from->readers, o, from_link);
    w->n_ops++;
}

void op_unlink(struct writeback *w, struct op *o)
{
    lock_assert_held(&w->lock);
    struct node *n = TAKE(o->node), *from = TAKE(o->from);
    TAILQ_REMOVE(&n->ops, o, link);
    TAILQ_REMOVE(&w->all, o, all_link);
    if (from)
        TAILQ_REMOVE(&from->readers, o, from_link);
    w->n_ops--;
    node_put(w, n);
    if (from && from != n)
        node_put(w, from);
}

/* ---- What listings under way may not know */

void node_settle(struct writeback *w, struct node *n, const struct store_version *version)
{
    lock_assert_held(&w->lock);
    node_forget(w, n);
    n->settled_tick = ++w->tick;
    if (TAILQ_EMPTY(&w->readings))
        return;
    n->present = version != NULL;
    if (version)
        n->version = *version;
    n->settled = true;
    TAILQ_INSERT_TAIL(&w->settled, n, settled_link);
}

void reading_begin(struct writeback *w, struct reading *r)
{
    LOCK_SCOPE(&w->lock);
    r->tick = w->tick;
    TAILQ_INSERT_TAIL(&w->readings, r, link);
}

void reading_end(struct writeback *w, struct reading *r)
{
    LOCK_SCOPE(&w->lock);
    TAILQ_REMOVE(&w->readings, r, link);
    const struct reading *oldest = TAILQ_FIRST(&w->readings);
    struct node *n;
    while ((n = TAILQ_FIRST(&w->settled)) && (!oldest || n->settled_tick <= oldest->tick)) {
        node_forget(w, n);
        node_put(w, n);
    }
}

bool node_tells(const struct node *n, uint64_t tick, struct store_version *version, bool *present)
{
    const struct op *last = node_last(n);
    if (last) {
        *present = last->kind != OP_REMOVE;
        if (*present)
            op_version(last, version);
        return true;
    }
    if (!n->settled || n->settled_tick <= tick)
        return false;
    *present = n->present;
    *version = n->version;
    return true;
}

void table_release(struct writeback *w)
{
    struct node *n = w->first[0];
    while (n) {
        struct node *next = n->next[0];
        struct op *o;
        while ((o = TAILQ_FIRST(&n->ops)) != NULL) {
            TAILQ_REMOVE(&n->ops, o, link);
            op_free(o);
        }
        free(n->key);
        free(n);
        n = next;
    }
    memset(w->first, 0, sizeof(w->first));
}
