#include "net/due.h"

#include <stddef.h>

/* Both are roots (no siblings) or NULL. */
static struct due *meld(struct due *a, struct due *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->at_ms < a->at_ms) {
        struct due *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

static struct due *detach(struct due *d)
{
    d->next = d->prev = NULL;
    return d;
}

/* The children of a removed entry as one heap: in pairs from the left, then the pairs from the right. */
static struct due *merge_siblings(struct due *first)
{
    struct due *pairs = NULL;
    while (first) {
        struct due *a = first, *b = a->next;
        first = b ? b->next : NULL;
        detach(a);
        struct due *pair = b ? meld(a, detach(b)) : a;
        pair->next = pairs;
        pairs = pair;
    }
    struct due *root = NULL;
    while (pairs) {
        struct due *next = pairs->next;
        root = meld(root, detach(pairs));
        pairs = next;
    }
    return root;
}

void due_disarm(struct due_heap *h, struct due *d)
{
    if (!d->armed)
        return;
    struct due *rest = merge_siblings(d->child);
    if (d == h->root) {
        h->root = rest;
    } else {
        if (d->prev->child == d)
            d->prev->child = d->next;
        else
            d->prev->next = d->next;
        if (d->next)
            d->next->prev = d->prev;
        h->root = meld(h->root, rest);
    }
    d->child = NULL;
    detach(d);
    d->armed = false;
}

void due_arm(struct due_heap *h, struct due *d, uint64_t at_ms)
{
    due_disarm(h, d);
    d->at_ms = at_ms;
    d->armed = true;
    h->root = meld(h->root, d);
}

struct due *due_pop(struct due_heap *h, uint64_t now_ms)
{
    struct due *d = h->root;
    if (!d || d->at_ms > now_ms)
        return NULL;
    due_disarm(h, d);
    return d;
}

uint64_t due_next_ms(const struct due_heap *h)
{
    return h->root ? h->root->at_ms : UINT64_MAX;
}
