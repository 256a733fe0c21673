/* A reply under construction, and S3's error replies. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "body.h"
#include "buf.h"
#include "request.h"

struct reply {
    int status;
    struct buf headers;       /* lines that end in CRLF; Content-Length, Date and the request id are added later */
    struct buf text;          /* the body when body is NULL */
    const char *content_type; /* of text */
    struct body *body;
    uint64_t offset; /* of what is sent of body */
    uint64_t length;
    bool no_length; /* 204 and 304: no Content-Length */
};

/* Frees what the reply holds and leaves it zeroed. */
void reply_release(struct reply *p);

void reply_header(struct reply *p, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Turns the reply into the error of that code, with its status and message (500 for a code that is not in the
 * table), or with the message given when it is not NULL. Headers set so far are dropped. */
void reply_error(struct reply *p, const struct request *r, const char *code);
void reply_error_text(struct reply *p, const struct request *r, const char *code, const char *message);

/* Status and message of a code of the table; 0 and NULL for others. */
int error_status(const char *code, const char **message);

/* Starts a 200 reply of XML: the declaration; the caller appends to p->text. */
void reply_xml(struct reply *p);
extern const char s3_namespace[]; /* xmlns="..." */

/* A JSON reply of the control endpoint; takes json over. */
void reply_json(struct reply *p, int status, json_t *json);

/* The whole head of the reply, Date off by skew_s. Appends to out. */
void reply_head(const struct reply *p, const struct request *r, struct buf *out);

/* Bytes of the body, whether or not a HEAD leaves them out. */
uint64_t reply_length(const struct reply *p);
