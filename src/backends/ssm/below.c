/*
 * A page of what is below a name. Which right there is for it is found out by asking: listing with decryption, listing without,
 * and the names alone by DescribeParameters. What was refused is not asked for again for a while.
 */
#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/requests.h"
#include "util/clock.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define REFUSED_MS 60000

/* In front of DescribeParameters' tokens, which GetParametersByPath does not know. */
#define NAMES_TOKEN "names:"

static const char *subject_of(const char *path)
{
    return path[0] ? path : "/";
}

static enum err_code ask_page(struct ssm *s, const char *path, unsigned max, const char *token, bool decrypt,
                              const struct store_call *call, struct ssm_page *out, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_by_path(&request, path, max, decrypt, token);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "GetParametersByPath", subject_of(path), &request, call, &reply, e);
    if (code != ERR_OK)
        return code;
    code = ssm_parse_page(buf_str(&reply.body), reply.body.len, out, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "GetParametersByPath %s: reply (request %s)", subject_of(path), reply.request_id);
    for (size_t i = 0; !decrypt && i < out->n; i++)
        if (ssm_is_secret(&out->params[i]))
            ssm_param_seal(&out->params[i]);
    return ERR_OK;
}

/* One secret that cannot be decrypted refuses its whole page: then the page is asked for without decryption, and what is secret in it
 * is decrypted when it is opened. Where decryption is not allowed at all, that is remembered for a while. */
static enum err_code fetch_page(struct ssm *s, const char *path, unsigned max, const char *token, const struct store_call *call,
                                struct ssm_page *out, struct err *e)
{
    uint64_t now = clock_mono_ms();
    if (s->seal || atomic_load(&s->no_decrypt_ms) > now)
        return ask_page(s, path, max, token, false, call, out, e);
    struct err why = ERR_INIT;
    enum err_code code = ask_page(s, path, max, token, true, call, out, &why);
    if (code != ERR_KEY_REJECTED && code != ERR_ACCESS)
        return code == ERR_OK ? code : err_copy(e, &why);
    struct err plain = ERR_INIT;
    if (ask_page(s, path, max, token, false, call, out, &plain) != ERR_OK)
        return err_copy(e, &why);
    if (code == ERR_ACCESS)
        atomic_store(&s->no_decrypt_ms, now + REFUSED_MS);
    return ERR_OK;
}

static enum err_code ask_names(struct ssm *s, const char *path, const char *token, const struct store_call *call,
                               struct ssm_page *out, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_describe_below(&request, path, SSM_PAGE_MAX, token);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "DescribeParameters", subject_of(path), &request, call, &reply, e);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    code = ssm_parse_names(buf_str(&reply.body), reply.body.len, &page, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "DescribeParameters %s: reply (request %s)", subject_of(path), reply.request_id);
    char *next = page.next ? str_printf(NAMES_TOKEN "%s", page.next) : NULL;
    if (page.next != NULL && next == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    free(page.next);
    page.next = next;
    *out = page;
    page = (struct ssm_page){0};
    return ERR_OK;
}

/* Listing was refused with `why`, now or a short while ago (NULL). ERR_ACCESS: nobody tells names. */
static enum err_code ask_names_instead(struct ssm *s, const char *path, const struct err *why, const struct store_call *call,
                                       struct ssm_page *out, struct err *e)
{
    uint64_t now = clock_mono_ms();
    struct err own = ERR_INIT;
    enum err_code code = ERR_ACCESS;
    if (atomic_load(&s->no_names_ms) <= now)
        code = ask_names(s, path, NULL, call, out, &own);
    else if (why == NULL)
        return ERR_ACCESS;
    if (code == ERR_OK && why != NULL)
        atomic_store(&s->no_list_ms, now + REFUSED_MS);
    else if (own.code == ERR_ACCESS)
        atomic_store(&s->no_names_ms, now + REFUSED_MS);
    if (code == ERR_OK)
        return code;
    return err_copy(e, code == ERR_ACCESS && why != NULL ? why : &own);
}

enum err_code ssm_page_below(struct ssm *s, const char *path, unsigned max, bool question, const char *token,
                             const struct store_call *call, struct ssm_page *out, struct err *e)
{
    if (token != NULL && str_starts(token, NAMES_TOKEN))
        return ask_names(s, path, token + strlen(NAMES_TOKEN), call, out, e);
    struct err why = ERR_INIT;
    enum err_code code = ERR_ACCESS;
    bool names = question && token == NULL;
    if (names && atomic_load(&s->no_list_ms) > clock_mono_ms())
        code = ask_names_instead(s, path, NULL, call, out, &why);
    if (code != ERR_ACCESS)
        return code == ERR_OK ? code : err_copy(e, &why);
    code = fetch_page(s, path, max, token, call, out, &why);
    if (code == ERR_ACCESS && names)
        return ask_names_instead(s, path, &why, call, out, e);
    return code == ERR_OK ? code : err_copy(e, &why);
}
