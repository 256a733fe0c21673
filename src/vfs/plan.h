/* Which parts an upload consists of, and sending them. Private to src/vfs. */
#ifndef VFS_PLAN_H
#define VFS_PLAN_H

#include "vfs/tree.h"

struct upload;

struct plan_part {
    uint64_t start;
    bool copied; /* by the server, from the base */
    bool done;   /* `part` is complete */
    struct store_part part;
};

struct plan {
    struct plan_part *parts;
    size_t n, cap;
};

void plan_release(struct plan *p);
enum err_code plan_add(struct plan *p, uint64_t start, uint64_t size, bool copied, struct err *e) MUST_CHECK;

/* Parts of one size, at most max_parts: of 8 MiB unless that is too many. */
enum err_code plan_whole(struct plan *p, const struct store_caps *caps, uint64_t size, struct err *e) MUST_CHECK;

/* Of a frozen stage: what the object has already is copied where it is long enough for parts of its own. */
enum err_code plan_copies(struct plan *p, struct stage *s, const struct store_caps *caps, struct err *e) MUST_CHECK;

/* Where part number k + 1 of a file begins whose size is not known yet: 10,000 of them hold any object, each as large as those
 * before it or twice as large. */
uint64_t plan_growing_start(const struct store_caps *caps, size_t k);

/* Sends the parts that are not done, several at once; the first failure is returned. Without locks. */
enum err_code plan_send(struct vfs *v, const struct upload *u, const char *id, struct plan *p, struct err *e) MUST_CHECK;

/* The CRC-64/NVME of the whole, from those of its parts, which were all sent from here. */
uint64_t plan_crc(const struct plan *p);

/* How many parts of one file go at once. */
unsigned plan_parallel(const struct vfs *v);

#endif
