/* What the server told of a version's bytes, and whether bytes that are held here are so. Private to src/cache. */
#ifndef CACHE_PROOF_H
#define CACHE_PROOF_H

#include "cache/cache_internal.h"
#include "util/digest.h"

#define PROOF_PART_SIZES 3 /* that are tried */

struct proof {
    enum cache_sum_kind kind;
    bool by_parts;                    /* of the parts' sums, else of all bytes */
    uint64_t parts[PROOF_PART_SIZES]; /* bytes that each part but the last may have; 0: no more */
    uint8_t value[CACHE_SUM_MAX];
};

/* From an ETag: false where it cannot be an MD5, or one of parts of a size that can be guessed. Pure. */
bool proof_of_etag(const char *etag, uint64_t size, struct proof *out);

/* From a checksum (NULL: false), likewise. Pure. */
bool proof_of_sum(const struct cache_sum *sum, uint64_t size, struct proof *out);

enum proof_result { PROOF_SAME, PROOF_OTHER, PROOF_NONE /* bytes that are bad or not here, stopped, no memory */ };

/* Reads all of `from`, once for each size that parts may have had, as long as claim->stop() is false. Blocks on the
 * disk. `out`, unless it is PROOF_NONE: the sum that was computed last. */
enum proof_result proof_try(const struct proof *p, struct cache_entry *from, const struct cache_claim *claim,
                            uint8_t out[DIGEST_MAX]);

#endif
