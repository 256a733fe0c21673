/*
 * A filesystem over the in-memory store, and short ways to use it as a program would: by paths. What goes wrong where it must
 * not fails the test. Not thread-safe, except where a test's own threads use the vfs below it.
 */
#ifndef TEST_VFS_SUPPORT_H
#define TEST_VFS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/meta.h"
#include "util/buf.h"
#include "vfs/vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>

#define RULES_MAX 8
#define NOTES_MAX 64

/* A failure to come: calls of `op` on `key` (NULL: any) end with `code`, `times` times. */
struct rule {
    enum mem_op op;
    enum mem_phase phase;
    char key[256];
    bool any_key;
    enum err_code code;
    unsigned times;
    unsigned delay_ms;
};

struct rig {
    struct store *store;
    struct mem_store *mem;
    struct vfs *v;
    struct vfs_config cfg;
    struct vfs_caller who;
    struct err err;
    char state[64];
    unsigned before[MEM_OPS]; /* counts at the last rig_mark() */
    pthread_mutex_t mutex;    /* the rest: also used by hooks */
    struct rule rules[RULES_MAX];
    unsigned notes;           /* notifications of entries */
    char noted[NOTES_MAX][64];
};

/* What kinds of store and mount there are in these tests. */
struct rig_kind {
    unsigned caps_on, caps_off;
    uint64_t put_target;
    unsigned page_size;
    bool async, meta_in_get;
    bool (*stays_local)(const char *name);
    uint64_t ttl_ms; /* 0 with ttl_zero, else 60 s */
    bool ttl_zero;
    enum vfs_attrs attrs; /* VFS_ATTRS_AUTO is the default */
    bool excl_open, read_only;
    uint64_t rename_limit;
    uint64_t max_object;
};

/* `kind` may be NULL: a bucket, ttl of a minute. rig_store() makes the store alone, rig_mount() the vfs. */
void rig_store(struct rig *r, const struct rig_kind *kind);
void rig_mount(struct rig *r);
void rig_start(struct rig *r, const struct rig_kind *kind);
void rig_unmount(struct rig *r);
void rig_stop(struct rig *r);

/* Requests of one kind, and of all kinds, since the last mark. */
void rig_mark(struct rig *r);
unsigned rig_count(struct rig *r, enum mem_op op);
unsigned rig_requests(struct rig *r);

void rig_fail(struct rig *r, enum mem_op op, const char *key, enum err_code code, unsigned times);
/* The call takes effect and its caller is told a failure. */
void rig_fail_after(struct rig *r, enum mem_op op, const char *key, enum err_code code, unsigned times);
void rig_slow(struct rig *r, enum mem_op op, unsigned delay_ms);
void rig_heal(struct rig *r);

/* ---- What others do in the store, and what is there */

void others_put(struct rig *r, const char *key, const char *text);
void others_put_meta(struct rig *r, const char *key, const char *text, struct store_meta *meta);
void others_remove(struct rig *r, const char *key);
bool there(struct rig *r, const char *key);
void expect_object(struct rig *r, const char *key, const char *text);
void expect_no_object(struct rig *r, const char *key);
/* Objects whose keys begin with `prefix`. */
unsigned objects_below(struct rig *r, const char *prefix);
/* The first key with `part` in it; false if there is none. */
bool find_key(struct rig *r, const char *part, char out[1100]);
/* Metadata of an object, to be released with store_meta_unref(). */
struct store_meta *object_meta(struct rig *r, const char *key);
/* Metadata as another tool would store it: mode (0: none) and, if not NULL, a content type. */
struct store_meta *meta_of(mode_t mode, const char *content_type);

/* ---- The mount, by paths ("" is the root) */

enum err_code try_walk(struct rig *r, const char *path, uint64_t *ino);
uint64_t walk(struct rig *r, const char *path); /* must exist */
enum err_code look(struct rig *r, const char *path, struct vfs_entry *out);
void expect_absent(struct rig *r, const char *path);
struct stat stat_of(struct rig *r, const char *path);

/* Names without "." and "..", in order, each followed by '\n', into a buffer of the rig's caller. */
enum err_code names_in(struct rig *r, const char *path, bool plus, struct buf *out);
void expect_names(struct rig *r, const char *path, const char *expected);

enum err_code try_create(struct rig *r, const char *path, int flags, struct vfs_handle **out);
enum err_code try_open(struct rig *r, const char *path, int flags, struct vfs_handle **out);
struct vfs_handle *create_at(struct rig *r, const char *path);
struct vfs_handle *open_at(struct rig *r, const char *path, int flags);
void write_at(struct rig *r, struct vfs_handle *h, uint64_t offset, const char *text);
enum err_code read_some(struct rig *r, struct vfs_handle *h, uint64_t offset, size_t size, struct buf *out);
void expect_bytes(struct rig *r, struct vfs_handle *h, const char *text);
enum err_code flush(struct rig *r, struct vfs_handle *h);
enum err_code fsync_file(struct rig *r, struct vfs_handle *h);
/* flush and release; returns what close(2) returns. */
enum err_code close_file(struct rig *r, struct vfs_handle *h);
void release(struct rig *r, struct vfs_handle *h);
/* create, write, close: must succeed. */
void write_file(struct rig *r, const char *path, const char *text);
void expect_file(struct rig *r, const char *path, const char *text);

enum err_code try_mkdir(struct rig *r, const char *path);
enum err_code try_unlink(struct rig *r, const char *path);
enum err_code try_rmdir(struct rig *r, const char *path);
enum err_code try_rename(struct rig *r, const char *from, const char *to, unsigned flags);
enum err_code try_chmod(struct rig *r, const char *path, mode_t mode);
enum err_code try_truncate(struct rig *r, const char *path, uint64_t size);

void drain(struct rig *r);

/* ---- Calls on a thread of their own, in the root directory */

enum call_kind { CALL_LOOKUP, CALL_FLUSH, CALL_UNLINK, CALL_RMDIR, CALL_RENAME, CALL_MKDIR, CALL_DRAIN };

struct call {
    struct rig *r;
    enum call_kind kind;
    struct vfs_handle *h;
    const char *a, *b; /* names */
    unsigned flags;    /* of a rename */
    enum err_code code;
    bool ended; /* atomic */
    pthread_t thread;
};
void call_start(struct call *c);
/* The same, and waits until the store has got an `op` on `key` (NULL: any) of it, which is held. */
void call_start_held(struct call *c, enum mem_op op, const char *key);
bool call_ended(void *call);
/* Waits for it; what it returned. */
enum err_code call_end(struct call *c);
/* Lets what is held go on first. */
enum err_code call_end_held(struct call *c, enum mem_op op);

/* A text of that length, to be freed. */
char *bytes_of(size_t len);

/* Files in the state directory's folder whose names end in `ending`. */
unsigned state_files(struct rig *r, const char *folder, const char *ending);
/* Content of the first of them. */
void state_text(struct rig *r, const char *folder, const char *ending, struct buf *out);

/* Waits until `is(arg)`; false after `ms`. */
bool within(unsigned ms, bool (*is)(void *arg), void *arg);

#define expect_ok(r, call) expect_code_(r, ERR_OK, call, __FILE__, __LINE__)
#define expect_code(r, code, call) expect_code_(r, code, call, __FILE__, __LINE__)
void expect_code_(struct rig *r, enum err_code expected, enum err_code got, const char *file, int line);

#endif
