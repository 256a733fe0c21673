/*
 * What AWS's error replies mean. One table turns (service, code) and, where a reply has no code, the status into an
 * error of ours and into what to do about it.
 */
#ifndef AWS_ERRORS_H
#define AWS_ERRORS_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>

enum aws_class {
    AWS_FINAL,     /* the answer */
    AWS_TRANSIENT, /* try again */
    AWS_THROTTLED, /* try again, slower */
    AWS_SKEW,      /* our clock is wrong, the reply's Date is right */
    AWS_EXPIRED,   /* the credentials are not valid (any more): get others */
    AWS_REGION     /* the bucket is in another region */
};

/* An error reply, decoded. All "" when absent. */
struct aws_error {
    char code[64];
    char message[200]; /* the server's words; may quote a value that was sent */
    char request_id[64];
    char region[64]; /* <Region>: where the bucket is */
    bool recognised; /* the body was an error document (or empty) */
};

/* Decodes an XML or JSON body; anything else, also what is malformed, leaves the fields "" and `recognised` false.
 * Never fails. */
void aws_error_parse(const char *body, size_t len, struct aws_error *out);

/* Sets the code from the header x-amzn-errortype or from a body's __type, without prefix and suffix. */
void aws_error_set_code(struct aws_error *error, const char *type);

struct aws_decision {
    enum err_code code;
    enum aws_class class;
    const char *text; /* in place of the server's message; NULL: use that */
};

/* Decides about a reply that is no 2xx, or about a 2xx whose body is an error (status 500 then). */
struct aws_decision aws_error_decide(const char *service, int status, const struct aws_error *error);

#endif
