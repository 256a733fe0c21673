/* One call of the API: takes its turn, sends, keeps the reply. */
#ifndef SSM_CALL_H
#define SSM_CALL_H

#include "awsfs/store.h"
#include "util/buf.h"

#include <stdint.h>

struct ssm;

/* What came back, also with an error. */
struct ssm_reply {
    char request_id[64];
    int status;          /* 0: no answer */
    unsigned unanswered; /* attempts that may have been executed although no answer came */
    int64_t date_ms;     /* the server's clock, UTC; ours when it did not tell */
    struct buf body;
};
void ssm_reply_release(struct ssm_reply *r);
#define SSM_REPLY(name) CLEANUP_RELEASE(ssm_reply_release) struct ssm_reply name = {.body = {.secret = true}}

/* Sends `request` to operation `op` (a literal) and waits. `subject` (a name) is for messages, which have nothing of
 * what the server wrote but its error code: its texts quote values. Not on the HTTP engine's thread; blocks up to
 * call's time-out; no lock may be held. ERR_EXISTS, ERR_QUOTA, ERR_INVAL, ERR_NAME_TOO_LONG, ERR_KEY_REJECTED beside
 * those of every call. */
enum err_code ssm_call(struct ssm *s, const char *op, const char *subject, const struct buf *request,
                       const struct store_call *call, struct ssm_reply *out, struct err *e) MUST_CHECK;

#endif
