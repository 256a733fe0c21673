/* What the programs of the benchmark share: each job times itself, so that starting a process is not measured. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* What one job did. first_s: seconds until the first byte or entry; negative where that has no meaning. */
struct work_done {
    double seconds;
    double first_s;
    uint64_t bytes;
    uint64_t items;
};

/* Seconds of the monotonic clock. */
double work_now(void);

/* Ends the program with status 1 and "what: the text of errno" on standard error. */
_Noreturn void work_die(const char *what);

/* Opens path for reading; dies where that fails. The caller closes. */
int work_open(const char *path);

/* Reads fd to its end in blocks of `size` bytes into buffer; the number of bytes. *first_s (if not NULL and negative)
 * becomes the time of the first block. Dies on an error: a benchmark that reads less than it claims is worth nothing.
 */
uint64_t work_drain(int fd, void *buffer, size_t size, const char *path, double *first_s);

/* Jobs on many files, named one a line by the file `list`; `threads` take the next name each time. Each fills *done.
 * read: opens, reads to the end, closes. create: creates, writes `size` bytes, closes. stat: lstat. */
void work_read_files(const char *list, unsigned threads, struct work_done *done);
void work_create_files(const char *list, unsigned threads, uint64_t size, struct work_done *done);
void work_stat_files(const char *list, unsigned threads, struct work_done *done);
