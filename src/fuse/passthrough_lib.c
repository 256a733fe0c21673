#include "fuse/passthrough.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

bool passthrough_ask(struct wire *w, struct fuse_conn_info *conn)
{
    if (!(conn->capable & FUSE_CAP_PASSTHROUGH))
        return false;
    conn->want |= FUSE_CAP_PASSTHROUGH;
    conn->max_backing_stack_depth = FUSE_BACKING_STACKED_UNDER;
    return true;
}

int passthrough_reply_open(struct fuse_req *req, struct fuse_file_info *fi, int32_t backing)
{
    fi->backing_id = backing;
    return fuse_reply_open(req, fi);
}
