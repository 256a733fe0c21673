/* Versions that have two names: the ETag that was made up when an object was put here, and the one that the inner store gave it. */
#include "writeback/inside.h"

#include <string.h>

#define ALIASES_MAX 100000 /* beyond that the oldest go: what they name is then taken for what others put there */

static void alias_free(struct alias *a)
{
    if (!a)
        return;
    free(a->key);
    free(a->told);
    free(a->real);
    free(a);
}
CLEANUP_DEFINE(struct alias, alias_free)

static struct alias *find(const struct writeback *w, const char *key)
{
    return map_size(w->aliases) ? map_get(w->aliases, key, strlen(key)) : NULL;
}

const char *alias_real(const struct writeback *w, const char *key, const char *told)
{
    lock_assert_held(&w->lock);
    const struct alias *a = find(w, key);
    return a && strcmp(a->told, told) == 0 ? a->real : told;
}

const char *alias_told(const struct writeback *w, const char *key, const char *real)
{
    lock_assert_held(&w->lock);
    const struct alias *a = find(w, key);
    return a && strcmp(a->real, real) == 0 ? a->told : real;
}

static void drop(struct writeback *w, struct alias *a)
{
    if (!a)
        return;
    (void)map_remove(w->aliases, a->key, strlen(a->key));
    TAILQ_REMOVE(&w->alias_order, a, link);
    alias_free(a);
}

void alias_set(struct writeback *w, const char *key, const char *told, const char *real)
{
    lock_assert_held(&w->lock);
    drop(w, find(w, key));
    if (!told || strcmp(told, real) == 0)
        return;
    CLEANUP(alias_free) struct alias *a = calloc(1, sizeof(*a));
    if (!a)
        return;
    a->key = strdup(key);
    a->told = strdup(told);
    a->real = strdup(real);
    if (!a->key || !a->told || !a->real)
        return;
    if (map_size(w->aliases) >= ALIASES_MAX)
        drop(w, TAILQ_FIRST(&w->alias_order));
    if (map_put(w->aliases, a, NULL))
        return;
    TAILQ_INSERT_TAIL(&w->alias_order, a, link);
    a = NULL;
}

void alias_release(struct writeback *w)
{
    struct alias *a;
    while ((a = TAILQ_FIRST(&w->alias_order)) != NULL)
        drop(w, a);
}
