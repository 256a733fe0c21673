/* One small HTTP exchange without signature, waited for: metadata services, and what hands out credentials. */
#ifndef AWS_FETCH_H
#define AWS_FETCH_H

#include "net/http.h"
#include "util/buf.h"

struct cancel;

struct fetch {
    enum http_method method;
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end; may be NULL */
    const struct buf *body;     /* NULL: none */
    unsigned timeout_ms;        /* for everything, name resolution to last byte */
    size_t reply_max;
    bool secret;
    bool direct; /* never through a proxy */
};

struct fetch_reply {
    int status;
    bool sent;       /* a byte of the request went out: somebody is there */
    struct buf body; /* secret memory is zeroed on release; release it with fetch_reply_release() */
};

void fetch_reply_release(struct fetch_reply *r);

/* Blocks until the reply is complete, the time is over or `cancel` (may be NULL) fires. ERR_OK: a reply came, whatever
 * its status. Else ERR_NET, ERR_TIMEOUT, ERR_CANCELED, ERR_PROTO, ERR_NOMEM; `out->sent` is set then too. Not on the
 * engine's thread. */
enum err_code fetch_run(struct http_engine *h, const struct fetch *f, struct cancel *cancel, struct fetch_reply *out,
                        struct err *e) MUST_CHECK;

/* The same, again after `pause_ms` while there is no answer, one that is no success but may pass (5xx, 429), as long as
 * there are `attempts`. */
enum err_code fetch_retry(struct http_engine *h, const struct fetch *f, unsigned attempts, unsigned pause_ms,
                          struct cancel *cancel, struct fetch_reply *out, struct err *e) MUST_CHECK;

#endif
