#include "store/fetch.h"

#include "store/meta.h"
#include "util/lock.h"

#include <string.h>

/* ---- A get and its end */

struct fetch {
    struct lock lock; /* LOCK_LEAF */
    struct cond changed;
    bool ended;
    enum err_code code;
    struct err err;
    struct store_object *out;
    bool (*data)(void *arg, const void *p, size_t len);
    void *arg;
};

static bool on_data(void *arg, const void *p, size_t len)
{
    const struct fetch *f = arg;
    return f->data(f->arg, p, len);
}

static void on_done(void *arg, enum err_code code, const struct store_object *object, const struct err *e)
{
    struct fetch *f = arg;
    LOCK_SCOPE(&f->lock);
    f->code = code;
    if (code)
        (void)err_copy(&f->err, e);
    else if (f->out && object)
        *f->out = (struct store_object){.version = object->version, .meta = store_meta_ref(object->meta)};
    f->ended = true;
    cond_broadcast(&f->changed);
}

enum err_code store_fetch(struct store *s, const struct store_get *g, struct store_object *out, struct err *e)
{
    struct fetch f = {.out = out, .data = g->data, .arg = g->arg};
    struct store_get get = *g;
    get.data = on_data;
    get.done = on_done;
    get.arg = &f;
    lock_init(&f.lock, "fetch", LOCK_LEAF);
    cond_init(&f.changed);
    enum err_code code = store_get(s, &get, e);
    if (!code) {
        lock_take(&f.lock);
        while (!f.ended)
            (void)cond_wait(&f.changed, &f.lock, UINT64_MAX);
        lock_drop(&f.lock);
        code = f.code;
        if (code)
            (void)err_copy(e, &f.err);
    }
    cond_release(&f.changed);
    lock_release(&f.lock);
    return code;
}

/* ---- What is made of the bytes */

struct hashing {
    struct digest *digest;
    enum err_code code;
    struct err *err;
};

static bool hash_data(void *arg, const void *p, size_t len)
{
    struct hashing *h = arg;
    h->code = digest_update(h->digest, p, len, h->err);
    return h->code == ERR_OK;
}

enum err_code store_hash(struct store *s, const char *key, const struct store_version *v, enum digest_alg alg, struct cancel *cancel,
                         uint8_t out[DIGEST_MAX], struct err *e)
{
    struct err why = ERR_INIT;
    CLEANUP(digest_free) struct digest *d = digest_new(alg, e);
    if (!d)
        return ERR_NOMEM;
    struct hashing h = {.digest = d, .err = &why};
    const struct store_get get = {.key = key, .etag = v->etag, .length = v->size, .whole = true, .call = {.cancel = cancel},
                                  .data = hash_data, .arg = &h};
    enum err_code code = v->size > 0 ? store_fetch(s, &get, NULL, e) : ERR_OK;
    if (h.code)
        return err_copy(e, &why);
    return code ? code : digest_final(d, out, e);
}

enum err_code store_same_bytes(struct store *s, const char *a_key, const struct store_version *a, const char *b_key,
                               const struct store_version *b, struct cancel *cancel, bool *same, struct err *e)
{
    uint8_t a_sum[DIGEST_MAX], b_sum[DIGEST_MAX];
    *same = a->size == b->size && a->size == 0;
    if (*same || a->size != b->size)
        return ERR_OK;
    enum err_code code = store_hash(s, a_key, a, DIGEST_SHA256, cancel, a_sum, e);
    if (!code)
        code = store_hash(s, b_key, b, DIGEST_SHA256, cancel, b_sum, e);
    *same = !code && memcmp(a_sum, b_sum, digest_size(DIGEST_SHA256)) == 0;
    return code;
}
