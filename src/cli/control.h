/*
 * The daemon's side of `awsfs status`, `flush` and `umount`: a unix socket for each mount, mode 0600 in a directory of mode
 * 0700, that answers only its own user and root. A request is one line; the answer is lines.
 *
 *   status   one line of JSON
 *   flush    "progress FILES BYTES" about once a second, "kept FILES" where some could not be stored and are journaled, then "done" or
 *            "failed MESSAGE"
 *   settle   nothing: the connection closes when what was just read is in the disk cache, after 30 s at most
 *   retry    "done": what is journaled and could not be sent is tried again now
 *   retry ID "done": so is the rename whose record is ID
 *   changed KEY  "done": a command has put that object; the mount shows it at once
 *   wait     nothing, until the daemon's process has ended: then the kernel closes the connection
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "awsfs/err.h"
#include "util/buf.h"

#include <limits.h>
#include <stdint.h>

#define CONTROL_LINE_MAX 4096 /* bytes of a request, with its newline */

struct control;

struct control_ops {
    /* Appends one line of JSON without a newline. Any thread. */
    void (*status)(void *arg, struct buf *out);
    /* What the kernel holds and the disk cache does not yet is brought there and recorded, for 30 s at most. Any thread. */
    void (*settle)(void *arg);
    /* What waits after a failure is tried again now: what is journaled, or, if it is not NULL, the rename with that record. Any thread. */
    void (*retry)(void *arg, const char *record);
    /* Somebody else has put that object. Any thread. */
    void (*changed)(void *arg, const char *key);
    /* Waits until what was written is in the store; progress as vfs_drain() has it. Any thread. */
    enum err_code (*flush)(void *arg, void (*progress)(void *p, uint64_t files, uint64_t bytes), void *p, struct err *e);
    /* Files that could not be stored and whose bytes are kept. Any thread. */
    uint64_t (*kept)(void *arg);
    void *arg;
};

/* Listens for the mount at `mountpoint`. ERR_IO and others name the path. */
struct control *control_new(const char *mountpoint, const struct control_ops *ops, struct err *e);

/* Stops listening, waits for flushes under way, closes every connection but those that wait for the end of the process, whose descriptors
 * are left to it. NULL is fine. */
void control_free(struct control *c);

/* The directory of the sockets: /run/awsfs for root, else $XDG_RUNTIME_DIR/awsfs or /tmp/awsfs-UID. */
void control_dir(char out[PATH_MAX]);

/* The socket of the mount at `mountpoint` (resolved). */
enum err_code control_path(const char *mountpoint, char out[PATH_MAX], struct err *e) MUST_CHECK;

#endif
