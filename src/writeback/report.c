/* What status tells. */
#include "util/clock.h"
#include "writeback/inside.h"

#include <string.h>

static const char *const names[] = {[OP_PUT] = "put", [OP_COPY] = "copy", [OP_REMOVE] = "remove"};

void writeback_stats(struct writeback *w, struct writeback_stats *out)
{
    struct wal_stats log;
    wal_stats(w->wal, &log);
    LOCK_SCOPE(&w->lock);
    *out = (struct writeback_stats){
        .operations = w->n_ops,
        .bytes = w->bytes,
        .limit = w->limit,
        .records = log.appends,
        .syncs = log.syncs,
        .journal_bytes = log.bytes,
        .sent = w->n_sent,
        .merged = w->n_merged,
        .conflicts = w->n_conflicts,
        .recovered = w->n_recovered,
        .paused = w->paused,
    };
}

struct copied {
    struct writeback_item item;
    char *key, *from, *error;
};

static bool copy_item(struct copied *c, const struct op *o)
{
    *c = (struct copied){.key = strdup(o->node->key), .from = o->from ? strdup(o->from->key) : NULL, .error = strdup(o->error ? o->error : "")};
    c->item = (struct writeback_item){.number = o->number, .what = names[o->kind], .key = c->key, .from = c->from, .size = o->size,
                                      .age_ms = clock_mono_ms() - o->since_ms, .attempts = o->attempts, .error = c->error,
                                      .sending = o->state == OP_SENDING};
    return c->key && c->error && (c->from || !o->from);
}

void writeback_each(struct writeback *w, size_t max, void (*fn)(void *arg, const struct writeback_item *item), void *arg)
{
    lock_take(&w->lock);
    size_t n = 0, room = w->n_ops < max ? w->n_ops : max;
    CLEANUP(free) struct copied *list = calloc(room + 1, sizeof(*list));
    const struct op *o;
    TAILQ_FOREACH(o, &w->all, all_link)
        if (list && n < room && copy_item(&list[n], o))
            n++;
    lock_drop(&w->lock);
    for (size_t k = 0; list && k <= n && k <= room; k++) { /* also one that could not be copied */
        if (k < n)
            fn(arg, &list[k].item);
        free(list[k].key);
        free(list[k].from);
        free(list[k].error);
    }
}

static bool copy_kept(struct writeback *w, uint64_t k, struct kept *out)
{
    LOCK_SCOPE(&w->lock);
    const struct kept *c = &w->conflicts[k % CONFLICTS_KEPT];
    *out = (struct kept){c->key ? strdup(c->key) : NULL, c->kept ? strdup(c->kept) : NULL, c->when};
    return out->key && out->kept;
}

uint64_t writeback_each_conflict(struct writeback *w, void (*fn)(void *arg, const struct writeback_conflict *c), void *arg)
{
    lock_take(&w->lock);
    uint64_t n = w->n_conflicts;
    lock_drop(&w->lock);
    for (uint64_t k = n > CONFLICTS_KEPT ? n - CONFLICTS_KEPT : 0; k < n; k++) {
        struct kept c;
        if (copy_kept(w, k, &c) && fn)
            fn(arg, &(struct writeback_conflict){c.key, c.kept, c.when});
        free(c.key);
        free(c.kept);
    }
    return n;
}
