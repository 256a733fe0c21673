/*
 * A memory of what this store put as new objects a moment ago: hashes of key and ETag, each in the one slot where it
 * belongs, so that the newest win. A copy of such an object (a lock file that is renamed, a save that is moved into its
 * place) needs no look at the source: everything about it came from here. Only a moment, because others can change
 * storage class, encryption or ACL without another ETag.
 */
#include "backends/s3/impl.h"

#include "util/clock.h"

#include <stdlib.h>
#include <string.h>

enum { OWN_MS = 60000 };

/* FNV-1a; what matters is only that two keys in use seldom meet in all 64 bits. Never 0. */
static uint64_t hash(const char *key, const char *etag)
{
    uint64_t h = 14695981039346656037ULL;
    for (; *key != 0; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211ULL;
    h = (h ^ 0xff) * 1099511628211ULL;
    for (; *etag != 0; etag++)
        h = (h ^ (unsigned char)*etag) * 1099511628211ULL;
    return h != 0 ? h : 1;
}

struct s3_own {
    uint64_t hash; /* 0: empty */
    uint64_t until_ms;
    bool has_sha512;
    uint8_t sha512[64];
};

struct s3_own *s3_own_new(void)
{
    return calloc(S3_OWN_SLOTS, sizeof(struct s3_own));
}

/* The slot is chosen by the key alone, so that one key has at most one entry. */
static size_t slot_of(const char *key)
{
    return hash(key, "") % S3_OWN_SLOTS;
}

void s3_own_forget(struct s3_store *s, const char *key)
{
    LOCK_SCOPE(&s->lock);
    s->own[slot_of(key)].hash = 0;
}

void s3_own_add(struct s3_store *s, const char *key, const char *etag, const uint8_t *sha512)
{
    struct s3_own own = {.hash = hash(key, etag), .until_ms = clock_mono_ms() + OWN_MS, .has_sha512 = sha512 != NULL};
    if (sha512 != NULL)
        memcpy(own.sha512, sha512, sizeof(own.sha512));
    LOCK_SCOPE(&s->lock);
    s->own[slot_of(key)] = own;
}

bool s3_own_find(struct s3_store *s, const char *key, const char *etag, uint8_t sha512[64], bool *has_sha512)
{
    *has_sha512 = false;
    if (etag == NULL)
        return false;
    uint64_t h = hash(key, etag);
    LOCK_SCOPE(&s->lock);
    const struct s3_own *own = &s->own[slot_of(key)];
    if (own->hash != h || own->until_ms < clock_mono_ms())
        return false;
    *has_sha512 = own->has_sha512;
    memcpy(sha512, own->sha512, sizeof(own->sha512));
    return true;
}
