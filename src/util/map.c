/*
 * Open addressing with linear probing. A slot is empty (value NULL), dead (its value was removed: a search goes on
 * behind it), or live. Invariant: live and dead slots together fill at most 7/8, so a search always meets an empty
 * slot. Removing never moves an entry, which is what lets a walk remove as it goes.
 */
#include "util/map.h"

#include "util/digest.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MIN_SLOTS 8

struct slot {
    uint64_t hash;
    void *value;
};

struct map {
    struct map_key (*key_of)(const void *value);
    struct slot *slots; /* NULL until the first entry */
    size_t capacity;    /* a power of two, or 0 */
    size_t live;
    size_t dead;
};

static char dead_mark;
#define DEAD ((void *)&dead_mark)

/* One key a process: hashes never leave it. */
static uint64_t hash_key[2];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void make_hash_key(void)
{
    random_bytes(hash_key, sizeof(hash_key));
}

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein): one round a word, three to finish. */
static uint64_t siphash(const void *p, size_t len)
{
    const unsigned char *at = p;
    uint64_t v[4] = {hash_key[0] ^ 0x736f6d6570736575ULL, hash_key[1] ^ 0x646f72616e646f6dULL,
                     hash_key[0] ^ 0x6c7967656e657261ULL, hash_key[1] ^ 0x7465646279746573ULL};
    uint64_t word;
    size_t left = len;
    for (; left >= 8; at += 8, left -= 8) {
        memcpy(&word, at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 255;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(struct map_key (*key_of)(const void *value))
{
    pthread_once(&hash_key_once, make_hash_key);
    struct map *m = calloc(1, sizeof(*m));
    if (m)
        m->key_of = key_of;
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    free(m->slots);
    free(m);
}

static bool is_live(const struct slot *s)
{
    return s->value && s->value != DEAD;
}

/* The live slot of that key, or NULL. */
static struct slot *find(const struct map *m, const void *key, size_t key_len)
{
    if (!m->live)
        return NULL;
    uint64_t hash = siphash(key, key_len);
    for (size_t i = hash & (m->capacity - 1);; i = (i + 1) & (m->capacity - 1)) {
        struct slot *s = &m->slots[i];
        if (!s->value)
            return NULL;
        if (s->hash != hash || s->value == DEAD)
            continue;
        struct map_key k = m->key_of(s->value);
        if (k.len == key_len && (key_len == 0 || memcmp(k.p, key, key_len) == 0))
            return s;
    }
}

static void insert_new(struct slot *slots, size_t capacity, uint64_t hash, void *value)
{
    size_t i = hash & (capacity - 1);
    while (slots[i].value)
        i = (i + 1) & (capacity - 1);
    slots[i] = (struct slot){hash, value};
}

/* Makes room for one more: a table that the live entries fill to at most half afterwards, without dead slots. */
static enum err_code rebuild(struct map *m, struct err *e)
{
    size_t capacity = MIN_SLOTS;
    while (capacity / 2 < m->live + 1) {
        if (capacity > SIZE_MAX / 4 / sizeof(struct slot))
            return err_set(e, ERR_NOMEM, "out of memory");
        capacity *= 2;
    }
    struct slot *slots = calloc(capacity, sizeof(*slots));
    if (!slots)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < m->capacity; i++) {
        if (is_live(&m->slots[i]))
            insert_new(slots, capacity, m->slots[i].hash, m->slots[i].value);
    }
    free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    m->dead = 0;
    return ERR_OK;
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    struct slot *s = find(m, key, key_len);
    return s ? s->value : NULL;
}

enum err_code map_put(struct map *m, void *value, struct err *e)
{
    struct map_key k = m->key_of(value);
    assert(value && !find(m, k.p, k.len));
    if (m->live + m->dead + 1 > m->capacity / 8 * 7) {
        enum err_code rc = rebuild(m, e);
        if (rc != ERR_OK)
            return rc;
    }
    insert_new(m->slots, m->capacity, siphash(k.p, k.len), value);
    m->live++;
    return ERR_OK;
}

void *map_remove(struct map *m, const void *key, size_t key_len)
{
    struct slot *s = find(m, key, key_len);
    if (!s)
        return NULL;
    void *value = s->value;
    size_t i = (size_t)(s - m->slots);
    s->value = DEAD;
    m->live--;
    m->dead++;
    /* No search passes through a dead slot in front of an empty one: it and the dead ones before it become empty. */
    if (m->slots[(i + 1) & (m->capacity - 1)].value)
        return value;
    for (; m->slots[i].value == DEAD; i = (i - 1) & (m->capacity - 1)) {
        m->slots[i].value = NULL;
        m->dead--;
    }
    return value;
}

size_t map_size(const struct map *m)
{
    return m->live;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor < m->capacity) {
        const struct slot *s = &m->slots[(*cursor)++];
        if (is_live(s))
            return s->value;
    }
    return NULL;
}
