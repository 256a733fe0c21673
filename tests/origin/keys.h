/* Encryption with the client's own key (SSE-C), as far as a client sees it, and buckets whose requester pays. */
#pragma once
#include <stdbool.h>

struct object;
struct request;
struct reply;
struct server;

/* Takes the key's headers into a new object. False after putting an error into p: malformed, or MD5 and key differ. */
bool key_take(const struct request *r, struct object *o, struct reply *p);

/* True when the request names the key of the object, or none where it has none; else the error is in p. `source`: the
 * headers are those of a copy's source. */
bool key_fits(const struct request *r, const struct object *o, bool source, struct reply *p);

/* What a reply says of it. */
void key_reply(struct reply *p, const struct object *o);

/* False, with 403 in p, when the bucket's requester pays and this one does not say so. */
bool payer_agrees(const struct server *s, const struct request *r, struct reply *p);
