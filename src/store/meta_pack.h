/* `struct store_meta` as bytes, to be kept. */
#ifndef STORE_META_PACK_H
#define STORE_META_PACK_H

#include "awsfs/store.h"
#include "util/buf.h"

/* Appends all of it but `modified` and `settled`. What does not fit marks the buffer as failed. */
void store_meta_pack(const struct store_meta *m, struct buf *out);

/* One reference. NULL where that is not what store_meta_pack() made, in full and nothing behind it, or without memory. */
struct store_meta *store_meta_unpack(const void *p, size_t len);

#endif
