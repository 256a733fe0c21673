/* What `awsfs check` tries in a Parameter Store. Nothing tried lasts: names are random where something is deleted, and
 * a value is put without Overwrite onto a name that is there. */
#include "backends/ssm/check.h"

#include "aws/client.h"
#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/requests.h"
#include "backends/ssm/watch.h"
#include "store/trials.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE      "awsfs check"
#define LABEL      "check-of-awsfs"
#define NO_VERSION 999999999

/* All that the trials share. */
struct check {
    struct ssm *s;
    struct ssm_outcome o[SSM_TRIES];
    struct ssm_name scratch;    /* that is not there */
    char known[SSM_NAME_SIZE];  /* that is there; "" */
    char secret[SSM_NAME_SIZE]; /* a SecureString that is there; "" */
    bool made;                  /* `known` was gone and the put made it */
    struct check_report *report;
};

struct trial {
    struct check *check;
    enum ssm_try what;
};

static void note_clock(struct check *c, const struct ssm_reply *reply)
{
    if (reply->status == 0 || reply->date_ms == 0)
        return;
    c->report->clock_known = true;
    c->report->clock_ahead_s = clock_now().tv_sec - reply->date_ms / 1000;
}

/* Sends and keeps what is to be known; the reply's bytes stay in `reply`. */
static void send(struct check *c, enum ssm_try what, const char *op, const char *subject, const struct buf *request,
                 const struct store_call *call, struct ssm_reply *reply)
{
    struct ssm_outcome *o = &c->o[what];
    struct err e = ERR_INIT;
    o->tried = true;
    o->code = ssm_call(c->s, op, subject, request, call, reply, &e);
    o->status = reply->status;
    /* What was given up has been refused again and again, or was never answered. */
    struct err why = ERR_INIT;
    if ((o->code == ERR_CANCELED || o->code == ERR_TIMEOUT) && aws_client_trouble(c->s->client, &why))
        (void)snprintf(o->msg, sizeof(o->msg), "no answer in time: %s", why.msg);
    else
        memcpy(o->msg, e.msg, sizeof(o->msg));
}

static const char *path_of(const struct check *c)
{
    return c->s->path[0] ? c->s->path : "/";
}

/* Remembers names of the page, and whether values came decrypted. */
static void note_page(struct check *c, enum ssm_try what, const struct ssm_reply *reply)
{
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    struct ssm_outcome *o = &c->o[what];
    struct err e = ERR_INIT;
    if (ssm_parse_page(buf_str(&reply->body), reply->body.len, &page, &e) != ERR_OK) {
        o->code = e.code;
        o->status = 0;
        memcpy(o->msg, e.msg, sizeof(o->msg));
        return;
    }
    for (size_t i = 0; i < page.n; i++) {
        const char *name = page.params[i].name;
        bool is_secret = strcmp(page.params[i].type, "SecureString") == 0;
        o->secrets |= is_secret;
        if (c->known[0] == 0 && strlen(name) < sizeof(c->known) - 1)
            (void)snprintf(c->known, sizeof(c->known), "%s%s", name[0] == '/' ? "" : "/", name);
        if (c->secret[0] == 0 && is_secret && strlen(name) < sizeof(c->secret) - 1)
            (void)snprintf(c->secret, sizeof(c->secret), "%s%s", name[0] == '/' ? "" : "/", name);
    }
}

/* As a mount asks at its start: with values. `max` of it is a whole page here. */
static void try_page(struct check *c, enum ssm_try what, const struct store_call *call)
{
    BUF(request, SSM_BODY_MAX);
    SSM_REPLY(reply);
    ssm_request_page(&request, c->s->path, SSM_PAGE_MAX, what == SSM_TRY_PAGE);
    send(c, what, "GetParametersByPath", path_of(c), &request, call, &reply);
    if (what == SSM_TRY_PAGE)
        note_clock(c, &reply);
    if (c->o[what].code == ERR_OK)
        note_page(c, what, &reply);
}

static void try_get(struct check *c, enum ssm_try what, const char *name, bool decrypt, const struct store_call *call)
{
    BUF(request, SSM_BODY_MAX);
    SSM_REPLY(reply);
    ssm_request_get(&request, name, decrypt);
    send(c, what, "GetParameter", name, &request, call, &reply);
}

static void try_put(struct check *c, enum ssm_try what, const struct store_call *call)
{
    bool secret = what == SSM_TRY_ENCRYPT;
    const struct ssm_put put = {.name = c->known,
                                .value = VALUE,
                                .len = strlen(VALUE),
                                .type = secret ? "SecureString" : "String",
                                .key_id = secret ? c->s->key_id : NULL};
    BUF(request, SSM_BODY_MAX);
    SSM_REPLY(reply);
    if (c->known[0] == 0 || (secret && strcmp(c->s->type, "SecureString") != 0))
        return;
    ssm_request_put(&request, &put);
    send(c, what, "PutParameter", c->known, &request, call, &reply);
    if (c->o[what].code == ERR_OK)
        c->made = true;
}

/* ---- Requests about a name that is not there */

static void get_one(struct buf *out, const char *name)
{
    ssm_request_get(out, name, false);
}

static void get_many(struct buf *out, const char *name)
{
    ssm_request_get_many(out, &name, 1, false);
}

static void history(struct buf *out, const char *name)
{
    ssm_request_history(out, name, 1, false, NULL);
}

static void tag(struct buf *out, const char *name)
{
    static char key[] = LABEL, value[] = "";
    const struct ssm_tags tags = {.tags = {{key, value}}, .n = 1};
    ssm_request_add_tags(out, name, &tags);
}

static void untag(struct buf *out, const char *name)
{
    ssm_request_remove_tag(out, name, LABEL);
}

static void delete_many(struct buf *out, const char *name)
{
    ssm_request_delete_many(out, &name, 1);
}

static void describe(struct buf *out, const char *name)
{
    ssm_request_describe(out, name, NULL);
}

static const struct {
    const char *op;
    void (*request)(struct buf *out, const char *name);
} scratches[SSM_TRIES] = {
    [SSM_TRY_GET] = {"GetParameter", get_one},
    [SSM_TRY_GET_MANY] = {"GetParameters", get_many},
    [SSM_TRY_HISTORY] = {"GetParameterHistory", history},
    [SSM_TRY_TAGS] = {"ListTagsForResource", ssm_request_tags},
    [SSM_TRY_TAG] = {"AddTagsToResource", tag},
    [SSM_TRY_UNTAG] = {"RemoveTagsFromResource", untag},
    [SSM_TRY_DELETE] = {"DeleteParameter", ssm_request_delete},
    [SSM_TRY_DELETE_MANY] = {"DeleteParameters", delete_many},
    [SSM_TRY_DESCRIBE] = {"DescribeParameters", describe},
};

static void try_scratch(struct check *c, enum ssm_try what, const struct store_call *call)
{
    BUF(request, SSM_BODY_MAX);
    SSM_REPLY(reply);
    scratches[what].request(&request, c->scratch.text);
    send(c, what, scratches[what].op, c->scratch.text, &request, call, &reply);
}

/* ---- */

/* Of a version that no parameter has; of a name that is none some servers make one by that. */
static void try_label(struct check *c, enum ssm_try what, const struct store_call *call)
{
    const char *label = LABEL;
    BUF(request, SSM_BODY_MAX);
    SSM_REPLY(reply);
    if (c->known[0] == 0)
        return;
    ssm_request_labels(&request, c->known, NO_VERSION, &label, 1);
    send(c, what, what == SSM_TRY_LABEL ? "LabelParameterVersion" : "UnlabelParameterVersion", c->known, &request, call,
         &reply);
}

static void try_queue(struct check *c, enum ssm_try what, const struct store_call *call)
{
    struct ssm_outcome *o = &c->o[what];
    struct err e = ERR_INIT;
    if (c->s->queue == NULL)
        return;
    o->tried = true;
    o->code = watch_try(c->s->queue_client, c->s->queue, what == SSM_TRY_FORGET, call, &e);
    memcpy(o->msg, e.msg, sizeof(o->msg));
}

static void try_one(void *item, const struct store_call *call)
{
    const struct trial *t = item;
    struct check *c = t->check;
    switch ((int)t->what) {
    case SSM_TRY_PAGE:
    case SSM_TRY_PAGE_PLAIN:
        try_page(c, t->what, call);
        break;
    case SSM_TRY_ROOT:
        try_get(c, SSM_TRY_ROOT, path_of(c), false, call);
        break;
    case SSM_TRY_SECRET:
        if (c->secret[0] != 0)
            try_get(c, SSM_TRY_SECRET, c->secret, true, call);
        break;
    case SSM_TRY_PUT:
    case SSM_TRY_ENCRYPT:
        try_put(c, t->what, call);
        break;
    case SSM_TRY_LABEL:
    case SSM_TRY_UNLABEL:
        try_label(c, t->what, call);
        break;
    case SSM_TRY_RECEIVE:
    case SSM_TRY_FORGET:
        try_queue(c, t->what, call);
        break;
    default:
        try_scratch(c, t->what, call);
        break;
    }
}

static void run(struct check *c, struct trials *t, uint64_t until_ms, const enum ssm_try *whats, size_t n)
{
    struct trial items[SSM_TRIES];
    for (size_t i = 0; i < n; i++)
        items[i] = (struct trial){c, whats[i]};
    trials_run(t, until_ms, items, n, sizeof(*items), try_one);
}

/* Somebody deleted `known` between the page and the put. */
static void remove_made(void *item, const struct store_call *call)
{
    struct check *c = ((struct trial *)item)->check;
    BUF(request, SSM_BODY_MAX);
    SSM_REPLY(reply);
    struct err e = ERR_INIT;
    ssm_request_delete(&request, c->known);
    if (ssm_call(c->s, "DeleteParameter", c->known, &request, call, &reply, &e) != ERR_OK)
        (void)snprintf(c->o[SSM_TRY_PUT].msg, ERR_MSG_SIZE,
                       "it was deleted meanwhile, and now is there with the value of "
                       "this check: %.160s",
                       e.msg);
}

static void try_all(struct check *c, struct trials *t, const struct check_limits *limits)
{
    static const enum ssm_try harmless[] = {SSM_TRY_GET,      SSM_TRY_GET_MANY, SSM_TRY_HISTORY, SSM_TRY_TAGS,
                                            SSM_TRY_TAG,      SSM_TRY_UNTAG,    SSM_TRY_DELETE,  SSM_TRY_DELETE_MANY,
                                            SSM_TRY_DESCRIBE, SSM_TRY_RECEIVE,  SSM_TRY_FORGET,  SSM_TRY_PAGE_PLAIN,
                                            SSM_TRY_ROOT},
                              others[] = {SSM_TRY_PUT, SSM_TRY_SECRET, SSM_TRY_LABEL, SSM_TRY_UNLABEL},
                              last[] = {SSM_TRY_ENCRYPT};
    uint64_t now = clock_mono_ms(), half = limits->try_ms > now ? now + (limits->try_ms - now) / 2 : now;
    bool denied = c->o[SSM_TRY_PAGE].code != ERR_OK;
    run(c, t, half, harmless, ARRAY_LEN(harmless) - (denied ? 0 : 2));
    run(c, t, limits->try_ms, others, ARRAY_LEN(others));
    if (c->o[SSM_TRY_PUT].code == ERR_EXISTS)
        run(c, t, limits->try_ms, last, ARRAY_LEN(last));
    if (c->made) {
        struct trial one = {.check = c};
        trials_run(t, limits->end_ms, &one, 1, sizeof(one), remove_made);
    }
}

static enum err_code name_scratch(struct check *c, struct err *e)
{
    uint8_t random[8];
    char hex[17], key[40];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    int n = snprintf(key, sizeof(key), "check-of-awsfs-%s", hex);
    return ssm_name_join(c->s->path, key, (size_t)n, &c->scratch, e);
}

enum err_code ssm_check_try(void *impl, const struct check_limits *limits, struct check_report *out, struct err *e)
{
    struct ssm *s = impl;
    CLEANUP(trials_free) struct trials *t = trials_new(e);
    CLEANUP(free) struct check *c = calloc(1, sizeof(*c));
    if (t == NULL || c == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the trials");
    c->s = s;
    s->quiet = true;
    c->report = out;
    enum err_code code = name_scratch(c, e);
    if (code != ERR_OK)
        return code;
    struct trial page = {.check = c, .what = SSM_TRY_PAGE};
    trials_run(t, limits->first_ms, &page, 1, sizeof(page), try_one);
    enum err_code first = c->o[SSM_TRY_PAGE].code;
    if (first == ERR_OK || first == ERR_ACCESS || first == ERR_KEY_REJECTED)
        try_all(c, t, limits);
    enum check_need writes = s->read_only ? CHECK_OPTIONAL : CHECK_NOT_DENIED;
    const struct ssm_check_mount m = {
        .path = s->path, .queue = s->queue, .writes = writes, .describe = s->key_id[0] ? CHECK_OPTIONAL : writes};
    ssm_check_rows(c->o, &m, out);
    return ERR_OK;
}
