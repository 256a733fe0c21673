#include "backends/ssm/known.h"

#include "backends/ssm/names.h"
#include "util/lock.h"
#include "util/map.h"
#include "util/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OURS_WITHIN_MS 20000

/* In the map by name and in a list from the one longest untouched to the latest. */
struct entry {
    struct entry *older, *newer;
    int64_t number;
    int64_t shown_ms;    /* in the ETag and as mtime */
    int64_t modified_ms; /* of the last change by the service's word; 0: we wrote it and were not told yet */
    uint64_t size;
    uint64_t expected; /* bytes of a first value; 0: nothing is expected */
    struct ssm_described *described; /* NULL, or of version `number` */
    char name[];
};

struct known {
    struct lock lock; /* guards all below */
    struct map *map;
    struct entry *oldest, *newest;
    size_t max;
};

static struct map_key entry_key(const void *value)
{
    const struct entry *n = value;
    return (struct map_key){n->name, strlen(n->name)};
}

struct known *known_new(size_t max)
{
    CLEANUP(free) struct known *k = calloc(1, sizeof(*k));
    if (k == NULL || (k->map = map_new(entry_key)) == NULL)
        return NULL;
    lock_init(&k->lock, "ssm known", LOCK_STORE);
    k->max = max;
    return TAKE(k);
}

static void unlink_locked(struct known *k, struct entry *n)
{
    lock_assert_held(&k->lock);
    *(n->older ? &n->older->newer : &k->oldest) = n->newer;
    *(n->newer ? &n->newer->older : &k->newest) = n->older;
    n->older = n->newer = NULL;
}

static void link_newest_locked(struct known *k, struct entry *n)
{
    lock_assert_held(&k->lock);
    n->older = k->newest;
    *(k->newest ? &k->newest->newer : &k->oldest) = n;
    k->newest = n;
}

static void drop_locked(struct known *k, struct entry *n)
{
    unlink_locked(k, n);
    map_remove(k->map, n->name, strlen(n->name));
    ssm_described_free(n->described);
    free(n);
}

void known_free(struct known *k)
{
    if (k == NULL)
        return;
    lock_take(&k->lock);
    while (k->oldest)
        drop_locked(k, k->oldest);
    lock_drop(&k->lock);
    map_free(k->map);
    lock_release(&k->lock);
    free(k);
}

static struct entry *find_locked(struct known *k, const char *name)
{
    lock_assert_held(&k->lock);
    return map_get(k->map, name, strlen(name));
}

/* The entry of that name, made if need be, as the latest. NULL without memory. */
static struct entry *touch_locked(struct known *k, const char *name)
{
    struct entry *n = find_locked(k, name);
    if (n != NULL) {
        unlink_locked(k, n);
        link_newest_locked(k, n);
        return n;
    }
    if (map_size(k->map) >= k->max && k->oldest != NULL)
        drop_locked(k, k->oldest);
    size_t len = strlen(name);
    CLEANUP(free) struct entry *made = calloc(1, sizeof(*made) + len + 1);
    if (made == NULL)
        return NULL;
    made->number = -1;
    memcpy(made->name, name, len + 1);
    if (map_put(k->map, made, NULL) != ERR_OK)
        return NULL;
    link_newest_locked(k, made);
    return TAKE(made);
}

static void make_version(int64_t number, int64_t ms, uint64_t size, struct store_version *out)
{
    *out = (struct store_version){.size = size};
    snprintf(out->etag, sizeof(out->etag), "%" PRId64 "-%" PRId64, number, ms);
    out->mtime = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

void known_version_plain(const struct ssm_param *p, struct store_version *out)
{
    make_version(p->version, p->modified_ms, p->len, out);
}

/* The entry holds another version from here. */
static void replace_locked(struct known *k, struct entry *n, int64_t number, int64_t shown_ms, int64_t modified_ms)
{
    lock_assert_held(&k->lock);
    bool same = n->number == number && n->shown_ms == shown_ms;
    if (!same)
        ssm_described_free(TAKE(n->described));
    n->number = number;
    n->shown_ms = shown_ms;
    n->modified_ms = modified_ms;
}

static bool is_ours(const struct entry *n, const struct ssm_param *p)
{
    if (n->number != p->version)
        return false;
    if (n->modified_ms != 0)
        return n->modified_ms == p->modified_ms;
    int64_t apart = p->modified_ms - n->shown_ms;
    return apart <= OURS_WITHIN_MS && apart >= -OURS_WITHIN_MS;
}

void known_saw(struct known *k, const char *name, const struct ssm_param *p, struct store_version *out)
{
    known_version_plain(p, out);
    LOCK_SCOPE(&k->lock);
    struct entry *n = touch_locked(k, name);
    if (n == NULL)
        return;
    if (is_ours(n, p)) {
        n->modified_ms = p->modified_ms;
        n->size = p->len;
        make_version(n->number, n->shown_ms, p->len, out);
        return;
    }
    /* A reply that was under way while we wrote tells of an older version. */
    if (p->version < n->number && p->modified_ms <= n->shown_ms)
        return;
    replace_locked(k, n, p->version, p->modified_ms, p->modified_ms);
    n->size = p->len;
}

void known_wrote(struct known *k, const char *name, int64_t number, uint64_t size, int64_t date_ms,
                 const struct ssm_described *d, struct store_version *out)
{
    make_version(number, date_ms, size, out);
    CLEANUP(ssm_described_free) struct ssm_described *copy = ssm_described_copy(d);
    if (copy != NULL)
        copy->version = number;
    LOCK_SCOPE(&k->lock);
    struct entry *n = touch_locked(k, name);
    /* A reply that came before this one was handled may tell of what somebody wrote after us. */
    if (n == NULL || (n->number > number && n->shown_ms >= date_ms))
        return;
    replace_locked(k, n, number, date_ms, 0);
    n->size = size;
    ssm_described_free(n->described);
    n->described = TAKE(copy);
}

void known_describe(struct known *k, const char *name, const struct ssm_described *d)
{
    CLEANUP(ssm_described_free) struct ssm_described *copy = ssm_described_copy(d);
    LOCK_SCOPE(&k->lock);
    struct entry *n = copy ? find_locked(k, name) : NULL;
    if (n == NULL || n->number != d->version)
        return;
    ssm_described_free(n->described);
    n->described = TAKE(copy);
}

struct ssm_described *known_described(struct known *k, const char *name, int64_t number)
{
    LOCK_SCOPE(&k->lock);
    struct entry *n = find_locked(k, name);
    return n != NULL && n->number == number ? ssm_described_copy(n->described) : NULL;
}

uint64_t known_tier_max(const char *tier)
{
    return strcmp(tier, "Standard") == 0 ? SSM_VALUE_STANDARD : SSM_VALUE_ADVANCED;
}

uint64_t known_value_max(struct known *k, const char *name)
{
    LOCK_SCOPE(&k->lock);
    const struct entry *n = find_locked(k, name);
    if (n == NULL || (n->number < 0 && n->expected == 0))
        return 0;
    if (n->number < 0)
        return n->expected;
    if (n->described == NULL || n->size > SSM_VALUE_STANDARD)
        return SSM_VALUE_ADVANCED;
    return known_tier_max(n->described->tier);
}

void known_expect(struct known *k, const char *name, uint64_t max)
{
    LOCK_SCOPE(&k->lock);
    struct entry *n = touch_locked(k, name);
    if (n != NULL)
        n->expected = max;
}

void known_forget(struct known *k, const char *name)
{
    LOCK_SCOPE(&k->lock);
    struct entry *n = find_locked(k, name);
    if (n != NULL)
        drop_locked(k, n);
}

int64_t known_version_number(const char *etag)
{
    char digits[24];
    size_t len = strcspn(etag, "-");
    int64_t number;
    if (etag[len] != '-' || len == 0 || len >= sizeof(digits))
        return -1;
    memcpy(digits, etag, len);
    digits[len] = '\0';
    return str_parse_i64(digits, &number) ? number : -1;
}
