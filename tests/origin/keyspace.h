/* What a bucket holds, whether it is stored or a family's (family.h). A stored object wins over a family's of the same
 * key, a family over those added later; a family's key that was deleted is remembered as removed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "family.h"
#include "store.h"

/* The object of key, or NULL. A family's is made for the occasion and lives until keyspace_forget. */
struct object *keyspace_object(struct store *s, const struct bucket *b, const char *key);

/* The same for whoever changes the object or lets it be hashed: a family's is stored from now on. */
struct object *keyspace_own(struct bucket *b, const char *key);

/* Deletes the object of key, if there is one. */
void keyspace_delete(struct bucket *b, const char *key);

/* Frees what keyspace_object made. */
void keyspace_forget(struct store *s);

/* Adds a family (taken over), in place of the one with the same name; false when the bucket has FAMILIES_MAX. */
bool keyspace_add_family(struct bucket *b, struct family *f);
void keyspace_clear_families(struct bucket *b);

/* The keys of a bucket in order, from any point on. Valid until the bucket changes. */
struct cursor {
    const char *key; /* NULL behind the last */
    const struct bucket *bucket;
    struct map_node *node;
    int family; /* that the key belongs to; -1: it is the node's */
    uint64_t number[FAMILIES_MAX];
    char next[FAMILIES_MAX][FAMILY_KEY_MAX + 1]; /* each family's key >= the present one; "" at its end */
    struct object described;
};

/* Moves to the first key >= key; to the next one. */
void cursor_seek(struct cursor *c, const struct bucket *b, const char *key);
void cursor_next(struct cursor *c);

/* The object of c->key, whose body may be missing, and its size. Borrowed until the cursor moves. */
const struct object *cursor_object(struct cursor *c, uint64_t *size);
