/* Putting a frozen stage, and uploads by parts that become no object. Private to src/vfs. */
#ifndef VFS_UPLOAD_H
#define VFS_UPLOAD_H

#include "vfs/tree.h"

struct upload {
    const char *key;
    struct stage *stage;    /* frozen and complete */
    struct store_meta *meta; /* may be NULL */
    struct store_cond cond;
    struct cancel *cancel;
};
/* Puts the frozen state: one request or by parts. */
enum err_code upload_put(struct vfs *v, const struct upload *u, struct store_version *out, struct err *e) MUST_CHECK;

/* ---- left.c */

void left_init(struct vfs *v);
/* Aborts in the background what a dead mount has left. Read-only mounts leave it to the next one. */
void left_begin(struct vfs *v);
/* The vfs is about to be freed: aborts under way have two seconds, then they are the next mount's. */
void left_end(struct vfs *v);

#endif
