/* Features that are turned off, as other servers lack them: a header or parameter that is ignored, or refused with 501. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct request;
struct reply;

struct lacks {
    uint64_t ignored, refused;     /* bits by place in the table of lacks.c */
    enum { ANY_PLACE, IN_PATH, IN_HOST } place; /* where a bucket's name may stand */
};

/* Takes "ignore", "refuse" (arrays of names) and "addressing" ("any", "path", "virtual") where they are given. NULL, or what is
 * wrong with them. */
const char *lacks_set(struct lacks *l, const json_t *settings);

/* Removes from the request what is ignored. False when it is refused, after putting the error into p. */
bool lacks_apply(const struct lacks *l, struct request *r, struct reply *p);

/* True where that feature is ignored. */
bool lacks_ignores(const struct lacks *l, const char *name);
