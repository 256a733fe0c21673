/* The file that remembers what a server can do. Its content is not trusted: anything unexpected makes it none. */
#ifndef S3_TRAITS_FILE_H
#define S3_TRAITS_FILE_H

#include "backends/s3/traits.h"

#include <limits.h>
#include <time.h>

enum { TRAITS_DAYS = 7, TRAITS_SERVER_SIZE = 128 };

struct traits_file {
    enum s3_verdict verdicts[S3_TRAITS];
    bool asked; /* verdicts are there */
    int is_virtual; /* as s3_traits_virtual() */
    time_t when;
    char server[TRAITS_SERVER_SIZE];
};

/* The path for an endpoint and kind of bucket ("general", "directory"). False when it would be too long. */
bool traits_file_path(const char *dir, const char *endpoint, const char *kind, char out[PATH_MAX]);

/* ERR_NOT_FOUND: none there. Anything else says why it cannot be used: damaged, not ours, too old. */
enum err_code traits_file_load(const char *path, const char *endpoint, const char *kind, time_t now,
                               struct traits_file *out, struct err *e) MUST_CHECK;

/* Written beside it and renamed. */
enum err_code traits_file_save(const char *path, const char *endpoint, const char *kind, const struct traits_file *f,
                               struct err *e) MUST_CHECK;

#endif
