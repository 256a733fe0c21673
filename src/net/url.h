/*
 * URLs of endpoints, taken apart and checked by libcurl's URL parser. What an endpoint may be: http or https, a
 * host, a port, a path; no user, query or fragment. All functions are pure; any thread.
 */
#ifndef NET_URL_H
#define NET_URL_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>

struct url {
    bool tls;        /* https */
    bool host_is_ip; /* an IPv4 or IPv6 literal: no virtual-host addressing */
    unsigned port;   /* explicit or the scheme's */
    char *host;      /* lower case, without brackets */
    char *authority; /* as in a Host header: brackets where needed, the port unless it is the scheme's */
    char *path;      /* "" or "/a/b": no slash at the end, percent-encoded as given */
};

/* Fills `out` (release it with url_release). ERR_INVAL names what is wrong and what is legal; ERR_NOMEM. On an error
 * nothing needs releasing. */
enum err_code url_parse(const char *s, struct url *out, struct err *e) MUST_CHECK;

/* Frees the strings and empties the struct. */
void url_release(struct url *u);

/* Whether `s` may be requested as it is: http or https, an authority without a user, only printable ASCII and no
 * fragment. `authority` (its start inside `s`) and `authority_len` are set on success. */
enum err_code url_check_request(const char *s, const char **authority, size_t *authority_len, struct err *e) MUST_CHECK;

#endif
