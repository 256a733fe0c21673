/* What the files of the client share; private to them. */
#ifndef AWS_CLIENT_IMPL_H
#define AWS_CLIENT_IMPL_H

#include "aws/client.h"
#include "aws/endpoint.h"
#include "aws/errors.h"
#include "aws/region.h"
#include "util/lock.h"

#include <time.h>

enum { CLIENT_COUNTS = 64, REDIRECTS_MAX = 2, SKEWS_MAX = 2, REFRESHES_MAX = 2, MALFORMED_MAX = 4 };

struct aws_client {
    struct http_engine *engine;
    struct creds_provider *creds;
    struct retry_budget *budget;
    char *service, *bucket, *custom; /* the last two may be NULL */
    struct endpoint_query query;     /* all but the region; points to the above */
    char endpoint_why[AWS_WHY_SIZE]; /* where the endpoint stands */
    bool s3;
    bool moved; /* addressing was auto, and what works was found out; guarded by `lock`, as query.addressing then is */
    struct exchange_limits limits;

    struct client_session *session; /* a directory bucket's keys; NULL: none are needed */

    struct lock lock; /* what was learnt: */
    struct endpoint endpoint;
    char region[AWS_REGION_SIZE]; /* that was chosen or learnt; what is signed for stands in the endpoint */
    char region_why[AWS_WHY_SIZE];
    bool region_confirmed;    /* a reply has shown that it is right */
    long long clock_offset_s; /* the server's clock minus ours */
    struct err trouble;       /* why the last attempt of any request was no answer; code ERR_OK: it was one */

    struct lock counts_lock;
    struct {
        const char *what;
        uint64_t n;
    } counts[CLIENT_COUNTS];
};

/* What an attempt was made with, read under the lock. */
struct client_state {
    struct endpoint endpoint;
    char region[AWS_REGION_SIZE];
    bool region_confirmed;
    time_t now; /* by the server's clock */
};

/* client_config.c */
enum err_code client_configure(struct aws_client *c, const struct aws_client_config *config, struct err *e) MUST_CHECK;
enum err_code client_resolve(const struct aws_client *c, const char *region, struct endpoint *out,
                             struct err *e) MUST_CHECK;

void client_state_get(struct aws_client *c, struct client_state *out);

/* Takes over a region the server named; false when nothing changes, or it is of another partition and the endpoint is
 * AWS's own. Any thread. */
bool client_learn_region(struct aws_client *c, const char *region);
void client_confirm_region(struct aws_client *c, const char *region);
/* `e` NULL: there was an answer. */
void client_note_trouble(struct aws_client *c, const struct err *e);
void client_learn_clock(struct aws_client *c, time_t server_now);

/* Appends "/base/bucket/key" as on the wire. */
void client_path(const struct endpoint *ep, const char *key, struct buf *out);

/* client_session.c. No call may be under way when it is freed; it then waits for the end of its own. */
struct client_session *client_session_new(const char *sse, const char *sse_key, struct err *e);
void client_session_free(struct client_session *s);

/* A reference to the keys in use. Never blocks: ERR_AGAIN while there are none yet, the failure of CreateSession where that
 * was just now. Any thread. */
enum err_code client_session_get(struct aws_client *c, struct creds **out, struct err *e) MUST_CHECK;

/* The server did not take these keys: the next request waits for others. */
void client_session_refused(struct aws_client *c, const struct creds *used);

/* aws_send() with the keys of the account where others would use a session's. */
enum err_code client_send_as_account(struct aws_client *c, const struct aws_request *r, struct cancel *cancel,
                                     struct err *e) MUST_CHECK;

/* A job sends its request; before it can go on it may have to ask something else first. */
enum job_step {
    STEP_REQUEST,
    STEP_FIND_REGION, /* HeadBucket, for its x-amz-bucket-region */
    STEP_EXPLAIN,     /* the error of a HEAD has no body: the same as a GET of one byte; of the bucket, a listing of nothing */
};

/* One aws_request under way. The engine's thread only, once started. */
struct aws_job {
    struct aws_client *c;
    struct aws_request r; /* its pointers lead to the copies below */
    struct buf strings;
    struct aws_param *query, *headers;
    size_t n_headers;
    struct http_body body;
    char body_sha256[65]; /* "" until it was computed here */

    enum job_step step;
    struct client_state state; /* of the attempt under way */
    struct creds *used;        /* NULL: not signed */
    bool account;              /* never with a session's keys */
    bool with_session;         /* `used` are a session's */
    struct buf url;
    struct buf lines;       /* the headers as sent; zeroed, they hold the session token */
    struct aws_param *sign; /* room for n_headers and what is added */
    const char **line_list;

    unsigned redirects, skews, refreshes, malformed;
    bool asked_region, explained;
    struct aws_reply reply; /* of the last attempt */
    bool *ended;            /* set at the end; NULL: nobody waits */
};

enum { JOB_EXTRA_HEADERS = 8 };

/* client_send.c: prepare() of net/exchange.h. */
enum err_code job_prepare(void *job, unsigned attempt, struct http_request *out, struct err *e);

/* client_judge.c: part() and judge() of net/exchange.h. */
void job_part(void *job, const void *p, size_t len);
enum verdict job_judge(void *job, const struct http_reply_view *v, struct err *e);

#endif
