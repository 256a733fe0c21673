/* What listings say, by directory and component. Private to src/vfs. */
#ifndef VFS_FOUND_H
#define VFS_FOUND_H

#include "awsfs/store.h"
#include "util/cleanup.h"

struct found_dir;

/* A request: its number, and when it began (clock_mono_ms). */
struct found_stamp {
    uint64_t seq, start_ms;
};

struct found {
    char *component;
    size_t len;
    bool is_dir;
    bool has_object;
    struct store_object object;
    struct timespec made;   /* of a container; 0: not told */
    struct found_stamp told; /* the request that told it last; zero: the one that the merge names */
    struct found_dir *sub;  /* what is below it, where the listing went there; else NULL */
};

struct found_dir *found_dir_new(void);
void found_dir_free(struct found_dir *f);
CLEANUP_DEFINE(struct found_dir, found_dir_free)

/* What is added from now on was told by that request. Without a call: by the one that the merge names. */
void found_dir_stamp(struct found_dir *f, const struct found_stamp *told);
/* The first request that told anything of the directory; zero where none was named. */
const struct found_stamp *found_dir_told(const struct found_dir *f);
/* Takes over the entries of a page; all keys begin with `prefix`. */
enum err_code found_dir_add_page(struct found_dir *f, const char *prefix, struct store_page *page, struct err *e) MUST_CHECK;
/* The same for one entry, which is taken over as far as it is an object. */
enum err_code found_dir_add_entry(struct found_dir *f, const char *prefix, struct store_entry *entry, struct err *e) MUST_CHECK;
/* Adds one component: an object (moved out of `object`, may be NULL) or a directory or both. */
enum err_code found_dir_put(struct found_dir *f, const char *component, struct store_object *object, bool is_dir,
                            struct err *e) MUST_CHECK;
enum err_code found_dir_put_container(struct found_dir *f, const char *component, const struct timespec *made,
                                      struct err *e) MUST_CHECK;
/* One component; NULL when nothing was found. */
const struct found *found_dir_get(const struct found_dir *f, const char *component);
/* The object whose key is the directory's own ("dir/"); NULL if there is none. */
const struct store_object *found_dir_marker(const struct found_dir *f);
const struct found *found_dir_next(const struct found_dir *f, size_t *cursor);
size_t found_dir_size(const struct found_dir *f);

/* Between two pages of a listing without delimiter: forgets what is below directories that the page has passed, whose names stay
 * (those of the uppermost directory only if `whole`: it has been listed from its beginning). `at` is the key, without the
 * prefix, at which the page ended. Returns the most names of one directory that are kept. */
size_t found_dir_prune(struct found_dir *f, const char *at, bool whole);
/* What is below the directory of that component; NULL if nothing is. */
struct found_dir *found_dir_sub(const struct found_dir *f, const char *component, size_t len);
/* The same, for the caller. */
struct found_dir *found_dir_take_sub(struct found_dir *f, const char *component, size_t len);

/* The object beside a directory, in it (STORE_SELF_NAMES). */
#define SELF_NAME "@self"

#endif
