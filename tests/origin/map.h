/* An ordered map from strings (compared as unsigned bytes, S3's listing order) to pointers: a skip list. */
#pragma once
#include <stddef.h>

struct map;

struct map_node {
    char *key;
    void *value;
    int levels;
    struct map_node *next[];
};

/* Makes an empty map; free_value is called for each value that is replaced or removed. map_free takes NULL. */
struct map *map_new(void (*free_value)(void *));
void map_free(struct map *m);

/* The value of key (borrowed), or NULL. */
void *map_get(const struct map *m, const char *key);

/* Puts value, which the map then owns, under a copy of key. Invalidates the node it replaces' value only. */
void map_put(struct map *m, const char *key, void *value);

/* Removes key and frees its value; returns 1, or 0 when there is none. */
int map_del(struct map *m, const char *key);

/* Removes key and hands its value to the caller; NULL when there is none. */
void *map_take(struct map *m, const char *key);

/* The first node whose key is >= key, or NULL; the next node is node->next[0]. Valid until the map changes. */
struct map_node *map_seek(const struct map *m, const char *key);

size_t map_count(const struct map *m);
