/* Which bytes of which objects were asked for, and how often: the proof that nothing is fetched twice. */
#pragma once
#include <jansson.h>
#include <stdint.h>

struct map;

struct ranges {
    struct map *by_target; /* "bucket/key" to its ranges */
    json_int_t repeated;   /* requests for exactly what was asked for before */
};

void ranges_init(struct ranges *r);
void ranges_release(struct ranges *r);
void ranges_reset(struct ranges *r);

/* Notes a GET that was answered with these bytes of the object. */
void ranges_add(struct ranges *r, const char *target, uint64_t offset, uint64_t length);

/* The reply of GET /-/ranges; the caller owns it. */
json_t *ranges_json(const struct ranges *r);
