/*
 * Pages of a listing become packed names (vfs/chunk.h). A page's keys come in their order; an object "a" is held back until the
 * listing has come to "a/", which decides whether a directory stands beside it. What has no place in a chunk is set apart: names
 * that are escapes or could be taken for some, objects beside a directory of their name, the directory's own marker. Works on one
 * range of keys; not thread-safe. Private to src/vfs.
 */
#ifndef VFS_PACK_H
#define VFS_PACK_H

#include "vfs/chunk.h"

/* Zeroed at first. */
struct pack {
    struct store_entry *held; /* objects whose place has not come: each begins with the one before it */
    size_t n, room;
    const char *prefix;       /* the directory's key; borrowed */
};

void pack_release(struct pack *p);

struct packed {
    struct chunk *names;      /* NULL: none */
    struct store_page apart;  /* set apart, in the order of keys */
    struct store_page after;  /* at the end: objects whose place is behind the range's end */
};

void packed_release(struct packed *p);

/* Where a page ends. */
enum pack_end { PACK_GOES_ON, PACK_AT_KEY /* the range's: `end` */, PACK_AT_LAST /* of all keys */ };

/* Takes the next page (its entries are moved or released, also on failure); with the last one of the range, what is held back as
 * well. `end` is below the prefix. ERR_NOMEM; ERR_PROTO: keys of an order that no listing has. */
enum err_code pack_page(struct pack *p, struct store_page *page, enum pack_end how, const char *end, uint64_t seq,
                        uint64_t start_ms, struct packed *out, struct err *e) MUST_CHECK;

#endif
