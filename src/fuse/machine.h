/* What this machine lets FUSE do, found out without mounting anything. */
#ifndef FUSE_MACHINE_H
#define FUSE_MACHINE_H

#include "awsfs/err.h"

#include <stdbool.h>

/* Whether a mount by this user can work. ERR_OK; ERR_IO, ERR_PERM, ERR_ACCESS with what is missing and what to do: the
 * device, the right to mount, fusermount3. Any thread; asks the file system only. */
enum err_code machine_can_mount(struct err *e) MUST_CHECK;

/* Whether this user may use allow_other. ERR_PERM. */
enum err_code machine_allows_other(struct err *e) MUST_CHECK;

/* Whether the kernel can serve reads from the cache's files by itself (FUSE_PASSTHROUGH): asked of the kernel by a file
 * system that is attached nowhere and ends at once. ERR_UNSUPPORTED, ERR_PERM, ERR_IO with the reason. */
enum err_code machine_passes_through(struct err *e) MUST_CHECK;

/* What of that shows without trying: the kernel's version and the right to it. ERR_UNSUPPORTED, ERR_PERM with the reason. */
enum err_code machine_grants_passthrough(struct err *e) MUST_CHECK;

/* Where fusermount3 is; NULL: nowhere. Static. */
const char *machine_fusermount(void);

#endif
