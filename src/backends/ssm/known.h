/*
 * What was learnt of parameters from replies and from our own writes, by name, bounded: the oldest entry gives way.
 * Losing one costs a request, never correctness. Thread-safe; never blocks; no call fails for want of memory, it only
 * remembers less.
 *
 * A version's ETag is "NUMBER-MS": the parameter's version and the time of its last change, so that one that was
 * deleted and made again (its numbers begin at 1) has another. PutParameter's reply does not tell that time. What we
 * wrote therefore gets the reply's Date, and keeps the ETag made from it when a later reply shows the same number with
 * a time within 20 s of it: AWS refuses to make a deleted name again within 30 s, so that is ours.
 */
#ifndef SSM_KNOWN_H
#define SSM_KNOWN_H

#include "awsfs/store.h"
#include "backends/ssm/replies.h"
#include "util/cleanup.h"

#include <stdint.h>

struct known;

/* At most `max` names. NULL without memory. */
struct known *known_new(size_t max);
void known_free(struct known *k);
CLEANUP_DEFINE(struct known, known_free)

/* Records what a reply says is there now under `name` (with its leading slash) and tells its version for the store's
 * users. */
void known_saw(struct known *k, const char *name, const struct ssm_param *p, struct store_version *out);

/* Records our own write: version `number`, `size` bytes, at `date_ms` by the server's clock. `d` (may be NULL) is what
 * it was written with, copied. Tells its version. */
void known_wrote(struct known *k, const char *name, int64_t number, uint64_t size, int64_t date_ms,
                 const struct ssm_described *d, struct store_version *out);

/* Records a description, copied. */
void known_describe(struct known *k, const char *name, const struct ssm_described *d);

/* A copy for the caller of the description of that version; NULL when it is not known. */
struct ssm_described *known_described(struct known *k, const char *name, int64_t number);

/* How long a value may be there, in bytes: by its tier, 8 KiB where that is not known; 0 when the name is not known. Of one
 * that is expected: what is expected. */
uint64_t known_value_max(struct known *k, const char *name);

/* Of a name that is not there: its first value may have so many bytes. */
void known_expect(struct known *k, const char *name, uint64_t max);

/* It is gone. */
void known_forget(struct known *k, const char *name);

/* The version without any memory, for what is not the current one. */
void known_version_plain(const struct ssm_param *p, struct store_version *out);

/* The number in front of an ETag's '-'; -1 when it is none of ours. */
int64_t known_version_number(const char *etag);

/* Bytes that a value may have in that tier: 8 KiB unless it is "Standard". */
uint64_t known_tier_max(const char *tier);

#endif
