/* Every operation of a stage against a plain array of bytes, in random order. AWSFS_SEED chooses another run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/stage.h"
#include "journal/stage_impl.h"
#include "scratch.h"
#include "util/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM  24576u
#define STEPS 3000
#define RUNS  6
#define STEP  512 /* bytes of a stretch that has a sum */
#define LENT  3   /* files at once */

enum kind { NONE, BASE, HELD, HOLE };

struct state {
    size_t size;
    unsigned char bytes[ROOM];
    unsigned char kinds[ROOM];
};

struct model {
    uint64_t random;
    struct stage *s;
    size_t base_size;
    unsigned char base[ROOM];
    struct state live, frozen;
    bool is_frozen;
    struct state object; /* what it was last put as, or started from */
    int dir;             /* -1: in memory */
    struct lent {
        bool there;
        struct state state;
    } lent[LENT];
    unsigned lendings;
    size_t sums, same;   /* that were known, bytes that were the same, when somebody asked */
};

static uint64_t next_random(struct model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random >> 11;
}

static size_t below(struct model *m, size_t n)
{
    return n ? (size_t)(next_random(m) % n) : 0;
}

/* Small ranges most of the time, so that extents stay many. */
static size_t some_length(struct model *m, size_t max)
{
    size_t n = 1 + below(m, below(m, 4) ? 300 : 5000);
    return n < max ? n : max;
}

static void grow(struct state *st, size_t size)
{
    for (; st->size < size; st->size++) {
        st->bytes[st->size] = 0;
        st->kinds[st->size] = HOLE;
    }
}

static void put(struct state *st, size_t offset, const unsigned char *p, size_t len)
{
    grow(st, offset);
    if (st->size < offset + len)
        st->size = offset + len;
    memcpy(st->bytes + offset, p, len);
    memset(st->kinds + offset, HELD, len);
}

static void fill(struct state *st, size_t offset, size_t len, const unsigned char *base)
{
    for (size_t i = offset; i < offset + len && i < st->size; i++) {
        if (st->kinds[i] == BASE) {
            st->kinds[i] = HELD;
            st->bytes[i] = base[i];
        }
    }
}

static size_t some_offset(struct model *m)
{
    return below(m, 2) && m->s->sums.at < ROOM ? (size_t)m->s->sums.at : below(m, ROOM);
}

static void do_write(struct model *m, bool append)
{
    unsigned char p[8192];
    size_t offset = append ? m->live.size : some_offset(m), len = some_length(m, ROOM - offset);
    uint64_t at = 0;
    struct err e = ERR_INIT;
    if (offset + len > ROOM || len == 0)
        return;
    for (size_t i = 0; i < len; i++)
        p[i] = (unsigned char)next_random(m);
    at = offset;
    if (below(m, 2) && stage_arrive(m->s, len, append, &at)) {
        assert_int_equal(at, offset);
        assert_int_equal(stage_size(m->s), offset + len);
        assert_int_equal(stage_arrived(m->s, p, &e), ERR_OK);
    } else if (append) {
        assert_int_equal(stage_append(m->s, p, len, &at, &e), ERR_OK);
        assert_int_equal(at, offset);
    } else {
        assert_int_equal(stage_write(m->s, offset, p, len, &e), ERR_OK);
    }
    put(&m->live, offset, p, len);
}

static void do_truncate(struct model *m)
{
    size_t size = below(m, 3) ? below(m, ROOM) : below(m, m->live.size + 1);
    struct err e = ERR_INIT;
    assert_int_equal(stage_truncate(m->s, size, &e), ERR_OK);
    if (size < m->live.size)
        m->live.size = size;
    grow(&m->live, size);
}

static void do_zero(struct model *m, bool reserve)
{
    size_t offset = below(m, ROOM), len = some_length(m, ROOM - offset);
    bool grows = below(m, 2) && offset + len <= ROOM;
    struct err e = ERR_INIT;
    if (reserve)
        assert_int_equal(stage_reserve(m->s, offset, len, grows, &e), ERR_OK);
    else
        assert_int_equal(stage_zero(m->s, offset, len, grows, &e), ERR_OK);
    for (size_t i = offset; !reserve && i < offset + len && i < m->live.size; i++) {
        m->live.bytes[i] = 0;
        m->live.kinds[i] = HOLE;
    }
    if (grows)
        grow(&m->live, offset + len);
}

static void do_fill(struct model *m)
{
    if (m->base_size == 0)
        return;
    size_t offset = below(m, m->base_size), len = some_length(m, m->base_size - offset);
    struct err e = ERR_INIT;
    assert_int_equal(stage_fill(m->s, offset, m->base + offset, len, &e), ERR_OK);
    fill(&m->live, offset, len, m->base);
    if (m->is_frozen)
        fill(&m->frozen, offset, len, m->base);
}

static void do_freeze_or_thaw(struct model *m)
{
    struct err e = ERR_INIT;
    if (m->is_frozen) {
        if (below(m, 2)) {
            stage_put_done(m->s);
            m->object = m->frozen;
            for (size_t i = 0; i < m->object.size; i++)
                if (m->object.kinds[i] == BASE)
                    m->object.bytes[i] = m->base[i];
        }
        assert_int_equal(stage_thaw(m->s, &e), ERR_OK);
    } else {
        assert_int_equal(stage_freeze(m->s, &e), ERR_OK);
        m->frozen = m->live;
    }
    m->is_frozen = !m->is_frozen;
}

static void name_lent(size_t k, char name[16])
{
    snprintf(name, 16, "lent%zu", k);
}

static void do_unlend(struct model *m, size_t k)
{
    char name[16];
    name_lent(k, name);
    assert_int_equal(unlinkat(m->dir, name, 0), 0);
    m->lent[k].there = false;
}

static void do_lend(struct model *m)
{
    char name[16];
    size_t k = below(m, LENT);
    struct err e = ERR_INIT;
    if (m->lent[k].there) {
        do_unlend(m, k);
        return;
    }
    name_lent(k, name);
    enum err_code code = stage_lend(m->s, m->dir, name, &e);
    if (code) {
        assert_int_equal(code, ERR_UNSUPPORTED);
        assert_true(m->dir < 0 || !m->is_frozen || !stage_complete(m->s, true) || m->s->lent);
        return;
    }
    assert_true(m->is_frozen && stage_complete(m->s, true));
    m->lent[k] = (struct lent){true, m->frozen};
    m->lendings++;
}

/* Each has what was frozen when it was lent. */
static void check_lent(struct model *m)
{
    for (size_t k = 0; k < LENT; k++) {
        char name[16];
        unsigned char got[ROOM + 1];
        if (!m->lent[k].there)
            continue;
        name_lent(k, name);
        int fd = openat(m->dir, name, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, got, sizeof(got)), m->lent[k].state.size);
        close(fd);
        assert_memory_equal(got, m->lent[k].state.bytes, m->lent[k].state.size);
    }
}

static void check_bytes(struct model *m, bool frozen)
{
    const struct state *st = frozen ? &m->frozen : &m->live;
    unsigned char got[ROOM + 100];
    size_t offset = below(m, ROOM), len = below(m, 2) ? sizeof(got) - 100 : some_length(m, ROOM), n = 999999;
    struct err e = ERR_INIT;
    memset(got, 0xA5, sizeof(got));
    assert_int_equal(stage_read(m->s, offset, got, len, frozen, &n, &e), ERR_OK);
    size_t expected = offset >= st->size ? 0 : st->size - offset < len ? st->size - offset : len;
    assert_int_equal(n, expected);
    for (size_t i = 0; i < n; i++)
        if (got[i] != (st->kinds[offset + i] == BASE ? 0xA5 : st->bytes[offset + i]))
            fail_msg("byte %zu of %zu+%zu is %02x", i, offset, len, got[i]);
    assert_int_equal(got[n], 0xA5);
}

static void check_extents(struct model *m, bool frozen)
{
    const struct state *st = frozen ? &m->frozen : &m->live;
    static const unsigned char kinds[] = {[STAGE_HELD] = HELD, [STAGE_BASE] = BASE, [STAGE_HOLE] = HOLE};
    size_t offset = 0;
    bool complete = true;
    uint64_t len;
    for (enum stage_extent x; (x = stage_extent_at(m->s, offset, frozen, &len)) != STAGE_END; offset += len) {
        assert_true(len > 0 && offset + len <= st->size);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(st->kinds[offset + i], kinds[x]);
        complete = complete && x != STAGE_BASE;
    }
    assert_int_equal(offset, st->size);
    assert_int_equal(stage_complete(m->s, frozen), complete);
    assert_int_equal(frozen ? stage_frozen_size(m->s) : stage_size(m->s), st->size);
}

/* What is known of the sums is true. */
static void check_sums(struct model *m, bool frozen)
{
    const struct state *st = frozen ? &m->frozen : &m->live;
    for (size_t start = 0; start < st->size; start += STEP) {
        uint64_t crc;
        size_t len = below(m, 4) || st->size - start < STEP ? st->size - start : STEP;
        if (!stage_crc(m->s, start, len, frozen, &crc))
            continue;
        m->sums++;
        if (crc != crc64nvme(0, st->bytes + start, len))
            fail_msg("the sum of %zu+%zu%s is another one", start, len, frozen ? ", frozen," : "");
    }
}

/* What is said to be in the object is there. */
static void check_same(struct model *m, bool frozen)
{
    const struct state *st = frozen ? &m->frozen : &m->live;
    uint64_t len;
    for (size_t at = 0; at < st->size; at += len) {
        bool same = stage_same_at(m->s, at, frozen, &len);
        assert_true(len > 0 && at + len <= st->size);
        assert_true(!same || at + len <= m->object.size);
        for (size_t i = at; same && i < at + len; i++)
            if ((st->kinds[i] == BASE ? m->base[i] : st->bytes[i]) != m->object.bytes[i])
                fail_msg("byte %zu is another one than that of the object", i);
        m->same += same ? len : 0;
    }
}

static void check(struct model *m)
{
    check_lent(m);
    check_same(m, false);
    if (m->is_frozen)
        check_same(m, true);
    check_sums(m, false);
    if (m->is_frozen)
        check_sums(m, true);
    check_bytes(m, false);
    check_extents(m, false);
    if (m->is_frozen) {
        check_bytes(m, true);
        check_extents(m, true);
    }
    size_t held = 0;
    for (size_t i = 0; i < m->live.size; i++)
        held += m->live.kinds[i] == HELD;
    if (!m->is_frozen)
        assert_int_equal(stage_local_bytes(m->s), held);
    else
        assert_true(stage_local_bytes(m->s) >= held);
}

static void step(struct model *m)
{
    size_t what = below(m, 100);
    if (what < 40)
        do_write(m, false);
    else if (what < 50)
        do_write(m, true);
    else if (what < 62)
        do_truncate(m);
    else if (what < 72)
        do_fill(m);
    else if (what < 82)
        do_zero(m, what & 1);
    else if (what < 90)
        do_freeze_or_thaw(m);
    else if (what < 93)
        do_lend(m);
    else
        check(m);
}

static void run(const char *dir, uint64_t seed, unsigned *lendings)
{
    struct model *m = calloc(1, sizeof(*m));
    struct err e = ERR_INIT;
    m->random = seed * 0x9E3779B97F4A7C15u + 1;
    m->base_size = below(m, 4) ? below(m, ROOM) : 0;
    for (size_t i = 0; i < m->base_size; i++)
        m->base[i] = (unsigned char)next_random(m);
    m->live.size = m->base_size;
    memset(m->live.kinds, BASE, m->base_size);
    m->dir = dir ? open(dir, O_RDONLY | O_DIRECTORY) : -1;
    m->s = stage_new(dir, m->base_size, ROOM, &e);
    assert_non_null(m->s);
    m->s->sums.step = STEP;
    m->s->same.step = m->s->same_frozen.step = m->s->same_since.step = STEP;
    stage_same_all(&m->s->same, dir ? m->base_size : 0);
    m->object.size = m->base_size;
    memcpy(m->object.bytes, m->base, m->base_size);
    for (int i = 0; i < STEPS; i++)
        step(m);
    check(m);
    assert_true(!dir || (m->sums > 20 && m->same > 20000));
    stage_free(m->s);
    check_lent(m);
    for (size_t k = 0; k < LENT; k++)
        if (m->lent[k].there)
            do_unlend(m, k);
    if (m->dir >= 0)
        close(m->dir);
    *lendings += m->lendings;
    free(m);
}

static uint64_t seed(void)
{
    const char *s = getenv("AWSFS_SEED");
    uint64_t n = s ? strtoull(s, NULL, 10) : 4711;
    print_message("seed %llu\n", (unsigned long long)n);
    return n;
}

static void a_staging_file_behaves_like_an_array_of_bytes(void **state)
{
    struct scratch d;
    scratch_make(&d);
    uint64_t first = seed();
    unsigned lendings = 0;
    for (uint64_t i = 0; i < RUNS; i++)
        run(d.path, first + i, &lendings);
    assert_true(lendings > 50);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 0);
    scratch_remove(&d);
}

static void a_stage_in_memory_behaves_like_an_array_of_bytes(void **state)
{
    uint64_t first = seed();
    unsigned lendings = 0;
    for (uint64_t i = 0; i < RUNS; i++)
        run(NULL, first + i, &lendings);
    assert_int_equal(lendings, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_staging_file_behaves_like_an_array_of_bytes),
        cmocka_unit_test(a_stage_in_memory_behaves_like_an_array_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
