#include "map.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

enum { MAX_LEVELS = 20 };

struct map {
    struct map_node *head;
    void (*free_value)(void *);
    size_t count;
    unsigned random;
};

static struct map_node *node_new(const char *key, void *value, int levels)
{
    struct map_node *n = x_alloc(sizeof(*n) + (size_t)levels * sizeof(n->next[0]));

    n->key = x_strdup(key);
    n->value = value;
    n->levels = levels;
    return n;
}

struct map *map_new(void (*free_value)(void *))
{
    struct map *m = x_alloc(sizeof(*m));

    m->head = node_new("", NULL, MAX_LEVELS);
    m->free_value = free_value;
    m->random = 1;
    return m;
}

static void node_free(struct map *m, struct map_node *n)
{
    if (n->value)
        m->free_value(n->value);
    free(n->key);
    free(n);
}

void map_free(struct map *m)
{
    if (!m)
        return;
    for (struct map_node *n = m->head, *next; n; n = next) {
        next = n->next[0];
        node_free(m, n);
    }
    free(m);
}

/* The first node >= key; before[l] is the last node < key on each level. */
static struct map_node *find(const struct map *m, const char *key, struct map_node **before)
{
    struct map_node *n = m->head;

    for (int level = MAX_LEVELS - 1; level >= 0; level--) {
        while (n->next[level] && strcmp(n->next[level]->key, key) < 0)
            n = n->next[level];
        before[level] = n;
    }
    return n->next[0];
}

struct map_node *map_seek(const struct map *m, const char *key)
{
    struct map_node *before[MAX_LEVELS];

    return find(m, key, before);
}

void *map_get(const struct map *m, const char *key)
{
    struct map_node *n = map_seek(m, key);

    return n && strcmp(n->key, key) == 0 ? n->value : NULL;
}

static int random_levels(struct map *m)
{
    int levels = 1;

    while (levels < MAX_LEVELS) {
        m->random = m->random * 1103515245U + 12345U;
        if ((m->random >> 16) & 3)
            break;
        levels++;
    }
    return levels;
}

void map_put(struct map *m, const char *key, void *value)
{
    struct map_node *before[MAX_LEVELS];
    struct map_node *n = find(m, key, before);

    if (n && strcmp(n->key, key) == 0) {
        m->free_value(n->value);
        n->value = value;
        return;
    }
    n = node_new(key, value, random_levels(m));
    for (int level = 0; level < n->levels; level++) {
        n->next[level] = before[level]->next[level];
        before[level]->next[level] = n;
    }
    m->count++;
}

static void keep_value(void *value)
{
    (void)value;
}

void *map_take(struct map *m, const char *key)
{
    void (*free_value)(void *) = m->free_value;
    void *value = map_get(m, key);

    m->free_value = keep_value;
    map_del(m, key);
    m->free_value = free_value;
    return value;
}

int map_del(struct map *m, const char *key)
{
    struct map_node *before[MAX_LEVELS];
    struct map_node *n = find(m, key, before);

    if (!n || strcmp(n->key, key) != 0)
        return 0;
    for (int level = 0; level < n->levels; level++)
        before[level]->next[level] = n->next[level];
    node_free(m, n);
    m->count--;
    return 1;
}

size_t map_count(const struct map *m)
{
    return m->count;
}
