#include "aws/sigv4.h"

#include "aws/uri.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/secret.h"
#include "util/str.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const unsigned_headers[] = {
    "authorization",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "upgrade",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
};

static bool is_signed(const struct aws_param *header)
{
    if (!header->value)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(unsigned_headers); i++)
        if (str_ieq(header->name, unsigned_headers[i]))
            return false;
    return true;
}

static int compare_names(const char *a, const char *b)
{
    while (*a && tolower((unsigned char)*a) == tolower((unsigned char)*b))
        a++, b++;
    return tolower((unsigned char)*a) - tolower((unsigned char)*b);
}

/* By name; those of one name stay in their order, which is that of the array they point into. */
static int compare_headers(const void *a, const void *b)
{
    const struct aws_param *x = *(const struct aws_param *const *)a, *y = *(const struct aws_param *const *)b;
    int order = compare_names(x->name, y->name);

    return order ? order : (x > y) - (x < y);
}

static void add_lower(struct buf *out, const char *s)
{
    for (; *s; s++)
        buf_add_char(out, (char)tolower((unsigned char)*s));
}

/* Without white space at either end, and runs of it as one blank. */
static void add_trimmed(struct buf *out, const char *s)
{
    bool gap = false, begun = false;

    for (; *s; s++) {
        if (isspace((unsigned char)*s)) {
            gap = begun;
            continue;
        }
        if (gap)
            buf_add_char(out, ' ');
        buf_add_char(out, *s);
        gap = false;
        begun = true;
    }
}

static enum err_code add_headers(const struct aws_param *headers, struct buf *out, struct buf *names, struct err *e)
{
    const struct aws_param *sorted[SIGV4_HEADERS_MAX];
    size_t n = 0;

    for (; headers && headers->name; headers++) {
        if (!is_signed(headers))
            continue;
        if (n == SIGV4_HEADERS_MAX)
            return err_set(e, ERR_TOO_BIG, "more than %d headers", SIGV4_HEADERS_MAX);
        sorted[n++] = headers;
    }
    qsort(sorted, n, sizeof(sorted[0]), compare_headers);
    for (size_t i = 0; i < n; i++) {
        if (i && !compare_names(sorted[i]->name, sorted[i - 1]->name)) {
            out->len--; /* the newline: a repeated header's values are joined */
            buf_add_char(out, ',');
        } else {
            if (i)
                buf_add_char(names, ';');
            add_lower(names, sorted[i]->name);
            add_lower(out, sorted[i]->name);
            buf_add_char(out, ':');
        }
        add_trimmed(out, sorted[i]->value);
        buf_add_char(out, '\n');
    }
    return ERR_OK;
}

static void add_path(struct buf *out, const char *path, const char *service)
{
    if (str_starts(service, "s3")) {
        buf_add_str(out, path);
        return;
    }
    BUF(normal, out->max);
    uri_normalise(&normal, path);
    uri_encode(out, buf_str(&normal), normal.len, true);
    if (normal.failed)
        out->failed = true;
}

enum err_code sigv4_canonical(const struct sigv4_request *r, const struct sigv4_scope *s, struct buf *out,
                              struct buf *signed_headers, struct err *e)
{
    enum err_code code;

    buf_addf(out, "%s\n", r->method);
    add_path(out, r->path, s->service);
    buf_add_char(out, '\n');
    code = uri_query(out, r->query, false, e);
    if (code)
        return code;
    buf_add_char(out, '\n');
    if ((code = buf_check(out, "canonical request", e)))
        return code;
    code = add_headers(r->headers, out, signed_headers, e);
    if (code)
        return code;
    buf_addf(out, "\n%s\n%s", buf_str(signed_headers), r->payload);
    if ((code = buf_check(signed_headers, "header names", e)))
        return code;
    return buf_check(out, "canonical request", e);
}

/* "20150830/us-east-1/iam/aws4_request" */
static void add_scope(struct buf *out, const struct sigv4_scope *s)
{
    char stamp[17];

    time_format_amz(s->when, stamp);
    buf_addf(out, "%.8s/%s/%s/aws4_request", stamp, s->region, s->service);
}

enum err_code sigv4_string_to_sign(const struct buf *canonical, const struct sigv4_scope *s, struct buf *out,
                                   struct err *e)
{
    char hash[2 * DIGEST_MAX + 1], stamp[17];
    enum err_code code = digest_hex(DIGEST_SHA256, buf_str(canonical), canonical->len, hash, e);

    if (code)
        return code;
    time_format_amz(s->when, stamp);
    buf_addf(out, "AWS4-HMAC-SHA256\n%s\n", stamp);
    add_scope(out, s);
    buf_addf(out, "\n%s", hash);
    return buf_check(out, "string to sign", e);
}

static enum err_code sign(const struct sigv4_key *k, const struct sigv4_scope *s, const struct buf *text, char hex[65],
                          struct err *e)
{
    BUF_SECRET(first, 4096);
    uint8_t key[32], next[32];
    char stamp[17];
    enum err_code code;

    buf_addf(&first, "AWS4%s", k->secret_access_key);
    if ((code = buf_check(&first, "secret access key", e)))
        return code;
    time_format_amz(s->when, stamp);
    const struct {
        const char *p;
        size_t len;
    } steps[] = {{s->region, strlen(s->region)},
                 {s->service, strlen(s->service)},
                 {"aws4_request", 12},
                 {buf_str(text), text->len}};
    code = hmac_sha256(first.data, first.len, stamp, 8, key, e);
    for (size_t i = 0; !code && i < ARRAY_LEN(steps); i++) {
        code = hmac_sha256(key, sizeof(key), steps[i].p, steps[i].len, next, e);
        memcpy(key, next, sizeof(key));
    }
    if (!code)
        hex_encode(key, sizeof(key), hex);
    secret_wipe(key, sizeof(key));
    secret_wipe(next, sizeof(next));
    return code;
}

/* From the request to its signature; `names` takes the names of the signed headers. The canonical request holds the
 * session token, so its memory is zeroed. */
static enum err_code signature(const struct sigv4_request *r, const struct sigv4_key *k, const struct sigv4_scope *s,
                               struct buf *names, char hex[65], struct err *e)
{
    BUF_SECRET(canonical, SIGV4_CANONICAL_MAX);
    BUF(text, 1024);
    enum err_code code;

    if ((code = sigv4_canonical(r, s, &canonical, names, e)) || (code = sigv4_string_to_sign(&canonical, s, &text, e)))
        return code;
    return sign(k, s, &text, hex, e);
}

enum err_code sigv4_authorization(const struct sigv4_request *r, const struct sigv4_key *k, const struct sigv4_scope *s,
                                  struct buf *out, struct err *e)
{
    BUF(names, 65536);
    char hex[65];
    enum err_code code = signature(r, k, s, &names, hex, e);

    if (code)
        return code;
    buf_addf(out, "AWS4-HMAC-SHA256 Credential=%s/", k->access_key_id);
    add_scope(out, s);
    buf_addf(out, ", SignedHeaders=%s, Signature=%s", buf_str(&names), hex);
    return buf_check(out, "Authorization header", e);
}

/* The names of the headers that will be signed, which a presigned URL must carry among the parameters it signs. */
static enum err_code signed_names(const struct sigv4_request *r, struct buf *names, struct err *e)
{
    BUF_SECRET(unused, SIGV4_CANONICAL_MAX);
    enum err_code code = add_headers(r->headers, &unused, names, e);

    return code ? code : buf_check(names, "header names", e);
}

enum err_code sigv4_presign(const struct sigv4_request *r, const struct sigv4_key *k, const struct sigv4_scope *s,
                            unsigned seconds, struct buf *out, struct err *e)
{
    struct aws_param query[URI_PARAMS_MAX];
    BUF(credential, 512);
    BUF(names, 65536);
    BUF(again, 65536);
    char stamp[17], expires[16], hex[65];
    size_t n = 0;
    enum err_code code;

    if (seconds < 1 || seconds > 604800)
        return err_set(e, ERR_INVAL, "a presigned URL is valid for 1 to 604800 seconds, not %u", seconds);
    for (; r->query && r->query[n].name; n++) {
        if (n + 8 > URI_PARAMS_MAX)
            return err_set(e, ERR_TOO_BIG, "too many query parameters");
        query[n] = r->query[n];
    }
    buf_addf(&credential, "%s/", k->access_key_id);
    add_scope(&credential, s);
    if ((code = buf_check(&credential, "credential scope", e)) || (code = signed_names(r, &names, e)))
        return code;
    time_format_amz(s->when, stamp);
    snprintf(expires, sizeof(expires), "%u", seconds);
    query[n++] = (struct aws_param){"X-Amz-Algorithm", "AWS4-HMAC-SHA256"};
    query[n++] = (struct aws_param){"X-Amz-Credential", buf_str(&credential)};
    query[n++] = (struct aws_param){"X-Amz-Date", stamp};
    query[n++] = (struct aws_param){"X-Amz-Expires", expires};
    query[n++] = (struct aws_param){"X-Amz-SignedHeaders", buf_str(&names)};
    if (k->session_token)
        query[n++] = (struct aws_param){"X-Amz-Security-Token", k->session_token};
    query[n] = (struct aws_param){0};

    struct sigv4_request full = *r;
    full.query = query;
    if ((code = signature(&full, k, s, &again, hex, e)) || (code = uri_query(out, query, true, e)))
        return code;
    buf_addf(out, "&X-Amz-Signature=%s", hex);
    return buf_check(out, "presigned URL", e);
}
