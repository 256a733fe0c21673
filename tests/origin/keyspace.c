#include "keyspace.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"

static const struct family *family_of(const struct bucket *b, const char *key)
{
    if (b->family_count == 0 || map_get(b->removed, key))
        return NULL;
    for (size_t i = 0; i < b->family_count; i++)
        if (family_has(b->families[i], key))
            return b->families[i];
    return NULL;
}

struct object *keyspace_object(struct store *s, const struct bucket *b, const char *key)
{
    struct object *o = map_get(b->objects, key);
    const struct family *f = o ? NULL : family_of(b, key);

    if (!f)
        return o;
    o = family_object(f, key);
    s->made = x_realloc(s->made, (s->made_count + 1) * sizeof(*s->made));
    s->made[s->made_count++] = o;
    return o;
}

struct object *keyspace_own(struct bucket *b, const char *key)
{
    struct object *o = map_get(b->objects, key);
    const struct family *f = o ? NULL : family_of(b, key);

    if (!f)
        return o;
    o = family_object(f, key);
    map_put(b->objects, key, o);
    return o;
}

void keyspace_delete(struct bucket *b, const char *key)
{
    static char removed;

    if (family_of(b, key))
        map_put(b->removed, key, &removed);
    map_del(b->objects, key);
}

void keyspace_forget(struct store *s)
{
    for (size_t i = 0; i < s->made_count; i++)
        object_free(s->made[i]);
    free(s->made);
    s->made = NULL;
    s->made_count = 0;
}

bool keyspace_add_family(struct bucket *b, struct family *f)
{
    for (size_t i = 0; i < b->family_count; i++) {
        if (strcmp(family_name(b->families[i]), family_name(f)) != 0)
            continue;
        family_free(b->families[i]);
        b->families[i] = f;
        return true;
    }
    if (b->family_count == FAMILIES_MAX)
        return false;
    b->families[b->family_count++] = f;
    return true;
}

void keyspace_clear_families(struct bucket *b)
{
    while (b->family_count)
        family_free(b->families[--b->family_count]);
}

static void load(struct cursor *c, size_t i)
{
    const struct family *f = c->bucket->families[i];

    if (c->number[i] < family_count(f))
        family_key(f, c->number[i], c->next[i]);
    else
        c->next[i][0] = 0;
}

/* Takes the smallest of what the sources offer; of equals the first. */
static void pick(struct cursor *c)
{
    c->key = c->node ? c->node->key : NULL;
    c->family = -1;
    for (size_t i = 0; i < c->bucket->family_count; i++) {
        if (!c->next[i][0] || (c->key && strcmp(c->next[i], c->key) >= 0))
            continue;
        c->key = c->next[i];
        c->family = (int)i;
    }
}

static void advance(struct cursor *c)
{
    for (size_t i = 0; i < c->bucket->family_count; i++) {
        if ((int)i == c->family || !c->next[i][0] || strcmp(c->next[i], c->key) != 0)
            continue;
        c->number[i]++;
        load(c, i);
    }
    if (c->family < 0) {
        c->node = c->node->next[0];
    } else {
        c->number[c->family]++;
        load(c, (size_t)c->family);
    }
    pick(c);
}

static void pass_removed(struct cursor *c)
{
    if (map_count(c->bucket->removed) == 0)
        return;
    while (c->family >= 0 && map_get(c->bucket->removed, c->key))
        advance(c);
}

void cursor_seek(struct cursor *c, const struct bucket *b, const char *key)
{
    memset(&c->described, 0, sizeof(c->described));
    c->bucket = b;
    c->node = map_seek(b->objects, key);
    for (size_t i = 0; i < b->family_count; i++) {
        c->number[i] = family_seek(b->families[i], key);
        load(c, i);
    }
    pick(c);
    pass_removed(c);
}

void cursor_next(struct cursor *c)
{
    advance(c);
    pass_removed(c);
}

const struct object *cursor_object(struct cursor *c, uint64_t *size)
{
    const struct object *stored = c->family < 0 ? c->node->value : NULL;

    if (stored) {
        *size = stored->body->size;
        return stored;
    }
    *size = family_describe(c->bucket->families[c->family], c->key, &c->described);
    return &c->described;
}
