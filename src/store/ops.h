/*
 * What a backend implements: the calls of awsfs/store.h, one to one, without the checks that the dispatcher (store.c)
 * makes for all: arguments sane, flags honoured (an operation whose flag is absent may be NULL), entries of a page in
 * order and below the prefix, keys valid, results complete; it logs each call at debug level. A NULL optional operation
 * is ERR_UNSUPPORTED.
 */
#ifndef STORE_OPS_H
#define STORE_OPS_H

#include "awsfs/store.h"

struct store_ops {
    enum err_code (*list)(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                          struct err *e);
    enum err_code (*stat)(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                          struct err *e);
    enum err_code (*get)(void *impl, const struct store_get *g, struct err *e);
    enum err_code (*put)(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                         const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                         struct err *e);
    enum err_code (*check)(void *impl, const char *key, bool is_dir, const struct store_body *body, struct err *e);
    enum err_code (*check_move)(void *impl, const char *key, const struct store_version *version, struct err *e);
    bool (*stays_local)(void *impl, const char *name); /* NULL: none does */
    enum err_code (*upload_begin)(void *impl, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                                  const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e);
    enum err_code (*upload_part)(void *impl, const char *key, const char *upload_id, const struct store_body *body,
                                 const struct store_call *call, struct store_part *part, struct err *e);
    enum err_code (*upload_copy)(void *impl, const char *key, const char *upload_id,
                                 const struct store_part_source *source, const struct store_call *call,
                                 struct store_part *part, struct err *e);
    enum err_code (*upload_finish)(void *impl, const char *key, const char *upload_id, const struct store_part *parts,
                                   size_t n, const uint8_t *sha512, const struct store_cond *cond,
                                   const struct store_call *call, struct store_version *out, struct err *e);
    enum err_code (*upload_abort)(void *impl, const char *key, const char *upload_id, const struct store_call *call,
                                  struct err *e);
    enum err_code (*upload_list)(void *impl, const char *key, const struct store_call *call,
                                 void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e);
    enum err_code (*copy)(void *impl, const struct store_copy *c, const struct store_call *call,
                          struct store_version *out, struct err *e);
    enum err_code (*rename)(void *impl, const struct store_copy *c, const struct store_call *call, struct err *e);
    enum err_code (*remove)(void *impl, const char *key, const char *etag, const struct store_call *call,
                            struct err *e);
    /* `etags` is NULL unless one of its entries is not. */
    enum err_code (*remove_many)(void *impl, const char *const *keys, const char *const *etags, size_t n,
                                 const struct store_call *call, enum err_code *results, struct err *e);
    enum err_code (*sync)(void *impl, const struct store_call *call, struct err *e); /* NULL: nothing to do */
    enum err_code (*property_get)(void *impl, const char *key, const struct store_object *object, const char *name,
                                  const struct store_call *call, struct buf *out, struct err *e);
    enum err_code (*property_set)(void *impl, const char *key, const struct store_meta *meta, const char *name,
                                  const void *value, size_t len, const struct store_call *call,
                                  struct store_meta **meta_out, struct err *e);
    enum err_code (*property_prepare)(void *impl, const char *key, const struct store_meta *meta, const char *name,
                                      const void *value, size_t len, struct store_meta **meta_out, struct err *e);
    enum err_code (*check_meta)(void *impl, const char *key, const struct store_meta *meta, struct err *e);
    enum store_form (*form)(void *impl, const char *key); /* NULL: every key is STORE_FORM_PLAIN */
    enum err_code (*view)(void *impl, const char *key, const struct store_view_item *items, size_t n,
                          const struct store_call *call, struct store_object *out, struct err *e);
    enum err_code (*probe)(void *impl, const struct store_call *call, struct err *e);
    enum err_code (*try)(void *impl, const struct check_limits *limits, struct check_report *out, struct err *e);
    void (*each_count)(void *impl, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg);
    enum err_code (*learn)(void *impl, const struct store_call *call, struct err *e);
    void (*each_trait)(void *impl,
                       void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning),
                       void *arg);
    enum err_code (*watch)(void *impl, void (*changed)(void *arg, const char *key, bool listed), void *arg, struct err *e);
    void (*free)(void *impl);
};

/* Wraps an implementation. `ops` must be static, `caps` is copied; on success the store owns `impl`. */
struct store *store_new(const struct store_ops *ops, void *impl, const struct store_caps *caps, struct err *e);

#endif
