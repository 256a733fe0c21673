#include "net/url.h"

#include "util/str.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <string.h>

#define URL_MAX 2048

static void curlu_free(CURLU *u)
{
    curl_url_cleanup(u);
}
CLEANUP_DEFINE(CURLU, curlu_free)

static void curl_text_free(char *s)
{
    curl_free(s);
}
CLEANUP_DEFINE(char, curl_text_free)

void url_release(struct url *u)
{
    free(u->host);
    free(u->authority);
    free(u->path);
    memset(u, 0, sizeof(*u));
}

static bool printable(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

static bool has_part(CURLU *u, CURLUPart part)
{
    CLEANUP(curl_text_free) char *s = NULL;
    return curl_url_get(u, part, &s, 0) == CURLUE_OK;
}

/* Lower case, without the brackets of an IPv6 literal. */
static char *plain_host(const char *s)
{
    size_t len = strlen(s);
    char *host = *s == '[' ? str_ndup(s + 1, len - 2) : str_ndup(s, len);
    for (char *p = host; p && *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return host;
}

static bool is_ip(const char *host)
{
    unsigned char addr[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

static enum err_code fill(CURLU *u, const char *s, struct url *out, struct err *e)
{
    CLEANUP(curl_text_free) char *scheme = NULL, *host = NULL, *port = NULL, *path = NULL;
    if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) || curl_url_get(u, CURLUPART_HOST, &host, 0) ||
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) || curl_url_get(u, CURLUPART_PATH, &path, 0))
        return err_set(e, ERR_INVAL, "URL \"%s\": legal is http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH]", s);
    uint64_t number;
    if (!str_parse_u64(port, &number) || number == 0 || number > 65535)
        return err_set(e, ERR_INVAL, "URL \"%s\": a port is a number from 1 to 65535", s);

    out->tls = strcmp(scheme, "https") == 0;
    out->port = (unsigned)number;
    out->host = plain_host(host);
    size_t path_len = strlen(path);
    while (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    out->path = str_ndup(path, path_len);
    if (out->host) {
        bool standard = out->port == (out->tls ? 443 : 80), v6 = strchr(out->host, ':') != NULL;
        out->host_is_ip = is_ip(out->host);
        out->authority = standard ? str_printf(v6 ? "[%s]" : "%s", out->host)
                                  : str_printf(v6 ? "[%s]:%u" : "%s:%u", out->host, out->port);
    }
    if (!out->host || !out->path || !out->authority) {
        url_release(out);
        return err_set(e, ERR_NOMEM, "no memory for a URL");
    }
    return ERR_OK;
}

enum err_code url_parse(const char *s, struct url *out, struct err *e)
{
    memset(out, 0, sizeof(*out));
    if (strlen(s) > URL_MAX)
        return err_set(e, ERR_INVAL, "URL longer than %d bytes", URL_MAX);
    if (!printable(s))
        return err_set(e, ERR_INVAL,
                       "URL has blanks, control or non-ASCII characters: legal is http(s)://HOST[:PORT][/PATH]");
    if (!str_starts(s, "http://") && !str_starts(s, "https://"))
        return err_set(e, ERR_INVAL, "URL does not begin with http:// or https://");
    if (strcspn(strchr(s, '/') + 2, "/?#") == 0) /* libcurl would take the path for a host */
        return err_set(e, ERR_INVAL, "URL without a host: legal is http(s)://HOST[:PORT][/PATH]");

    CLEANUP(curlu_free) CURLU *u = curl_url();
    if (!u)
        return err_set(e, ERR_NOMEM, "no memory for a URL");
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, s, CURLU_PATH_AS_IS);
    if (rc == CURLUE_OUT_OF_MEMORY)
        return err_set(e, ERR_NOMEM, "no memory for a URL");
    /* The text of a URL with a user in it is not repeated: it may hold a password. */
    if (rc == CURLUE_OK && (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD)))
        return err_set(e, ERR_INVAL, "URL with a user or password: legal is http(s)://HOST[:PORT][/PATH]");
    if (rc != CURLUE_OK)
        return err_set(e, ERR_INVAL, "URL not understood (%s): legal is http(s)://HOST[:PORT][/PATH]",
                       curl_url_strerror(rc));
    if (strpbrk(s, "?#"))
        return err_set(e, ERR_INVAL, "URL \"%s\": an endpoint has no query and no fragment", s);
    return fill(u, s, out, e);
}

enum err_code url_check_request(const char *s, const char **authority, size_t *authority_len, struct err *e)
{
    size_t scheme = str_starts(s, "https://") ? 8 : str_starts(s, "http://") ? 7 : 0;
    if (scheme == 0)
        return err_set(e, ERR_INVAL, "request URL does not begin with http:// or https://");
    size_t len = strcspn(s + scheme, "/?");
    if (len == 0 || memchr(s + scheme, '@', len))
        return err_set(e, ERR_INVAL, "request URL without a host or with a user");
    if (!printable(s) || strchr(s, '#'))
        return err_set(e, ERR_INVAL, "request URL for %.*s is not percent-encoded", (int)len, s + scheme);
    *authority = s + scheme;
    *authority_len = len;
    return ERR_OK;
}
