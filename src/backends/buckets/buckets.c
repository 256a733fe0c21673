/* The store of all buckets: construction, what it can do, counts. */
#include "backends/buckets/buckets.h"

#include "backends/buckets/impl.h"
#include "store/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum err_code buckets_probe(void *impl, const struct store_call *call, struct err *e)
{
    return account_probe(impl, call, e);
}

static void add_count(void *arg, const char *kind, uint64_t count)
{
    tally_add(arg, kind, count);
}

/* A client's counts and its store's are the same requests: the store tells them. */
void buckets_each_count(void *impl, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg)
{
    struct buckets *s = impl;
    struct tally sum;
    lock_take(&s->lock);
    sum = s->gone;
    size_t n = 0, cursor = 0;
    struct store **open = calloc(map_size(s->table) + 1, sizeof(struct store *));
    for (struct bucket *b; open != NULL && (b = map_next(s->table, &cursor)) != NULL;)
        if (b->store != NULL)
            open[n++] = b->store;
    lock_drop(&s->lock);
    aws_client_each_count(s->client, add_count, &sum);
    for (size_t i = 0; i < n; i++)
        store_each_count(open[i], add_count, &sum);
    free(open);
    for (size_t i = 0; i < sum.n; i++)
        fn(arg, sum.items[i].kind, sum.items[i].count);
}

void buckets_free(void *impl)
{
    struct buckets *s = impl;
    table_free(s);
    cond_release(&s->opened);
    lock_release(&s->lock);
    free(s);
}

static struct map_key name_of(const void *value)
{
    const struct bucket *b = value;
    return (struct map_key){b->name, strlen(b->name)};
}

static void fill_caps(const struct buckets *s, struct store_caps *caps)
{
    char endpoint[96];
    *caps = *s->options.caps;
    caps->flags |= STORE_CONTAINERS;
    if (s->options.read_only)
        caps->flags |= STORE_READ_ONLY;
    caps->max_key += BUCKET_NAME_MAX + 1;
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    (void)snprintf(caps->name, sizeof(caps->name), "s3:// at %s", endpoint);
}

struct store *buckets_store_new(struct aws_client *client, const struct buckets_options *o, struct err *e)
{
    struct store_caps caps;
    struct buckets *s = calloc(1, sizeof(*s));
    if (s == NULL || (s->table = map_new(name_of)) == NULL) {
        free(s);
        (void)err_set(e, ERR_NOMEM, "s3://");
        return NULL;
    }
    lock_init(&s->lock, "buckets", LOCK_STORE);
    cond_init(&s->opened);
    s->client = client;
    s->options = *o;
    fill_caps(s, &caps);
    s->options.caps = NULL; /* the caller's */
    struct store *store = store_new(&buckets_ops, s, &caps, e);
    if (store == NULL)
        buckets_free(s);
    return store;
}
