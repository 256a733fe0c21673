#include "aws/identity.h"

#include "aws/client.h"
#include "util/clock.h"
#include "util/str.h"
#include "util/xml.h"

#include <ctype.h>
#include <string.h>

#define BODY "Action=GetCallerIdentity&Version=2011-06-15"

enum { REPLY_MAX = 16384, ATTEMPTS = 4 };

struct call {
    struct aws_identity out;
    enum err_code code;
    struct err err;
};

/* Up to 12 digits, and an ARN without blanks: they become part of what people see and of a policy. */
static bool take(const char *text, bool digits, char *out, size_t size)
{
    size_t n = strlen(text);

    if (!n || n >= size)
        return false;
    for (size_t i = 0; i < n; i++)
        if (digits ? !isdigit((unsigned char)text[i]) : !isgraph((unsigned char)text[i]))
            return false;
    memcpy(out, text, n + 1);
    return true;
}

enum err_code aws_identity_parse(const char *body, size_t len, struct aws_identity *out, struct err *e)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(body, len, NULL);
    const struct xml_node *result = doc ? xml_child(xml_root(doc), "GetCallerIdentityResult") : NULL;
    struct aws_identity found = {0};

    if (!take(xml_child_text(result, "Account"), true, found.account, sizeof(found.account)) ||
        !take(xml_child_text(result, "Arn"), false, found.arn, sizeof(found.arn)) || !str_starts(found.arn, "arn:"))
        return err_set(e, ERR_PROTO, "GetCallerIdentity: not the answer of an STS");
    *out = found;
    return ERR_OK;
}

static void done(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct call *call = arg;

    const char *date = r->transfer ? http_reply_header(r->transfer, "Date") : NULL;
    struct timespec t;

    if (code)
        return;
    call->code = aws_identity_parse(r->body, r->body_len, &call->out, &call->err);
    if (!call->code && date && time_parse_http(date, &t))
        call->out.server_time = t.tv_sec;
}

static ssize_t read_body(void *arg, uint64_t offset, void *out, size_t len)
{
    size_t size = strlen(BODY), left = offset < size ? size - (size_t)offset : 0, n = left < len ? left : len;

    memcpy(out, BODY + (size - left), n);
    return (ssize_t)n;
}

enum err_code aws_identity_get(struct aws_client *sts, unsigned timeout_ms, struct cancel *cancel,
                               struct aws_identity *out, struct err *e)
{
    static const struct aws_param headers[] = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
                                               {0}};
    struct call call = {0};
    const struct http_body body = {.size = strlen(BODY), .read = read_body};
    const struct aws_request request = {.method = HTTP_POST,
                                        .what = "GetCallerIdentity",
                                        .headers = headers,
                                        .body = &body,
                                        .timeout_ms = timeout_ms,
                                        .max_attempts = ATTEMPTS,
                                        .reply_max = REPLY_MAX,
                                        .done = done,
                                        .arg = &call};
    enum err_code code = aws_call(sts, &request, cancel, e);

    if (!code && call.code)
        code = err_copy(e, &call.err);
    if (!code)
        *out = call.out;
    return code;
}
