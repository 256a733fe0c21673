/* Objects whose bytes follow from a key's salt and an offset, reads of them that note how they ended, and a store that
 * does wrong on several threads. */
#ifndef TEST_CONTENT_SUPPORT_H
#define TEST_CONTENT_SUPPORT_H

#include "store/mem.h"
#include "vfs/content.h"

#include <pthread.h>

/* The byte at an offset of an object with that salt. */
unsigned char byte_at(unsigned salt, uint64_t offset);

/* Puts an object; the version is what a content is made from. */
struct store_version put_object(struct store *s, const char *key, unsigned salt, uint64_t size);

/* A content of the object "k" of salt 1, in a store in memory. */
struct fixture {
    struct store *s;
    struct mem_store *m;
    struct contents *cs;
    struct content *c;
};

struct fixture fixture_new(struct mem_options o, uint64_t memory, uint64_t size);
void fixture_free(struct fixture *f);
struct content_stats stats(const struct fixture *f);

/* A read that was started. */
struct reading {
    struct content_read read;
    unsigned salt;
    uint64_t offset;
    size_t len;
    bool wrong;         /* bytes that are not those of the object */
    unsigned answers;   /* atomic */
    enum err_code code; /* valid once answered */
    struct err err;
};

void start_read(struct reading *r, struct content *c, unsigned salt, uint64_t offset, size_t len, struct readahead *ra,
                struct cancel *cancel);

/* Waits at most 10 s for the answer; checks that the bytes were right and the answer the only one. */
enum err_code answer(struct reading *r);

bool answered(const struct reading *r);

/* start_read() and answer(). */
enum err_code read_now(struct content *c, unsigned salt, uint64_t offset, size_t len, struct readahead *ra);

/* A store that only gets. `salt` of every object is 7, whatever the key. */
struct wrong_store {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct wrong_get *gets;
    pthread_t threads[3];
    bool ends;
    unsigned seed;
    unsigned fail, shorten, lengthen, hang; /* of 100 gets */
    unsigned delay_us;                      /* at most */
};

struct store *wrong_store_new(struct wrong_store *w);

#endif
