/*
 * Passthrough (Linux 6.9): the kernel serves an open file from a local one by itself. Asked for at INIT, then of each open file.
 * libfuse has an interface for it since 3.17 (passthrough_lib.c); with an older one the replies to INIT and OPEN are completed by
 * hand (passthrough_hook.c). The build takes one of them. Local files are made known by ioctl in both: libfuse's functions for that
 * need a request also to let go of one, and do not say what failed.
 */
#ifndef FUSE_PASSTHROUGH_H
#define FUSE_PASSTHROUGH_H

#include <stdbool.h>
#include <stdint.h>

struct fuse_conn_info;
struct fuse_file_info;
struct fuse_req;
struct fuse_session;
struct wire;

/* From the handler of INIT: asks for it. False where the kernel does not offer it; nothing is changed then. */
bool passthrough_ask(struct wire *w, struct fuse_conn_info *conn);

/* Answers OPEN, as fuse_reply_open(). `backing`: an id of passthrough_open(), or 0: `fi` alone says it. `fi->keep_cache` must not
 * be set with an id: the kernel refuses that. */
int passthrough_reply_open(struct fuse_req *req, struct fuse_file_info *fi, int32_t backing);

/* Makes the kernel know an open file, of which it takes a reference of its own. An id over 0, or a negative errno: EPERM without
 * CAP_SYS_ADMIN (the one of the machine, not of a user namespace), ELOOP where the file lies on a stacked file system (overlay).
 * Blocks on nothing. */
int32_t passthrough_open(struct fuse_session *se, int fd);

/* Lets go of it; files open with it stay served. */
void passthrough_close(struct fuse_session *se, int32_t id);

#endif
