/* A directory of a test's own. */
#ifndef TEST_JOURNAL_SCRATCH_H
#define TEST_JOURNAL_SCRATCH_H

#include <stddef.h>

struct scratch {
    char path[64];
};

/* Made under $TMPDIR or /tmp. */
void scratch_make(struct scratch *s);

/* Removes it with the files in it. */
void scratch_remove(struct scratch *s);

/* Entries in it whose names end with `suffix`; the last one's path is put into `path` (may be NULL). */
unsigned scratch_count(const struct scratch *s, const char *suffix, char *path, size_t path_size);

/* The file's bytes with a NUL behind them, at most 1 MiB. free() them. */
char *scratch_read(const char *path, size_t *len);

void scratch_write(const char *path, const void *p, size_t len);

#endif
