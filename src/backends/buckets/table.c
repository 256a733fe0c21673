/* The table of buckets: where they are, and the client and store of those that were used. */
#include "backends/buckets/impl.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Regions remembered from the account's list; beyond it a bucket's redirect tells its region. */
enum { NOTED_MAX = 100000 };

static struct bucket *find_locked(struct buckets *s, const char *name)
{
    lock_assert_held(&s->lock);
    return map_get(s->table, name, strlen(name));
}

static struct bucket *add_locked(struct buckets *s, const char *name)
{
    struct bucket *b = find_locked(s, name);
    if (b != NULL)
        return b;
    b = calloc(1, sizeof(*b));
    if (b != NULL && (b->name = strdup(name)) != NULL && map_put(s->table, b, NULL) == ERR_OK)
        return b;
    if (b != NULL)
        free(b->name);
    free(b);
    return NULL;
}

void table_note(struct buckets *s, const char *name, const char *region, struct timespec made)
{
    LOCK_SCOPE(&s->lock);
    struct bucket *b = map_size(s->table) < NOTED_MAX ? add_locked(s, name) : find_locked(s, name);
    if (b != NULL)
        b->made = made;
    if (b != NULL && aws_region_valid(region))
        (void)snprintf(b->region, sizeof(b->region), "%s", region);
}

bool table_knows(struct buckets *s, const char *name, char region[AWS_REGION_SIZE])
{
    LOCK_SCOPE(&s->lock);
    const struct bucket *b = find_locked(s, name);
    if (region != NULL)
        (void)snprintf(region, AWS_REGION_SIZE, "%s", b != NULL ? b->region : "");
    return b != NULL;
}

struct timespec table_made(struct buckets *s, const char *name)
{
    LOCK_SCOPE(&s->lock);
    const struct bucket *b = find_locked(s, name);
    return b != NULL ? b->made : (struct timespec){0};
}

void tally_add(struct tally *t, const char *kind, uint64_t count)
{
    size_t i = 0;
    while (i < t->n && strcmp(t->items[i].kind, kind) != 0)
        i++;
    if (i == TALLY_KINDS)
        return;
    if (i == t->n)
        t->items[t->n++].kind = kind;
    t->items[i].count += count;
}

static void add_gone(void *arg, const char *kind, uint64_t count)
{
    struct buckets *s = arg;
    LOCK_SCOPE(&s->lock);
    tally_add(&s->gone, kind, count);
}

void table_drop_client(struct buckets *s, struct aws_client *client)
{
    if (client == NULL)
        return;
    aws_client_each_count(client, add_gone, s);
    aws_client_free(client);
}

/* Makes what is missing; `client` (may be NULL) is used for it. Without the lock. */
static enum err_code make(struct buckets *s, const char *name, const char *region, struct aws_client **client,
                          struct store **store, struct err *e)
{
    const struct buckets_options *o = &s->options;
    struct err local = ERR_INIT;
    if (*client == NULL)
        *client = o->client_for(o->arg, name, region[0] ? region : NULL, &local);
    *store = *client != NULL ? o->store_for(o->arg, *client, name, &local) : NULL;
    if (*store != NULL)
        return ERR_OK;
    return err_set(e, local.code != ERR_OK ? local.code : ERR_NOMEM, "bucket %s: %s", name, local.msg);
}

/* The client goes with it in any case. */
static enum err_code open_with(struct buckets *s, const char *name, struct aws_client *client, struct bucket **out,
                               struct err *e)
{
    char region[AWS_REGION_SIZE];
    struct store *store = NULL;
    lock_take(&s->lock);
    struct bucket *b = add_locked(s, name);
    while (b != NULL && b->opening)
        cond_wait(&s->opened, &s->lock, UINT64_MAX);
    bool open = b != NULL && b->store != NULL;
    if (b != NULL && !open) {
        b->opening = true;
        memcpy(region, b->region, sizeof(region));
    }
    lock_drop(&s->lock);
    if (b == NULL || open) {
        table_drop_client(s, client);
        *out = b;
        return b != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "bucket %s", name);
    }
    enum err_code code = make(s, name, region, &client, &store, e);
    if (code != ERR_OK)
        table_drop_client(s, TAKE(client));
    LOCK_SCOPE(&s->lock);
    b->client = client;
    b->store = store;
    b->opening = false;
    cond_broadcast(&s->opened);
    *out = b;
    return code;
}

enum err_code table_open(struct buckets *s, const char *name, struct bucket **out, struct err *e)
{
    *out = table_opened(s, name);
    return *out != NULL ? ERR_OK : open_with(s, name, NULL, out, e);
}

struct bucket *table_opened(struct buckets *s, const char *name)
{
    LOCK_SCOPE(&s->lock);
    struct bucket *b = find_locked(s, name);
    return b != NULL && b->store != NULL ? b : NULL;
}

void table_adopt(struct buckets *s, const char *name, struct aws_client *client)
{
    struct bucket *b;
    struct err local = ERR_INIT;
    if (open_with(s, name, client, &b, &local) != ERR_OK)
        return; /* whoever uses it tries again, and has the error then */
}

void table_free(struct buckets *s)
{
    size_t cursor = 0;
    for (struct bucket *b; s->table != NULL && (b = map_next(s->table, &cursor)) != NULL;) {
        store_free(b->store);
        aws_client_free(b->client);
        free(b->name);
        free(b);
    }
    map_free(s->table);
}
