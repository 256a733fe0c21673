#include "backends/ssm/ssm.h"

#include "aws/client.h"
#include "backends/ssm/attrs.h"
#include "backends/ssm/check.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/pace.h"
#include "backends/ssm/rules.h"
#include "backends/ssm/view.h"
#include "backends/ssm/watch.h"
#include "store/ops.h"
#include "util/pool.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define RATE_DEFAULT 10
#define BURST        40
#define KNOWN_MAX    20000
#define GET_THREADS  8

static void ssm_free(void *impl)
{
    struct ssm *s = impl;
    if (s == NULL)
        return;
    watch_stop(s->watch);
    free(s->queue);
    pool_free(s->pool);
    known_free(s->known);
    pace_free(s->pace);
    trouble_release(&s->trouble);
    rules_free(s->rules);
    free(s->type);
    free(s->tier);
    free(s->key_id);
    free(s);
}
CLEANUP_DEFINE(struct ssm, ssm_free)

static bool ssm_stays_local(void *impl, const char *name)
{
    return ssm_name_stays_local(name);
}

static void ssm_each_count(void *impl, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg)
{
    struct ssm *s = impl;
    aws_client_each_count(s->client, fn, arg);
}

static enum err_code ssm_watch(void *impl, void (*changed)(void *arg, const char *key, bool listed), void *arg, struct err *e)
{
    struct ssm *s = impl;
    watch_stop(TAKE(s->watch));
    if (s->queue == NULL || changed == NULL)
        return ERR_OK;
    s->watch = watch_start(s->queue_client, s->queue, s->path, changed, arg, e);
    return s->watch ? ERR_OK : ERR_NOMEM;
}

static const struct store_ops ops = {
    .list = ssm_list,
    .stat = ssm_stat,
    .get = ssm_get,
    .put = ssm_put,
    .check = ssm_check,
    .check_move = ssm_check_move,
    .stays_local = ssm_stays_local,
    .copy = ssm_copy,
    .remove = ssm_remove,
    .remove_many = ssm_remove_many,
    .property_get = ssm_property_get,
    .property_set = ssm_property_set,
    .property_prepare = attrs_prepare,
    .form = ssm_form,
    .view = ssm_view,
    .probe = ssm_probe,
    .try = ssm_check_try,
    .each_count = ssm_each_count,
    .watch = ssm_watch,
    .free = ssm_free,
};

/* One of `legal`, which ends with NULL; its first is the default. */
static enum err_code choose(const char *option, const char *value, const char *const *legal, char **out, struct err *e)
{
    for (size_t i = 0; legal[i] != NULL; i++) {
        if (value == NULL || strcmp(value, legal[i]) == 0) {
            *out = strdup(legal[i]);
            return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
        }
    }
    BUF(names, 256);
    for (size_t i = 0; legal[i] != NULL; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", legal[i]);
    return err_set(e, ERR_INVAL, "%s=%s: must be one of %s", option, value, buf_str(&names));
}

static enum err_code take_key_id(struct ssm *s, const char *key_id, struct err *e)
{
    const char *id = key_id ? key_id : "";
    if (key_id != NULL && !ssm_key_id_legal(id))
        return err_set(e, ERR_INVAL, "ssm_key=%.80s: must be a key's id, ARN or alias/NAME", id);
    if (id[0] && strcmp(s->type, "SecureString") != 0 && !rules_have_secrets(s->rules))
        return err_set(e, ERR_INVAL, "ssm_key=: only for SecureStrings, and neither ssm_type= nor ssm_rule= makes any");
    s->key_id = strdup(id);
    return s->key_id ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code take_options(struct ssm *s, const struct ssm_options *o, struct err *e)
{
    static const char *const types[] = {"SecureString", "String", "StringList", NULL};
    static const char *const tiers[] = {"Standard", "Advanced", "Intelligent-Tiering", NULL};
    enum err_code code = ssm_path_make(o->path, s->path, sizeof(s->path), e);
    if (code == ERR_OK)
        code = choose("ssm_type", o->type, types, &s->type, e);
    if (code == ERR_OK)
        code = choose("ssm_tier", o->tier, tiers, &s->tier, e);
    if (code == ERR_OK)
        code = rules_parse(o->rules, &s->rules, e);
    return code == ERR_OK ? take_key_id(s, o->key_id, e) : code;
}

static enum err_code start(struct ssm *s, const struct ssm_options *o, struct err *e)
{
    char region[64];
    aws_client_region(s->client, region, sizeof(region));
    atomic_init(&s->arn_prefix, ssm_arn_prefix_of_region(region));
    s->known = known_new(KNOWN_MAX);
    if (s->known == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->pace = pace_new(o->rate ? o->rate : RATE_DEFAULT, BURST, e);
    if (s->pace == NULL)
        return ERR_NOMEM;
    if (getrandom(s->salt, sizeof(s->salt), 0) != (ssize_t)sizeof(s->salt))
        return err_set(e, ERR_IO, "no random numbers");
    s->pool = pool_new("ssm get", GET_THREADS, e);
    return s->pool ? ERR_OK : ERR_NOMEM;
}

static void fill_caps(const struct ssm *s, const struct ssm_options *o, struct store_caps *caps)
{
    char endpoint[160];
    uint64_t max = SSM_VALUE_ADVANCED + (s->newline != SSM_NEWLINE_KEEP);
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    *caps = (struct store_caps){
        .flags = STORE_LIST_SUBTREE | STORE_LIST_CONTENT | STORE_SECRET | STORE_SELF_NAMES | STORE_EMPTY_REFUSED |
                 STORE_SLOW_COPY | STORE_UNORDERED | (o->read_only ? STORE_READ_ONLY : 0),
        .max_object = max,
        .put_max = max,
        .put_target = max,
        .view_max = VIEW_VALUES_MAX,
        .max_key = SSM_ARN_MAX - strlen(s->path) - 1,
        .xattr_prefix = "user.ssm.",
    };
    snprintf(caps->name, sizeof(caps->name), "ssm:%.80s at %s", s->path[0] ? s->path : "/", endpoint);
}

struct store *ssm_store_new(struct aws_client *client, const struct ssm_options *o, struct err *e)
{
    CLEANUP(ssm_free) struct ssm *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    s->client = client;
    trouble_init(&s->trouble);
    s->newline = o->newline;
    s->seal = o->seal;
    s->queue_client = o->queue_client;
    s->queue = o->queue ? strdup(o->queue) : NULL;
    if (o->queue && !s->queue) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    s->rename_copy = o->rename_copy;
    s->read_only = o->read_only;
    if (take_options(s, o, e) != ERR_OK || start(s, o, e) != ERR_OK)
        return NULL;
    struct store_caps caps;
    fill_caps(s, o, &caps);
    struct store *store = store_new(&ops, s, &caps, e);
    if (store != NULL)
        s = NULL;
    return store;
}
