/* What the files of this backend share. */
#ifndef SSM_IMPL_H
#define SSM_IMPL_H

#include "awsfs/store.h"
#include "backends/ssm/names.h"
#include "backends/ssm/replies.h"
#include "backends/ssm/ssm.h"
#include "backends/ssm/trouble.h"
#include "util/buf.h"

#include <stdatomic.h>

struct aws_client;
struct known;
struct pace;
struct pool;
struct rules;
struct watch;

/* Constant after its creation but for what has a lock of its own. */
struct ssm {
    struct aws_client *client;
    struct pace *pace;
    struct known *known;
    struct pool *pool;        /* for reads with a completion */
    atomic_size_t arn_prefix; /* of the ARN in front of a name, as learnt from replies */
    char *type, *tier;        /* of new parameters */
    char *key_id;             /* of new SecureStrings; "": the account's default */
    struct rules *rules;      /* types of new parameters by name; NULL: none */
    enum ssm_newline newline;
    struct aws_client *queue_client;
    char *queue;          /* NULL: nobody tells of changes */
    struct watch *watch;
    struct trouble trouble;
    bool quiet;       /* what is refused is what was to be found out */
    bool seal;        /* SecureStrings are decrypted when they are opened, not before */
    _Atomic(uint64_t) no_list_ms, no_names_ms; /* until then names are told by DescribeParameters, or by nothing: below.c */
    _Atomic(uint64_t) no_decrypt_ms; /* until then pages are asked for without decryption, which was refused */
    bool rename_copy; /* hierarchies are renamed although the histories of their parameters stay behind */
    bool read_only;
    uint8_t salt[16]; /* of this process alone */
    char path[SSM_ARN_MAX];   /* "" is the root */
};

/* ---- read.c */

/* What is there under `name`: one GetParameter, whose reply is remembered (unless it has a selector). */
enum err_code ssm_read(struct ssm *s, const struct ssm_name *name, const struct store_call *call, struct ssm_param *out,
                       struct err *e) MUST_CHECK;

/* The same, told without decryption: the value of a SecureString is not there. */
enum err_code ssm_read_sealed(struct ssm *s, const struct ssm_name *name, const struct store_call *call, struct ssm_param *out,
                              struct err *e) MUST_CHECK;

/* Whether it is a SecureString; anything that is not known to be another type is one. */
bool ssm_is_secret(const struct ssm_param *p);

/* The version of what ssm_read() brought. */
void ssm_version_of(struct ssm *s, const struct ssm_name *name, const struct ssm_param *p, struct store_version *out);

/* That of a version that is not the current one, or of what is none of this account's. */
void ssm_version_plain(const struct ssm_param *p, struct store_version *out);

/* Sorts a page's entries, and keeps the first of those with one key. */
void ssm_page_order(struct store_page *p);

/* Makes `out` tell the size of that value as it is shown. */
void ssm_shown_size(const struct ssm *s, const char *value, size_t len, struct store_version *out);

/* As an object of the store; takes the value out of `p`. */
enum err_code ssm_object_of(const struct ssm *s, const struct ssm_param *from, const struct store_version *version, char **value,
                            struct store_object *out, struct err *e) MUST_CHECK;

/* What DescribeParameters tells of the version `number` of `name`, from memory or by a request; -1: whatever is there.
 * NULL in `out` when the service does not list it. */
enum err_code ssm_describe(struct ssm *s, const char *name, int64_t number, const struct store_call *call,
                           struct ssm_described **out, struct err *e) MUST_CHECK;

/* Remembers how long the ARN in front of a name is here. */
void ssm_learn_arn(struct ssm *s, const char *arn);

/* A body of at most 8 KiB and a newline as bytes in secret memory. ERR_IO. */
enum err_code ssm_body_read(const struct store_body *body, char **out, struct err *e) MUST_CHECK;

/* ---- below.c */

/* One page of what is below the full name `path`: GetParametersByPath, at most `max`. For a `question`, whose caller only wants to know
 * whether anything is there, DescribeParameters answers where listing is refused, without values. `token` is NULL or the `next` of the page
 * before. */
enum err_code ssm_page_below(struct ssm *s, const char *path, unsigned max, bool question, const char *token,
                             const struct store_call *call, struct ssm_page *out, struct err *e) MUST_CHECK;

/* ---- The operations; contracts in awsfs/store.h. */

enum err_code ssm_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                       struct err *e);
enum err_code ssm_get(void *impl, const struct store_get *g, struct err *e);
enum err_code ssm_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                       struct err *e);
enum err_code ssm_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                      const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                      struct err *e);
enum err_code ssm_check(void *impl, const char *key, bool is_dir, const struct store_body *body, struct err *e);
enum err_code ssm_check_move(void *impl, const char *key, const struct store_version *version, struct err *e);
enum err_code ssm_copy(void *impl, const struct store_copy *c, const struct store_call *call, struct store_version *out,
                       struct err *e);
enum err_code ssm_remove(void *impl, const char *key, const char *etag, const struct store_call *call, struct err *e);
enum err_code ssm_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                              const struct store_call *call, enum err_code *results, struct err *e);
enum err_code ssm_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                               const struct store_call *call, struct buf *out, struct err *e);
enum err_code ssm_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                               const void *value, size_t len, const struct store_call *call,
                               struct store_meta **meta_out, struct err *e);
enum store_form ssm_form(void *impl, const char *key);
enum err_code ssm_view(void *impl, const char *key, const struct store_view_item *items, size_t n,
                       const struct store_call *call, struct store_object *out, struct err *e);
enum err_code ssm_probe(void *impl, const struct store_call *call, struct err *e);

#endif
