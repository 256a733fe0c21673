/* The bytes of a put that is not sent yet: in memory (and in the put's record), or in a file. Private to src/writeback. */
#ifndef WRITEBACK_BODY_H
#define WRITEBACK_BODY_H

#include "awsfs/store.h"
#include "util/cleanup.h"

#include <stdint.h>

struct bodies; /* the files, and how much memory is used */

/* Shared, reference-counted, immutable. */
struct body {
    unsigned refs;
    uint64_t size;
    char *bytes; /* NULL: in a file */
    char *file;  /* its name in the directory */
    struct bodies *owner;
};

/* `dir` is made where it is not there. */
struct bodies *bodies_open(const char *dir, struct err *e);
void bodies_free(struct bodies *b);
CLEANUP_DEFINE(struct bodies, bodies_free)

/* Takes a body's bytes: copies them unless they are given as a file. A file is durable when this returns. ERR_NOSPC, ERR_IO, ERR_NOMEM. */
struct body *body_take(struct bodies *b, const struct store_body *from, struct err *e);
/* Bytes that a record had. */
struct body *body_of_bytes(struct bodies *b, const void *p, size_t len, struct err *e);
/* A file that a record names, which need not be there: the record's operation may have ended. */
struct body *body_of_file(struct bodies *b, const char *name, uint64_t size, struct err *e);
/* ERR_PROTO unless it is there, with its size. ERR_IO, ERR_NOMEM: that is not known. */
enum err_code body_check(const struct body *b, struct err *e) MUST_CHECK;
/* Its file, if there is one, goes to the directory above, as NAME.damaged, with a description (journal/left.h) of what it was to be and
 * why it is not. */
void body_set_aside(const struct body *b, const char *key, const char *reason);

struct body *body_ref(struct body *b);
/* The file goes with the next bodies_tidy(). Any thread, never blocks. NULL is fine. */
void body_unref(struct body *b);

/* Removes the files that nobody needed any more when bodies_mark() was called; between the two, what says so in the log has been made
 * durable. */
void bodies_mark(struct bodies *b);
void bodies_tidy(struct bodies *b);
/* Removes the files of which there is no body: rubbish of an earlier mount. With `keep` they are moved aside instead: what named them
 * may have been damaged. */
void bodies_sweep(struct bodies *b, bool keep);

/* Reading: `fd` is that of body_open(), or -1 in memory. As store_body's read. */
int body_open(const struct body *b, struct err *e); /* -1 where it is in memory, -2 on an error */
ssize_t body_read(const struct body *b, int fd, uint64_t offset, void *buf, size_t len);

#endif
