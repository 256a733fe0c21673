#include "aws/uri.h"

#include "util/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct encoded {
    const char *name;
    const char *value; /* NULL: none */
};

static int compare_encoded(const void *a, const void *b)
{
    const struct encoded *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->value ? x->value : "", y->value ? y->value : "");
}

/* Appends the encoded text and a NUL to `store` and returns its offset. */
static size_t encode_into(struct buf *store, const char *text)
{
    size_t at = store->len;

    uri_encode(store, text, strlen(text), false);
    buf_add_char(store, '\0');
    return at;
}

enum err_code uri_query(struct buf *out, const struct aws_param *params, bool wire, struct err *e)
{
    size_t offsets[URI_PARAMS_MAX][2];
    struct encoded sorted[URI_PARAMS_MAX];
    CLEANUP_RELEASE(buf_release) struct buf store = {.max = out->max, .secret = out->secret};
    size_t n = 0;

    for (; params && params[n].name; n++) {
        if (n == URI_PARAMS_MAX)
            return err_set(e, ERR_TOO_BIG, "more than %d query parameters", URI_PARAMS_MAX);
        offsets[n][0] = encode_into(&store, params[n].name);
        offsets[n][1] = encode_into(&store, params[n].value ? params[n].value : "");
    }
    enum err_code code = buf_check(&store, "query", e);
    if (code)
        return code;
    for (size_t i = 0; i < n; i++) {
        sorted[i].name = store.data + offsets[i][0];
        sorted[i].value = params[i].value ? store.data + offsets[i][1] : NULL;
    }
    qsort(sorted, n, sizeof(sorted[0]), compare_encoded);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, '&');
        buf_add_str(out, sorted[i].name);
        if (sorted[i].value || !wire)
            buf_add_char(out, '=');
        if (sorted[i].value)
            buf_add_str(out, sorted[i].value);
    }
    return buf_check(out, "query", e);
}

static void drop_last_segment(struct buf *out, size_t start)
{
    while (out->len > start && out->data[out->len - 1] != '/')
        out->len--;
    if (out->len > start)
        out->len--;
    if (out->data)
        out->data[out->len] = '\0';
}

void uri_normalise(struct buf *out, const char *path)
{
    size_t start = out->len;
    bool directory = true; /* whether the result ends with a slash */

    while (*path) {
        size_t len = strcspn(path, "/");
        bool dots = len == 2 && !memcmp(path, "..", 2);

        directory = path[len] == '/' || dots || len == 0 || (len == 1 && *path == '.');
        if (dots) {
            drop_last_segment(out, start);
        } else if (len > 1 || (len == 1 && *path != '.')) {
            buf_add_char(out, '/');
            buf_add(out, path, len);
        }
        path += len + (path[len] == '/');
    }
    if (directory)
        buf_add_char(out, '/');
}

static enum err_code parse_port(const char *text, struct uri *u, struct err *e)
{
    uint64_t port;

    if (!str_parse_u64(text, &port) || port < 1 || port > 65535)
        return err_set(e, ERR_INVAL, "the port is not a number from 1 to 65535");
    u->port = port == (u->tls ? 443 : 80) ? 0 : (unsigned)port;
    return ERR_OK;
}

static bool is_ipv6(const char *host)
{
    char inner[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    size_t len = strlen(host);

    if (len < 4 || host[0] != '[' || host[len - 1] != ']' || len - 2 >= sizeof(inner))
        return false;
    memcpy(inner, host + 1, len - 2);
    inner[len - 2] = '\0';
    return inet_pton(AF_INET6, inner, &addr) == 1;
}

static bool is_host_name(const char *host)
{
    if (!*host || strchr(".-", *host) || strstr(host, ".."))
        return false;
    for (const char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".-_", *p))
            return false;
    return true;
}

static enum err_code parse_host(const char *text, size_t len, struct uri *u, struct err *e)
{
    char part[URI_HOST_MAX + 8];
    struct in_addr v4;

    if (len >= sizeof(part))
        return err_set(e, ERR_INVAL, "the host name is too long");
    memcpy(part, text, len);
    part[len] = '\0';
    char *colon = strrchr(part, ':');
    char *bracket = strchr(part, ']');
    if (colon && (!bracket || colon > bracket)) {
        *colon = '\0';
        enum err_code code = parse_port(colon + 1, u, e);
        if (code)
            return code;
    }
    if (strlen(part) >= URI_HOST_MAX)
        return err_set(e, ERR_INVAL, "the host name is too long");
    for (char *p = part; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    u->ip = is_ipv6(part) || inet_pton(AF_INET, part, &v4) == 1;
    if (!u->ip && !is_host_name(part))
        return err_set(e, ERR_INVAL, "the host is not a name or an address");
    memcpy(u->host, part, strlen(part) + 1);
    return ERR_OK;
}

static enum err_code parse_base_path(const char *path, struct uri *u, struct err *e)
{
    size_t len = strlen(path);

    while (len && path[len - 1] == '/')
        len--;
    if (len >= URI_PATH_MAX)
        return err_set(e, ERR_INVAL, "the path is longer than %d bytes", URI_PATH_MAX - 1);
    for (size_t i = 0; i < len; i++)
        if (!isgraph((unsigned char)path[i]) || (unsigned char)path[i] > 126 || strchr("\"<>\\^`{|}", path[i]))
            return err_set(e, ERR_INVAL, "the path has a character that must be percent-encoded");
    memcpy(u->path, path, len);
    return ERR_OK;
}

enum err_code uri_parse(const char *url, struct uri *out, struct err *e)
{
    struct uri u = {0};
    enum err_code code;

    if (!strncasecmp(url, "https://", 8))
        u.tls = true;
    else if (strncasecmp(url, "http://", 7))
        return err_set(e, ERR_INVAL, "an endpoint begins with http:// or https://");
    url += u.tls ? 8 : 7;
    if (strpbrk(url, "?#"))
        return err_set(e, ERR_INVAL, "an endpoint has no query and no fragment");
    size_t len = strcspn(url, "/");
    if (memchr(url, '@', len))
        return err_set(e, ERR_INVAL, "an endpoint has no user name or password");
    if ((code = parse_host(url, len, &u, e)) || (code = parse_base_path(url + len, &u, e)))
        return code;
    *out = u;
    return ERR_OK;
}

bool uri_host_is_loopback(const char *host)
{
    size_t len = strlen(host);
    struct in_addr v4;
    struct in6_addr v6;
    char inner[URI_HOST_MAX];

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (len < 2 || host[0] != '[' || host[len - 1] != ']')
        return false;
    snprintf(inner, sizeof(inner), "%.*s", (int)len - 2, host + 1);
    return inet_pton(AF_INET6, inner, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}
