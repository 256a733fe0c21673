/* The Parameter Store: what its operations share. The rules are those of the service's API reference as far as it has
 * them, and are told apart from S3's by the target header. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops.h"

struct map;
struct request;
struct reply;
struct server;

enum {
    SSM_ARN_MAX = 1011, /* characters of a name with the ARN in front of it */
    SSM_LEVELS_MAX = 15,
    SSM_STANDARD_MAX = 4096, /* bytes of a value */
    SSM_ADVANCED_MAX = 8192,
    SSM_VERSIONS_MAX = 100,
    SSM_LABELS_MAX = 10,
    SSM_TAGS_MAX = 50,
    SSM_PAGE_MAX = 10,
    SSM_LONG_PAGE_MAX = 50, /* of descriptions and histories */
};

/* One parameter. A version is an object as GetParameterHistory tells it, the value in the clear. */
struct parameter {
    json_t *versions; /* from the oldest to the latest */
    json_t *tags;     /* an object */
    uint64_t changed_ns;
};

/* Requests that are still borne, as of a time. */
struct ssm_tokens {
    double left;
    uint64_t at_ns;
};

struct parameters {
    struct map *by_name; /* with a leading slash */
    uint64_t gets_per_s, others_per_s, burst;
    uint64_t update_ms;   /* a change so soon after the last one of that parameter is TooManyUpdates */
    uint64_t empty_every; /* each page of that number is empty and not the last; 0: none */
    uint64_t max_standard;
    json_t *deny; /* an array of {"kind", "name"} */
    json_t *keys; /* an object: key's id to "disabled" or "denied" */
    struct ssm_tokens gets, others;
};

/* Starts without parameters and with the default limits; frees all. */
void parameters_init(struct parameters *ps);
void parameters_release(struct parameters *ps);

/* The operation of the target header, "AmazonSSM.GetParameter"; OP_Unknown when there is none. */
enum op ssm_op_of_target(const char *target);

/* Parses the request's body into r->json and sets r->subject, which counts and faults go by: the name, path or names.
 */
void ssm_prepare(struct request *r);

/* Performs it, or refuses it. */
void ssm_perform(struct server *s, struct request *r, struct reply *p);

/* The control requests: settings, and many parameters at once. */
void ssm_settings(struct server *s, const json_t *in, struct reply *p);
void ssm_fill(struct server *s, const json_t *in, struct reply *p);

/* Each performs one operation. */
#define DECLARE_SSM(name) void ssm_##name(struct server *s, const struct request *r, struct reply *p);
SSM_OPERATIONS(DECLARE_SSM)
#undef DECLARE_SSM

/* ---- ssm_store.c */

/* "/x" for "x" and for "/x" with the ARN in front of it. The caller owns it. */
char *ssm_key_of(const char *name);

/* Looks up a name, with or without slash or ARN; NULL when there is none. */
struct parameter *ssm_find(struct server *s, const char *name);

/* The version of a name that may end in ":3" or ":label", and its parameter; NULL after setting *code to what is wrong.
 */
json_t *ssm_find_version(struct server *s, const char *name, struct parameter **owner, const char **code);

json_t *ssm_latest(const struct parameter *p);

/* As GetParameter tells a version; selector may be NULL. The caller owns it. */
json_t *ssm_shape(struct server *s, const json_t *version, bool decrypt, const char *selector);

/* As DescribeParameters and GetParameterHistory tell it. */
json_t *ssm_metadata(struct server *s, const json_t *version);
json_t *ssm_history_entry(const json_t *version, bool decrypt);

/* True when the value may be decrypted, or need not be; else puts the error into p. */
bool ssm_may_decrypt(struct server *s, const struct request *r, const json_t *version, bool decrypt, struct reply *p);

/* The same of a value that is to be kept under that key. */
bool ssm_may_encrypt(struct server *s, const struct request *r, const char *key, struct reply *p);

/* A number member between 1 and most, most when absent; 0 after putting the error into p. */
size_t ssm_page_size(const struct request *r, size_t most, struct reply *p);

/* Where the page begins of a token that ssm_token() made: a key, borrowed from `r`, "" for the beginning. NULL after
 * putting the error into p. */
const char *ssm_page_start(const struct request *r, unsigned *page, struct reply *p);
json_t *ssm_token(unsigned page, const char *next_key);

/* ---- ssm.c */

/* Turns the reply into that error; the message is formatted. */
void ssm_fail(struct reply *p, const struct request *r, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Answers with json, which it takes over. */
void ssm_answer(struct reply *p, json_t *json);

/* A string member of the request, NULL when absent. */
const char *ssm_text(const struct request *r, const char *name);
bool ssm_flag(const struct request *r, const char *name);

/* True when no rule denies the operation on that name; else puts the error into p. */
bool ssm_allowed(struct server *s, const struct request *r, const char *name, struct reply *p);
