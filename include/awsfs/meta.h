/*
 * What is stored with an object beside its bytes, as plain fields: what a store keeps and a journal writes down, neither of which
 * knows the other.
 */
#ifndef AWSFS_META_H
#define AWSFS_META_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/* Which of the fields were really stored. The values are those in journals. */
enum {
    STORE_HAS_MODE = 1,
    STORE_HAS_UID = 2,
    STORE_HAS_GID = 4,
    STORE_HAS_MTIME = 8,
    STORE_HAS_ATIME = 16,
    STORE_HAS_CTIME = 32,
    STORE_HAS_ALL = 63,
};

struct meta_pair {
    const char *name;
    const void *value; /* `len` bytes; NULL only where there are none */
    size_t len;
};

/* Borrows everything that it points to. */
struct meta_fields {
    unsigned has;      /* STORE_HAS_* */
    mode_t mode;       /* with file type: S_IFREG, S_IFDIR, S_IFLNK, ... */
    uid_t uid;
    gid_t gid;
    struct timespec mtime, atime, ctime;
    const struct meta_pair *xattrs; /* plain user.* attributes by full name */
    size_t n_xattrs;
    const struct meta_pair *props;  /* the rest, to be carried along: "content-type", "cache-control", "meta.NAME", ... */
    size_t n_props;
};

#endif
