/* Bytes that lie beside the store, and blocks that go there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "content_support.h"

#include <stdlib.h>
#include <string.h>

#define MIB   (1024u * 1024)
#define BLOCK CONTENT_BLOCK
#define READER 7u

/* Has every other MiB, and gives `fail_at` bytes of a request before it fails. */
struct side {
    uint64_t fail_at; /* UINT64_MAX: never */
    unsigned gets, opened;
    bool takes, lets_pass;
    struct content_block *kept[64];
    unsigned n_kept;
    uint64_t kept_bytes, passed_bytes, wrong;
};

static void *open_side(void *arg, const char *key, const struct store_version *version)
{
    struct side *s = arg;
    assert_string_equal(key, "k");
    assert_int_equal(version->size, 8 * MIB);
    s->opened++;
    return s;
}

static void close_side(void *known)
{
    struct side *s = known;
    s->opened--;
}

static uint64_t every_other_mib(void *known, uint64_t offset, uint64_t length, bool *here)
{
    uint64_t left = MIB - offset % MIB;
    *here = offset / MIB % 2 == 0;
    return left < length ? left : length;
}

static enum err_code give(void *known, const struct store_get *g, struct err *e)
{
    struct side *s = known;
    struct err why = ERR_INIT;
    s->gets++;
    for (uint64_t at = 0; at < g->length; at += 1000) {
        unsigned char piece[1000];
        size_t n = g->length - at < 1000 ? g->length - at : 1000;
        if (at >= s->fail_at) {
            if (s->gets % 2 == 0)
                return err_set(e, ERR_IO, "before it began");
            err_set(&why, ERR_IO, "a bad disk");
            g->done(g->arg, ERR_IO, NULL, &why);
            return ERR_OK;
        }
        if (s->fail_at < UINT64_MAX && s->gets % 2 == 0)
            return err_set(e, ERR_IO, "it does not even begin");
        for (size_t i = 0; i < n; i++)
            piece[i] = byte_at(1, g->offset + at + i);
        if (!g->data(g->arg, piece, n)) {
            err_set(&why, ERR_CANCELED, "nobody wants it");
            g->done(g->arg, ERR_CANCELED, NULL, &why);
            return ERR_OK;
        }
    }
    g->done(g->arg, ERR_OK, NULL, &why);
    return ERR_OK;
}

static bool take(void *known, uint64_t offset, const void *p, size_t len, struct content_block *b)
{
    struct side *s = known;
    const unsigned char *bytes = p;
    for (size_t i = 0; i < len; i += 509)
        s->wrong += bytes[i] != byte_at(1, offset + i);
    s->wrong += (s->fail_at == UINT64_MAX && offset / MIB % 2 == 0);
    if (!s->takes)
        return false;
    s->kept_bytes += len;
    s->kept[s->n_kept++] = b;
    return true;
}

static bool let_pass(void *arg, void *known, uint64_t reader)
{
    const struct side *s = arg;
    return s->lets_pass && reader == READER;
}

static bool pass(void *arg, void *known, uint64_t reader, uint64_t offset, uint32_t crc)
{
    struct side *s = arg;
    s->passed_bytes += BLOCK;
    return true;
}

/* Nothing is asked ahead, and the store answers on the caller's thread. */
static struct fixture with(struct side *s, uint64_t memory)
{
    struct fixture f = fixture_new((struct mem_options){0}, memory, 8 * MIB);
    struct store_version version = put_object(f.s, "k", 1, 8 * MIB);
    content_unref(f.c);
    contents_beside(f.cs, &(struct content_side){
                              .open = open_side, .close = close_side, .run = every_other_mib, .get = give, .keep = take, .lets_pass = let_pass,
                              .passed = s->lets_pass ? pass : NULL, .arg = s});
    f.c = content_new(f.cs, "k", &version, NULL);
    return f;
}

static void what_lies_beside_is_not_asked_for(void **state)
{
    struct side s = {.fail_at = UINT64_MAX};
    struct fixture f = with(&s, 32 * MIB);
    assert_int_equal(read_now(f.c, 1, MIB - BLOCK, 4 * MIB, NULL), ERR_OK);
    assert_int_equal(read_now(f.c, 1, 0, 4 * MIB, NULL), ERR_OK);
    assert_int_equal(read_now(f.c, 1, 4 * MIB, 4 * MIB, NULL), ERR_OK);
    assert_int_equal(stats(&f).fetched_bytes, 4 * MIB);
    assert_int_equal(stats(&f).beside_bytes, 4 * MIB);
    assert_int_equal(s.wrong, 0);
    fixture_free(&f);
    assert_int_equal(s.opened, 0);
}

static void what_beside_fails_is_asked_for_from_there_on(void **state)
{
    static const uint64_t at[] = {0, 1, BLOCK, BLOCK + 1, MIB - 1};
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        struct side s = {.fail_at = at[i]};
        struct fixture f = with(&s, 32 * MIB);
        for (uint64_t from = 0; from < 8 * MIB; from += 4 * MIB)
            assert_int_equal(read_now(f.c, 1, from, 4 * MIB, NULL), ERR_OK);
        assert_true(stats(&f).fetched_bytes >= 4 * MIB);
        assert_true(stats(&f).fetched_bytes <= 8 * MIB);
        assert_int_equal(s.wrong, 0);
        fixture_free(&f);
    }
}

static void blocks_are_kept_until_released_and_readers_come_first(void **state)
{
    struct side s = {.fail_at = UINT64_MAX, .takes = true};
    struct fixture f = with(&s, 8 * MIB);
    for (uint64_t from = 0; from < 8 * MIB; from += MIB)
        assert_int_equal(read_now(f.c, 1, from, MIB, NULL), ERR_OK);
    assert_int_equal(s.kept_bytes, MIB); /* an eighth of the memory */
    assert_int_equal(stats(&f).unkept, 3 * MIB);
    while (s.n_kept > 0)
        content_block_release(s.kept[--s.n_kept]);
    assert_int_equal(s.wrong, 0);
    fixture_free(&f);
    assert_int_equal(s.opened, 0);
}

static void what_is_let_pass_is_not_kept(void **state)
{
    struct side s = {.fail_at = UINT64_MAX, .takes = true, .lets_pass = true};
    struct fixture f = with(&s, 32 * MIB);
    content_set_reader(f.c, READER);
    assert_int_equal(read_now(f.c, 1, MIB, MIB, NULL), ERR_OK);
    assert_int_equal(s.kept_bytes, 0);
    assert_int_equal(s.passed_bytes, MIB);
    content_set_reader(f.c, 0); /* nobody's pages get it */
    assert_int_equal(read_now(f.c, 1, 3 * MIB, MIB, NULL), ERR_OK);
    assert_int_equal(s.kept_bytes, MIB);
    assert_int_equal(s.passed_bytes, MIB);
    assert_int_equal(stats(&f).unkept, 0);
    while (s.n_kept > 0)
        content_block_release(s.kept[--s.n_kept]);
    fixture_free(&f);
}

static void a_kept_block_outlives_its_content(void **state)
{
    struct side s = {.fail_at = UINT64_MAX, .takes = true};
    struct fixture f = with(&s, 32 * MIB);
    assert_int_equal(read_now(f.c, 1, MIB, MIB, NULL), ERR_OK);
    content_unref(f.c);
    f.c = NULL;
    assert_int_equal(stats(&f).memory_used, MIB);
    while (s.n_kept > 0)
        content_block_release(s.kept[--s.n_kept]);
    assert_int_equal(stats(&f).memory_used, 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_beside_is_not_asked_for),
        cmocka_unit_test(what_beside_fails_is_asked_for_from_there_on),
        cmocka_unit_test(blocks_are_kept_until_released_and_readers_come_first),
        cmocka_unit_test(what_is_let_pass_is_not_kept),
        cmocka_unit_test(a_kept_block_outlives_its_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
