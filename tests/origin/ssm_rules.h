/* What the service refuses of a PutParameter. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

struct request;
struct reply;
struct server;

/* What the request comes to: its members with what the parameter had before. */
struct ssm_change {
    const json_t *before; /* the latest version, NULL for a new parameter */
    char *name;
    const char *type;
    const char *tier;
    json_t *policies;
};

/* Each false after putting the error into p. The second fills change but for `before`. */
bool ssm_name_legal(struct server *s, const struct request *r, struct reply *p);
bool ssm_change_legal(struct server *s, const struct request *r, struct ssm_change *change, struct reply *p);
void ssm_change_release(struct ssm_change *change);

/* The length of UTF-8 as the limits of texts count it. */
size_t ssm_characters(const char *s);

/* The policies of a request as they are told afterwards; NULL after putting the error into p. */
json_t *ssm_policies_of(const struct request *r, const struct ssm_change *change, struct reply *p);
