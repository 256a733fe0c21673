/*
 * All names of a directory as bytes, to be kept beyond the process (saved.h). A form byte; then a record a name: flags; how many bytes of
 * the name before it this one begins with, how many follow, and those; for an object its size and Last-Modified (numbers of seven bits
 * a byte; nanoseconds if there are any) and its ETag (the 16 bytes that 32 hex digits stand for, with the number of parts behind
 * them, or as it is). Names are components of keys; the empty one is the directory's own marker, or of a directory "//". At
 * the end a record with the number of those before it. About 30 bytes a name, in any order; a name may be there twice. Pure functions. Private to src/vfs.
 */
#ifndef VFS_SAVED_PACK_H
#define VFS_SAVED_PACK_H

#include "awsfs/store.h"
#include "util/buf.h"

#define SAVED_NAMES_MAX 100000

/* Zeroed at first, but for `out`. */
struct saved_pack {
    struct buf *out; /* its mark of failure is that of all that was added */
    size_t n;
    char last[1032]; /* the name before */
    size_t last_len;
};

/* `version` NULL: a directory. */
void saved_pack_add(struct saved_pack *p, const char *component, size_t len, const struct store_version *version);
void saved_pack_end(struct saved_pack *p);

/* One page with all names, in the order of keys, whatever the bytes are; the keys begin with `prefix`. ERR_PROTO says what is wrong;
 * ERR_UNSUPPORTED: a newer awsfs made them; ERR_NOMEM. */
enum err_code saved_unpack(const void *p, size_t len, const char *prefix, struct store_page *out, struct err *e) MUST_CHECK;

#endif
