/* What the tests of the client share: an engine, credentials with a marker in them, a scripted server, the end of a
 * call. */
#ifndef TESTS_AWS_CLIENT_FIXTURE_H
#define TESTS_AWS_CLIENT_FIXTURE_H

#include "aws/client.h"

#include "support.h"

#define SECRET "MARKERwJalrXUtnFEMI"
#define TOKEN  "MARKERtoken"

extern struct http_engine *engine;
extern struct creds_provider *creds; /* one fixed set: AKID, SECRET, TOKEN */

/* Setup and teardown of a test. */
int enter(void **state);
int leave(void **state);

/* A client for region eu-west-1 with a time limit of 8 s. */
struct aws_client *client_for(const char *service, const char *endpoint, const char *bucket);

/* What done() was told, copied. */
struct outcome {
    unsigned ended;
    enum err_code code;
    int status;
    char body[4096], error_code[64], request_id[64], header[256];
    unsigned attempts, unanswered;
    struct err err;
    char streamed[4096];
};

/* aws_call() with done and arg set; no message may show the marker. */
enum err_code call(struct aws_client *c, struct aws_request r, struct outcome *o);

/* A server that goes through a list of replies; the last one is repeated. Status 0: it hangs up. */
struct step {
    int status;
    const char *headers, *body;
};

struct plan {
    const struct step *steps;
    unsigned n;
};

void answer_plan(void *arg, const struct seen *r, unsigned number, struct buf *out);

#define SERVE(...)                                                                                                     \
    const struct step steps[] = {__VA_ARGS__};                                                                         \
    struct plan plan = {steps, ARRAY_LEN(steps)};                                                                      \
    struct script *server = script_start(answer_plan, &plan)

/* A body to send. */
struct text_body {
    struct http_body body;
    const char *text;
};

void text_body_init(struct text_body *b, const char *text);

#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

#endif
