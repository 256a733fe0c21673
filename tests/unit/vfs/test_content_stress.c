/* Many threads read a few contents over a store that delays, hangs, fails, refuses, and gives too few or too many
 * bytes. Every read is answered once, with right bytes or a clean error, inside the memory limit. AWSFS_SEED chooses
 * another run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "content_support.h"
#include "util/cancel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB      (1024u * 1024)
#define READERS  6
#define READS    150
#define CONTENTS 4

struct world {
    struct contents *cs;
    struct content *shared[CONTENTS];
    uint64_t memory;
    unsigned ok, failed, canceled; /* atomic */
};

struct reader {
    struct world *w;
    unsigned seed;
    pthread_t thread;
};

static unsigned roll(struct reader *r, unsigned n)
{
    return (unsigned)rand_r(&r->seed) % n;
}

static void note(struct world *w, enum err_code code)
{
    unsigned *which = code == ERR_OK ? &w->ok : code == ERR_CANCELED ? &w->canceled : &w->failed;
    __atomic_add_fetch(which, 1, __ATOMIC_RELAXED);
}

static void expect_legal(enum err_code code)
{
    if (code != ERR_OK && code != ERR_NET && code != ERR_PROTO && code != ERR_TIMEOUT && code != ERR_CANCELED)
        abort();
}

static void finish(struct world *w, struct reading *r)
{
    while (!answered(r))
        usleep(200);
    expect_legal(r->code);
    if (r->wrong || __atomic_load_n(&r->answers, __ATOMIC_ACQUIRE) != 1)
        abort();
    note(w, r->code);
}

static void one_round(struct reader *me, struct content *c, struct readahead *ra, uint64_t *at)
{
    struct reading r[3];
    struct cancel *token = cancel_new();
    uint64_t size = content_size(c);
    unsigned n = 1 + roll(me, 3);
    for (unsigned i = 0; i < n; i++) {
        size_t len = 1 + roll(me, roll(me, 4) ? 70000 : 2 * MIB);
        if (roll(me, 3) == 0)
            *at = (uint64_t)rand_r(&me->seed) % size;
        if (*at >= size)
            *at = 0;
        len = len < size - *at ? len : size - *at;
        start_read(&r[i], c, 7, *at, len, ra, token);
        *at += len;
    }
    if (roll(me, 6) == 0) {
        usleep(roll(me, 500));
        cancel_fire(token);
    }
    for (unsigned i = 0; i < n; i++)
        finish(me->w, &r[i]);
    cancel_unref(token);
}

static void *read_many(void *arg)
{
    struct reader *me = arg;
    struct content *c = content_ref(me->w->shared[roll(me, CONTENTS)]);
    struct readahead ra = {0};
    uint64_t at = 0;
    for (int i = 0; i < READS; i++) {
        one_round(me, c, &ra, &at);
        struct content_stats st;
        contents_stats(me->w->cs, &st);
        if (st.memory_used > me->w->memory)
            abort();
        if (roll(me, 12) == 0) {
            struct store_version v = {.etag = "own", .size = 1 + roll(me, 6 * MIB)};
            struct err e = ERR_INIT;
            content_unref(c);
            c = roll(me, 2) ? content_ref(me->w->shared[roll(me, CONTENTS)]) : content_new(me->w->cs, "own", &v, &e);
            ra = (struct readahead){0};
            at = 0;
        }
        if (roll(me, 20) == 0) {
            struct err e = ERR_INIT;
            if (content_relocate(c, "elsewhere", "x", &e) != ERR_OK)
                abort();
        }
    }
    content_unref(c);
    return NULL;
}

static void run(struct wrong_store wrong, uint64_t memory, unsigned seed)
{
    struct err e = ERR_INIT;
    wrong.seed = seed;
    struct store *s = wrong_store_new(&wrong);
    struct world w = {.memory = memory, .cs = contents_new(s, memory, false, &e)};
    struct reader readers[READERS];
    for (unsigned i = 0; i < CONTENTS; i++) {
        struct store_version v = {.etag = "x", .size = i == 0 ? 100 : i * 7 * MIB + i};
        w.shared[i] = content_new(w.cs, "k", &v, &e);
    }
    for (unsigned i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.w = &w, .seed = seed * 31 + i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_many, &readers[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    struct content_stats st;
    contents_stats(w.cs, &st);
    print_message("%u right, %u failed, %u canceled, %llu requests\n", w.ok, w.failed, w.canceled,
                  (unsigned long long)st.requests);
    assert_true(w.ok > 0);
    for (unsigned i = 0; i < CONTENTS; i++)
        content_unref(w.shared[i]);
    contents_free(w.cs);
    store_free(s);
}

static unsigned seed(void)
{
    const char *s = getenv("AWSFS_SEED");
    unsigned n = s ? (unsigned)strtoul(s, NULL, 10) : 4711;
    print_message("seed %u\n", n);
    return n;
}

static void readers_of_a_good_store_get_every_byte(void **state)
{
    run((struct wrong_store){.delay_us = 300}, 64 * MIB, seed());
}

static void readers_of_a_bad_store_get_right_bytes_or_an_error(void **state)
{
    run((struct wrong_store){.delay_us = 500, .fail = 10, .shorten = 5, .lengthen = 5, .hang = 3}, 64 * MIB, seed());
}

static void little_memory_slows_readers_and_never_stops_them(void **state)
{
    run((struct wrong_store){.delay_us = 300, .fail = 5, .hang = 2}, 5 * MIB, seed());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_of_a_good_store_get_every_byte),
        cmocka_unit_test(readers_of_a_bad_store_get_right_bytes_or_an_error),
        cmocka_unit_test(little_memory_slows_readers_and_never_stops_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
