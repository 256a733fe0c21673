#include "request.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(char *s, bool plus)
{
    char *out = s;

    for (; *s; s++) {
        if (*s == '%') {
            int high = hex_digit(s[1]);
            int low = high < 0 ? -1 : hex_digit(s[2]);

            if (low < 0 || high + low == 0)
                return false;
            *out++ = (char)(high << 4 | low);
            s += 2;
        } else {
            *out++ = plus && *s == '+' ? ' ' : *s;
        }
    }
    *out = 0;
    return true;
}

bool is_utf8(const char *s)
{
    const unsigned char *p = (const unsigned char *)s;

    while (*p) {
        int more = *p < 0x80 ? 0 : *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : 1;
        uint32_t c = *p;

        if (*p >= 0x80) {
            static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

            if (*p < 0xC2 || *p > 0xF4)
                return false;
            c &= 0x3FU >> more;
            for (int i = 1; i <= more; i++) {
                if ((p[i] & 0xC0) != 0x80)
                    return false;
                c = c << 6 | (p[i] & 0x3FU);
            }
            if (c < least[more] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
                return false;
        }
        p += more + 1;
    }
    return true;
}

bool parse_u64(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    size_t len = strlen(s);

    if (len == 0 || len > 18)
        return false;
    for (; *s; s++) {
        if (!isdigit((unsigned char)*s))
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *out = v;
    return true;
}

time_t http_date_parse(const char *s)
{
    static const char *const formats[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                          "%a %b %d %H:%M:%S %Y", "%Y-%m-%dT%H:%M:%S"};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm tm = {0};

        if (strptime(s, formats[i], &tm))
            return timegm(&tm);
    }
    return -1;
}

void http_date_format(time_t t, char *out)
{
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(out, 30, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

static char *next_line(char **rest)
{
    char *line = *rest;
    char *end = strstr(line, "\r\n");

    if (!end)
        return NULL;
    *end = 0;
    *rest = end + 2;
    return line;
}

static int parse_headers(struct request *r, char *rest)
{
    char *line;

    while ((line = next_line(&rest)) && *line) {
        char *colon = strchr(line, ':');
        char *end;

        if (!colon || colon == line || r->header_count == HEADERS_MAX)
            return 400;
        *colon = 0;
        for (char *c = line; *c; c++) {
            if (isspace((unsigned char)*c))
                return 400;
            *c = (char)tolower((unsigned char)*c);
        }
        colon++;
        colon += strspn(colon, " \t");
        end = colon + strlen(colon);
        while (end > colon && (end[-1] == ' ' || end[-1] == '\t'))
            *--end = 0;
        r->headers[r->header_count++] = (struct pair){line, colon};
    }
    return line ? 0 : 400;
}

static int parse_params(struct request *r)
{
    char *copy = x_strdup(r->query);
    char *save = NULL;
    int status = 0;

    for (char *p = strtok_r(copy, "&", &save); p; p = strtok_r(NULL, "&", &save)) {
        char *value = strchr(p, '=');

        if (value)
            *value++ = 0;
        else
            value = p + strlen(p);
        if (r->param_count == PARAMS_MAX || !percent_decode(p, true) || !percent_decode(value, true)) {
            status = 400;
            break;
        }
        r->params[r->param_count++] = (struct pair){x_strdup(p), x_strdup(value)};
    }
    free(copy);
    return status;
}

/* "bucket.localhost:PORT" names a bucket; every other host is the service itself. */
static char *bucket_of_host(const struct request *r)
{
    const char *host = request_header(r, "host");
    size_t len = host ? strcspn(host, ":") : 0;
    static const char suffix[] = ".localhost";
    size_t suffix_len = sizeof(suffix) - 1;

    if (len <= suffix_len || strncasecmp(host + len - suffix_len, suffix, suffix_len) != 0)
        return NULL;
    return x_strndup(host, len - suffix_len);
}

static int parse_target(struct request *r)
{
    char *path = r->path + 1;
    char *slash;

    const char *service = request_header(r, "x-amz-target");

    r->control = strncmp(r->path, "/-/", 3) == 0;
    r->ssm = !r->control && service && strcmp(r->method, "POST") == 0;
    if (r->control || r->ssm)
        return 0;
    r->bucket = bucket_of_host(r);
    r->in_host = r->bucket != NULL;
    if (!r->bucket && *path) {
        slash = strchr(path, '/');
        r->bucket = slash ? x_strndup(path, (size_t)(slash - path)) : x_strdup(path);
        path = slash ? slash + 1 : path + strlen(path);
        if (!percent_decode(r->bucket, false))
            return 400;
    }
    if (!*path)
        return 0;
    r->key = x_strdup(path);
    if (percent_decode(r->key, false) && is_utf8(r->key))
        return 0;
    free(r->key);
    r->key = NULL;
    return 400;
}

static int parse_length(struct request *r)
{
    const char *length = request_header(r, "content-length");

    if (request_header(r, "transfer-encoding"))
        return 501;
    if (!length)
        return 0;
    r->has_length = parse_u64(length, &r->content_length);
    return r->has_length ? 0 : 400;
}

int request_parse(struct request *r, char *head)
{
    char *rest = head;
    char *line = next_line(&rest);
    char *version;
    const char *connection;
    int status;

    r->head = head;
    r->close = true;
    r->query = "";
    r->method = line;
    r->path = line ? strchr(line, ' ') : NULL;
    if (!r->path)
        return 400;
    *r->path++ = 0;
    version = strchr(r->path, ' ');
    if (!version || *r->path != '/' || strncmp(version + 1, "HTTP/1.", 7) != 0)
        return 400;
    *version++ = 0;
    if (strchr(r->path, '?')) {
        r->query = strchr(r->path, '?');
        *r->query++ = 0;
    }
    status = parse_headers(r, rest);
    if (status == 0)
        status = parse_length(r);
    if (status)
        return status;
    connection = request_header(r, "connection");
    r->close = connection ? strcasecmp(connection, "close") == 0 : strcmp(version, "HTTP/1.0") == 0;
    status = parse_target(r);
    return status ? status : parse_params(r);
}

void request_release(struct request *r)
{
    if (r->receiving)
        sink_release(&r->sink);
    body_unref(r->payload);
    body_unref(r->slice);
    body_unref(r->to_hash);
    for (size_t i = 0; i < r->param_count; i++) {
        free(r->params[i].name);
        free(r->params[i].value);
    }
    json_decref(r->json);
    free(r->subject);
    free(r->bucket);
    free(r->key);
    free(r->head);
    fault_plan_release(&r->plan);
    memset(r, 0, sizeof(*r));
}

const char *request_header(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

const char *request_param(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->param_count; i++)
        if (strcmp(r->params[i].name, name) == 0)
            return r->params[i].value;
    return NULL;
}

/* "arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/object/KEY": the bucket is what the access point's host is called,
 * NAME-ACCOUNT.
 */
static bool parse_arn_source(const char *arn, char **bucket, char **key)
{
    const char *name = strstr(arn, ":accesspoint/"), *object = strstr(arn, "/object/"), *account = name;

    if (!name || !object || object < name)
        return false;
    while (account > arn && account[-1] != ':')
        account--;
    name += strlen(":accesspoint/");
    if (asprintf(bucket, "%.*s-%.*s", (int)(object - name), name, (int)strcspn(account, ":"), account) < 0)
        abort();
    *key = x_strdup(object + strlen("/object/"));
    return true;
}

bool parse_copy_source(const char *source, char **bucket, char **key)
{
    char *copy = x_strdup(*source == '/' ? source + 1 : source);
    char *version = strstr(copy, "?versionId=");
    char *slash;
    bool ok = !version || strcmp(version, "?versionId=null") == 0;

    if (version)
        *version = 0;
    ok = ok && percent_decode(copy, false);
    if (ok && strncmp(copy, "arn:", 4) == 0) {
        ok = parse_arn_source(copy, bucket, key);
        free(copy);
        return ok;
    }
    slash = ok ? strchr(copy, '/') : NULL;
    ok = slash && slash != copy && slash[1];
    if (ok) {
        *bucket = x_strndup(copy, (size_t)(slash - copy));
        *key = x_strdup(slash + 1);
    }
    free(copy);
    return ok;
}
