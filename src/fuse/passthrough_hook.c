#include "fuse/passthrough.h"

#include "fuse/wire.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

/* fuse_open_out and its flags of protocol 7.40 (linux/fuse.h of Linux 6.9): the last member was padding before. */
struct open_out {
    uint64_t fh;
    uint32_t flags;
    int32_t backing_id;
};

#define OPEN_NOFLUSH     (1u << 5)
#define OPEN_PASSTHROUGH (1u << 7)

bool passthrough_ask(struct wire *w, struct fuse_conn_info *conn)
{
    w->passthrough = w->passthrough_offered;
    return w->passthrough;
}

int passthrough_reply_open(struct fuse_req *req, struct fuse_file_info *fi, int32_t backing)
{
    if (!backing)
        return fuse_reply_open(req, fi);
    const struct open_out out = {
        .fh = fi->fh, .flags = OPEN_PASSTHROUGH | (fi->noflush ? OPEN_NOFLUSH : 0), .backing_id = backing};
    return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}
