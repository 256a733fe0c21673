/* A removal of many keys, which may be those of several buckets. */
#include "backends/buckets/impl.h"

#include <stdlib.h>

/* The keys of one bucket, with their places in the whole. */
struct share {
    const char **keys, **etags;
    size_t *places, n;
    enum err_code *results;
};

static enum err_code remove_share(struct bucket *b, struct share *h, const struct store_call *call,
                                  enum err_code *results, struct err *e)
{
    enum err_code code = store_remove_many(b->store, h->keys, h->etags, h->n, call, h->results, e);
    for (size_t i = 0; code == ERR_OK && i < h->n; i++)
        results[h->places[i]] = h->results[i];
    return code;
}

static enum err_code remove_shares(struct buckets *s, struct share *h, const char *const *keys, const char *const *etags,
                                   size_t n, const struct store_call *call, enum err_code *results, struct err *e)
{
    CLEANUP(free) bool *taken = calloc(n, sizeof(*taken));
    if (taken == NULL)
        return err_set(e, ERR_NOMEM, "removal of %zu keys", n);
    for (size_t first = 0; first < n; first++) {
        struct target t, other;
        if (taken[first])
            continue;
        enum err_code code = target_of_object(s, keys[first], &t, e);
        h->n = 0;
        for (size_t i = first; code == ERR_OK && i < n; i++) {
            if (taken[i] || (code = target_of_object(s, keys[i], &other, e)) != ERR_OK || other.bucket != t.bucket)
                continue;
            taken[i] = true;
            h->keys[h->n] = other.rest;
            h->etags[h->n] = etags != NULL ? etags[i] : NULL;
            h->places[h->n++] = i;
        }
        if (code == ERR_OK)
            code = remove_share(t.bucket, h, call, results, e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

enum err_code route_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                                       const struct store_call *call, enum err_code *results, struct err *e)
{
    CLEANUP(free) const char **own = calloc(n, sizeof(*own));
    CLEANUP(free) const char **own_etags = calloc(n, sizeof(*own_etags));
    CLEANUP(free) size_t *places = calloc(n, sizeof(*places));
    CLEANUP(free) enum err_code *codes = calloc(n, sizeof(*codes));
    struct share h = {own, own_etags, places, 0, codes};
    if (own == NULL || own_etags == NULL || places == NULL || codes == NULL)
        return err_set(e, ERR_NOMEM, "removal of %zu keys", n);
    return remove_shares(impl, &h, keys, etags, n, call, results, e);
}
