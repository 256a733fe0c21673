#include "backends/ssm/fetch.h"

#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wanted {
    char *name; /* "/prod/db/host:live" */
    struct ssm_param param; /* its name NULL: not there */
};

struct ssm_fetched {
    struct wanted *wanted;
    size_t n, max_n;
    uint64_t bytes, max;
    bool decrypt;
};

struct ssm_fetched *ssm_fetched_new(size_t n, uint64_t max, bool decrypt)
{
    CLEANUP(ssm_fetched_free) struct ssm_fetched *f = calloc(1, sizeof(*f));
    if (f == NULL || (f->wanted = calloc(n + 1, sizeof(*f->wanted))) == NULL)
        return NULL;
    f->max_n = n;
    f->max = max;
    f->decrypt = decrypt;
    return TAKE(f);
}

void ssm_fetched_free(struct ssm_fetched *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->n; i++) {
        free(f->wanted[i].name);
        ssm_param_release(&f->wanted[i].param);
    }
    free(f->wanted);
    free(f);
}

enum err_code ssm_fetched_want(struct ssm_fetched *f, struct ssm *s, const char *dir, size_t dir_len, const char *rest,
                               const char *selector, struct err *e)
{
    BUF(key, SSM_NAME_SIZE);
    buf_add(&key, dir, dir_len);
    buf_addf(&key, "%s%s%s", rest, selector ? "@" : "", selector ? selector : "");
    struct ssm_name name;
    enum err_code code = buf_check(&key, rest, e);
    if (code == ERR_OK)
        code = ssm_name_for_read(s->path, buf_str(&key), &name, e);
    if (code != ERR_OK)
        return code;
    char *own = f->n < f->max_n ? strdup(name.text) : NULL;
    if (own == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for names");
    f->wanted[f->n++].name = own;
    return ERR_OK;
}

/* The reply has no order, and names the parameter without its selector, or with it apart. */
static struct wanted *asked_for(struct wanted *w, size_t n, const struct ssm_param *p)
{
    for (size_t i = 0; i < n; i++) {
        char base[SSM_NAME_SIZE];
        snprintf(base, sizeof(base), "%.*s", (int)strcspn(w[i].name, ":"), w[i].name);
        if (w[i].param.name == NULL && ssm_name_equal(base, p->name))
            return &w[i];
    }
    return NULL;
}

static enum err_code take(struct ssm_fetched *f, struct wanted *w, struct ssm_param *p, struct err *e)
{
    if (!f->decrypt && ssm_is_secret(p))
        ssm_param_seal(p);
    f->bytes += p->len;
    if (f->bytes > f->max)
        return err_set(e, ERR_TOO_BIG, "values of more than %llu bytes", (unsigned long long)f->max);
    w->param = *p;
    *p = (struct ssm_param){0};
    return ERR_OK;
}

static enum err_code fetch_each(struct ssm_fetched *f, struct ssm *s, struct wanted *w, size_t n,
                                const struct store_call *call, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        struct ssm_name name = {.selector = strchr(w[i].name, ':') != NULL};
        snprintf(name.text, sizeof(name.text), "%s", w[i].name);
        CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
        struct err why = ERR_INIT;
        enum err_code code = f->decrypt ? ssm_read(s, &name, call, &p, &why) : ssm_read_sealed(s, &name, call, &p, &why);
        if (code == ERR_NOT_FOUND)
            continue;
        if (code == ERR_OK)
            code = take(f, &w[i], &p, &why);
        if (code != ERR_OK)
            return err_copy(e, &why);
    }
    return ERR_OK;
}

static enum err_code fetch_batch(struct ssm_fetched *f, struct ssm *s, struct wanted *w, size_t n,
                                 const struct store_call *call, struct err *e)
{
    const char *names[SSM_PAGE_MAX];
    for (size_t i = 0; i < n; i++)
        names[i] = w[i].name;
    BUF(request, SSM_BODY_MAX);
    ssm_request_get_many(&request, names, n, f->decrypt);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "GetParameters", names[0], &request, call, &reply, e);
    if (code == ERR_ACCESS) /* an action of its own, and refused as a whole for one name */
        return fetch_each(f, s, w, n, call, e);
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    if (code == ERR_OK)
        code = ssm_parse_page(buf_str(&reply.body), reply.body.len, &page, e);
    for (size_t i = 0; code == ERR_OK && i < page.n; i++) {
        struct wanted *at = asked_for(w, n, &page.params[i]);
        code = at ? take(f, at, &page.params[i], e) : err_set(e, ERR_PROTO, "it has a parameter that was not asked for");
    }
    if (code == ERR_PROTO)
        return err_prefix(e, code, "GetParameters %s: reply (request %s)", names[0], reply.request_id);
    return code;
}

enum err_code ssm_fetch(struct ssm_fetched *f, struct ssm *s, const struct store_call *call, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t at = 0; code == ERR_OK && at < f->n; at += SSM_PAGE_MAX) {
        size_t n = f->n - at < SSM_PAGE_MAX ? f->n - at : SSM_PAGE_MAX;
        code = fetch_batch(f, s, f->wanted + at, n, call, e);
    }
    return code;
}

const struct ssm_param *ssm_fetched_get(const struct ssm_fetched *f, size_t i)
{
    return i < f->n && f->wanted[i].param.name != NULL ? &f->wanted[i].param : NULL;
}
