/* What the questions to a server share; private to probe.c and probe_copies.c. */
#ifndef S3_PROBE_H
#define S3_PROBE_H

#include "backends/s3/impl.h"

/* The hex digits are random; ASCII, so that every server can list them. */
#define SCRATCH    ".awsfs-probe-"
#define NO_ETAG    "00000000000000000000000000000000"
#define PROBE_BODY "awsfs"

enum { ASK_MS = 10000, ASK_ATTEMPTS = 3, VERSIONS_MAX = 100, KEY_SIZE = sizeof(SCRATCH) + 33 };

struct probe {
    struct s3_store *s;
    const struct store_call *call; /* NULL while cleaning up */
    char a[KEY_SIZE], b[KEY_SIZE]; /* a comes before b in a listing */
    char etag[STORE_ETAG_SIZE];    /* of a, as far as known */
    char upload[STORE_ID_SIZE];    /* of a, under way; "": none */
    bool uploads_left;             /* of a, whose ids are not known any more, there may be */
    bool versions;                 /* the bucket keeps versions */
    int record;                    /* the locked file that names the keys; -1: none */
    enum err_code broken;          /* ERR_OK, or why nothing more can be learnt now */
    struct err why;
    enum s3_verdict found[S3_TRAITS];
};

/* One question. `a` has the answer; its status is 0 where nothing was asked. */
enum err_code probe_ask(struct probe *p, struct s3_request *r, struct s3_answer *a);

/* What the answer says that was given to a condition that does not hold; to a request for a feature. */
enum s3_verdict probe_of_false(enum err_code code, const struct s3_answer *a);
enum s3_verdict probe_of_feature(enum err_code code, const struct s3_answer *a);

/* PROBE_BODY as a body. */
const struct store_body *probe_body(void);
void probe_quote(char out[STORE_ETAG_SIZE + 2], const char *etag);

/* The questions of probe_copies.c: both keys are there. */
void probe_copy(struct probe *p);
void probe_parts(struct probe *p);
void probe_part_copy(struct probe *p);

/* ---- probe_scratch.c. All block on the network but probe_begin(), which writes a file. */

/* Chooses the keys, and notes them in the directory of servers, durably. `s`, `call` and `why` are set. */
void probe_begin(struct probe *p);

/* Before anything is put: whether DELETE, and the abort of an upload, are allowed there. Tried on what is not there. False with
 * p->why where DELETE is not, or nobody answers. */
bool probe_may_remove(struct probe *p);
bool probe_may_abort(struct probe *p);

/* Removes `key`, on the condition `match` (NULL: none), or a version of it (NULL: whatever is there). */
enum err_code probe_remove(struct probe *p, const char *key, const char *match, const char *version,
                           struct s3_answer *a);

/* Aborts what is under way. False: it may be left. */
bool probe_drop_upload(struct probe *p);

/* Removes what was put, unless that is certainly nothing. Where something may be left, the note of it stays for the next mount. */
void probe_end(struct probe *p, bool nothing_put);

#endif
