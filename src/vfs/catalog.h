/*
 * The names that listings brought of one directory, in the order of their places (vfs/chunk.h), packed. It grows while the
 * directory is listed: in segments that follow each other without a gap, one for each range of keys that is listed by itself.
 * Positions count from the first name on and never change; they are known as far as everything before them is there.
 * Reference-counted, protected by the tree lock. Private to src/vfs.
 */
#ifndef VFS_CATALOG_H
#define VFS_CATALOG_H

#include "util/cleanup.h"
#include "vfs/chunk.h"

struct catalog;
struct segment; /* its catalog's */

enum catalog_state { CATALOG_GROWS, CATALOG_WHOLE, CATALOG_BROKEN /* its listing failed */ };

/* One reference, growing, with one segment for all names. NULL without memory. */
struct catalog *catalog_new(void);
struct catalog *catalog_ref(struct catalog *c);
void catalog_unref(struct catalog *c); /* NULL is fine */

/* ---- Growing */

struct segment *catalog_first(struct catalog *c);
/* Cuts an open segment: what is behind `key` goes to the new one, which is returned. Nothing behind it may have been added.
 * NULL without memory. */
struct segment *catalog_cut(struct catalog *c, struct segment *s, const char *key);
/* Undoes that: `s` is empty and goes; its names go to the open segment before it. */
void catalog_join(struct catalog *c, struct segment *s);
/* Takes over names that are behind all names of the segment, also on failure. ERR_NOMEM. */
enum err_code catalog_add(struct catalog *c, struct segment *s, struct chunk *names, struct err *e) MUST_CHECK;
/* Nothing more is added to it. */
void catalog_close(struct catalog *c, struct segment *s);

void catalog_end(struct catalog *c, enum catalog_state state);
enum catalog_state catalog_state(const struct catalog *c);

/* ---- Reading */

/* A name in it; good as long as the lock is held. */
struct catalog_at {
    struct chunk *chunk;
    size_t k;
    struct segment *segment;
    size_t chunk_index;
};

/* False: there is no such name (yet). */
bool catalog_find(const struct catalog *c, const char *name, struct catalog_at *out);
/* The name at that position, or the first name not before that place. False: not there (yet). */
bool catalog_seek(const struct catalog *c, uint64_t position, struct catalog_at *out);
bool catalog_from(const struct catalog *c, const char *name, struct catalog_at *out);
/* How many names of a whole catalog stand before the place of that name. */
uint64_t catalog_before(const struct catalog *c, const char *name);
/* The next name. False at the end of what is there. */
bool catalog_next(const struct catalog *c, struct catalog_at *at);

/* Names whose positions are known. */
uint64_t catalog_ready(const struct catalog *c);
/* Names, those that are not taken, and the memory of all of them in bytes. */
uint64_t catalog_names(const struct catalog *c);
uint64_t catalog_left(const struct catalog *c);
uint64_t catalog_bytes(const struct catalog *c);
/* Takes a name that is not taken yet. */
void catalog_take(struct catalog *c, const struct catalog_at *at);

#endif
