/* One HTTP/1.1 request as received: head, decoded target, body. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "body.h"
#include "fault.h"
#include "network.h"
#include "ops.h"

enum { HEAD_MAX = 64 << 10, HEADERS_MAX = 200, PARAMS_MAX = 64 };

struct pair {
    char *name;
    char *value;
};

struct request {
    char *head; /* all strings but bucket and key point into it or are owned by params */
    char *method;
    char *path;  /* raw, without the query */
    char *query; /* raw, "" when there is none */
    struct pair headers[HEADERS_MAX];
    size_t header_count;
    struct pair params[PARAMS_MAX]; /* decoded */
    size_t param_count;
    char *bucket; /* NULL: the service */
    char *key;    /* NULL: the bucket; decoded */
    bool in_host; /* the bucket was named there */
    const char *session_sse, *session_sse_key; /* of a directory bucket's session; NULL: none. Borrowed */
    bool control;
    bool ssm;      /* for the Parameter Store, by its target header */
    json_t *json;  /* its body, NULL when it is not an object */
    char *subject; /* its name, path or names; known with its body */
    bool close;
    uint64_t content_length;
    bool has_length;

    enum op op;
    struct fault_plan plan;
    struct network_plan network;
    struct sink sink;
    bool receiving; /* sink is in use */
    struct body *payload;
    struct body *slice;   /* UploadPartCopy's part, kept while its checksums are computed */
    struct body *to_hash; /* what an operation that answered OP_AGAIN waits for */
    unsigned hash_want;
    char id[20];
    uint64_t sequence; /* of the log entry */
};

/* Parses a complete head (owned by the request from now on) whose last line is empty. 0, or the HTTP status
 * to refuse it with; then the fields that were reached are set. Never blocks. */
int request_parse(struct request *r, char *head);

/* Frees what the request holds and leaves it zeroed. */
void request_release(struct request *r);

/* The value of a header (name in lower case) or a query parameter; NULL when absent. Borrowed. */
const char *request_header(const struct request *r, const char *name);
const char *request_param(const struct request *r, const char *name);

/* Splits a copy source "[/]bucket/key[?versionId=null]" or "ACCESS-POINT-ARN/object/key", percent-encoded, into owned
 * strings; false when malformed. */
bool parse_copy_source(const char *source, char **bucket, char **key);

/* Decodes %XX in place (and '+' when plus is true); false on a bad escape or a NUL byte. */
bool percent_decode(char *s, bool plus);

bool is_utf8(const char *s);

/* HTTP dates: parse gives -1 when malformed; format fills 30 bytes. */
time_t http_date_parse(const char *s);
void http_date_format(time_t t, char *out);

/* A decimal number of at most 18 digits. */
bool parse_u64(const char *s, uint64_t *out);
