/* Putting a frozen stage, and uploads by parts that become no object. Private to src/vfs. */
#ifndef VFS_UPLOAD_H
#define VFS_UPLOAD_H

#include "vfs/tree.h"

struct early;
struct digest;

struct upload {
    const char *key;
    struct stage *stage;     /* frozen */
    struct store_meta *meta; /* may be NULL */
    struct store_cond cond;
    struct cancel *cancel;
    struct content *base;    /* where the stage's BASE bytes come from; NULL: it has none */
    const char *base_etag;   /* what `key` has in this version is what stage_same_at() means; NULL: not known to be there */
    struct early *early;     /* what was sent already; NULL: nothing */
    bool brief;              /* as struct store_call */
};
/* Puts the frozen state: one request or by parts. What it fetches is in the stage afterwards. */
enum err_code upload_put(struct vfs *v, const struct upload *u, struct store_version *out, struct err *e) MUST_CHECK;

static inline bool upload_by_parts(const struct vfs *v, uint64_t size)
{
    return vfs_has(v, STORE_MULTIPART) && size > v->caps->put_target;
}

/* ---- For those who send parts */

/* Begins an upload and records it, durably, before it is returned. */
enum err_code upload_begin(struct vfs *v, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                           struct cancel *cancel, char id[STORE_ID_SIZE], struct err *e) MUST_CHECK;
/* Whether the store has nothing of it any more. Where it cannot be aborted now the next mount does it. */
bool upload_abort(struct vfs *v, const char *key, const char *id);

/* A body's bytes: the stage's from `start` on, of its frozen state or of the present one. */
struct upload_source {
    struct stage *stage;
    uint64_t start;
    bool frozen;
};
ssize_t upload_source_read(void *arg, uint64_t offset, void *buf, size_t len);
/* Its CRC64NVME over `size` bytes: as it was written, else by a pass over them. */
enum err_code upload_crc(const struct upload_source *s, uint64_t size, uint64_t *crc, struct err *e) MUST_CHECK;
/* One pass over its first `size` bytes: the digest unless NULL, and the CRC64NVME. */
enum err_code upload_scan(const struct upload_source *s, uint64_t size, struct digest *d, uint64_t *crc, struct err *e) MUST_CHECK;

/* ---- left.c */

void left_init(struct vfs *v);
/* Aborts in the background what a dead mount has left. Read-only mounts leave it to the next one. */
void left_begin(struct vfs *v);
/* Aborts one that is recorded, in the background. */
void left_abort_locked(struct vfs *v, const char *key, const char *upload_id);
/* Keeps one that is recorded: no mount aborts it. In the background. */
void left_keep_locked(struct vfs *v, const char *key, const char *upload_id);
/* The vfs is about to be freed: aborts under way have two seconds, then they are the next mount's. */
void left_end(struct vfs *v);

#endif
