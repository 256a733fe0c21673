/* Paths, query strings and endpoint URLs in the forms that SigV4 and the wire need. All pure. */
#ifndef AWS_URI_H
#define AWS_URI_H

#include "aws/param.h"
#include "awsfs/err.h"
#include "util/buf.h"

#include <stdbool.h>

enum { URI_HOST_MAX = 256, URI_PATH_MAX = 512, URI_PARAMS_MAX = 256 };

/* Appends the parameters percent-encoded, sorted by encoded name and then value, joined by '&' (SigV4's canonical
 * query). `wire`: a parameter without value is written "acl" instead of "acl=". `params` may be NULL. ERR_TOO_BIG above
 * URI_PARAMS_MAX parameters or the buffer's maximum, ERR_NOMEM. */
enum err_code uri_query(struct buf *out, const struct aws_param *params, bool wire, struct err *e) MUST_CHECK;

/* Appends `path` without "." and ".." segments and without repeated slashes; it never leaves the root. Failures show in
 * the buffer. */
void uri_normalise(struct buf *out, const char *path);

/* The parts of an endpoint URL. */
struct uri {
    bool tls;
    bool ip;                 /* the host is an IPv4 or IPv6 address */
    unsigned port;           /* 0: the scheme's own */
    char host[URI_HOST_MAX]; /* lower case; an IPv6 address with its brackets */
    char path[URI_PATH_MAX]; /* "" or "/base", without a slash at the end */
};

/* Strict: http or https, a host, optional port and base path; no user, query or fragment. ERR_INVAL says what is wrong
 * and never quotes what could be a password. */
enum err_code uri_parse(const char *url, struct uri *out, struct err *e) MUST_CHECK;

/* An address of this machine that no wire leads to: "127.0.0.1", "[::1]", as uri_parse() gives it. A name is none. */
bool uri_host_is_loopback(const char *host);

#endif
