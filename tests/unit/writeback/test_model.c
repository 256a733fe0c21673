/*
 * Random operations on write=back and on a table side by side, while answers get lost, requests fail or are slow, and the journal is
 * opened anew: what is shown is the table at every moment, and so is the store at the end.
 */
#include "support.h"

#include "util/buf.h"
#include "util/cleanup.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const keys[] = {"a", "a-", "b", "d/", "d/x", "d/y", "e/f/g", "e/f/h", "e/z", "h"};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))
#define LARGE  70000 /* goes to a file */

struct model {
    char *text[N_KEYS]; /* NULL: not there */
    char etag[N_KEYS][STORE_ETAG_SIZE];
};

static unsigned seed;

static unsigned pick(unsigned n)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 16) % n;
}

enum { FAULTS_SOME, FAULTS_LOSE, FAULTS_OFFLINE }; /* some calls fail; each answer is lost; nothing arrives */
static atomic_uint fault_rate, fault_state, fault_mode;

static enum err_code shaky(void *arg, const struct mem_event *ev, struct err *e)
{
    bool changes = ev->op == MEM_PUT || ev->op == MEM_COPY || ev->op == MEM_REMOVE || ev->op == MEM_REMOVE_MANY;
    unsigned dice = atomic_fetch_add(&fault_state, 2654435761u) >> 8, mode = atomic_load(&fault_mode);
    if (changes && ((mode == FAULTS_OFFLINE && ev->phase == MEM_BEFORE) || (mode == FAULTS_LOSE && ev->phase == MEM_AFTER)))
        return err_set(e, ERR_NET, "the end of the test's daemon");
    if (!changes || dice % 100 >= atomic_load(&fault_rate))
        return ERR_OK;
    if (dice & 256)
        usleep(500);
    return err_set(e, ERR_NET, "a fault of the test");
}

static char *new_text(unsigned n)
{
    size_t len = pick(5) == 0 ? LARGE : 1 + pick(20);
    char *p = malloc(len + 1);
    for (size_t k = 0; k < len; k++)
        p[k] = (char)('a' + (k + n) % 26);
    p[len] = 0;
    return p;
}

static void forget(struct model *m, size_t k)
{
    free(m->text[k]);
    m->text[k] = NULL;
    m->etag[k][0] = 0;
}

static void do_put(struct fixture *f, struct model *m, size_t k, unsigned n)
{
    char *text = strcmp(keys[k], "d/") == 0 ? strdup("") : new_text(n);
    struct store_version v;
    assert_int_equal(put(f->s, keys[k], text, m->etag[k], &v), ERR_OK);
    forget(m, k);
    m->text[k] = text;
    memcpy(m->etag[k], v.etag, STORE_ETAG_SIZE);
}

static void do_remove(struct fixture *f, struct model *m, size_t k)
{
    assert_int_equal(unlink_object(f->s, keys[k], m->text[k] ? m->etag[k] : NULL), ERR_OK);
    forget(m, k);
}

static void do_copy(struct fixture *f, struct model *m, size_t from, size_t to, bool moves)
{
    struct store_version v;
    if (!m->text[from] || from == to || strcmp(keys[to], "d/") == 0)
        return;
    assert_int_equal(copy(f->s, keys[from], m->etag[from], keys[to], m->etag[to], &v), ERR_OK);
    forget(m, to);
    m->text[to] = strdup(m->text[from]);
    memcpy(m->etag[to], v.etag, STORE_ETAG_SIZE);
    if (moves)
        do_remove(f, m, from);
}

static void do_mode(struct fixture *f, struct model *m, size_t k)
{
    struct store_version v;
    if (!m->text[k])
        return;
    assert_int_equal(change_mode(f->s, keys[k], m->etag[k], pick(2) ? 0600 : 0644, &v), ERR_OK);
    memcpy(m->etag[k], v.etag, STORE_ETAG_SIZE);
}

static void check_listing(struct store *s, const struct model *m, const char *prefix, bool delimiter)
{
    BUF(expected, 10000);
    char last[64] = "";
    for (size_t k = 0; k < N_KEYS; k++) {
        if (!m->text[k] || strncmp(keys[k], prefix, strlen(prefix)) != 0)
            continue;
        const char *slash = delimiter ? strchr(keys[k] + strlen(prefix), '/') : NULL;
        char name[64];
        (void)snprintf(name, sizeof(name), "%.*s", slash ? (int)(slash - keys[k]) + 1 : 63, keys[k]);
        if (strcmp(name, last) != 0)
            buf_addf(&expected, "%s%s", expected.len ? " " : "", name);
        memcpy(last, name, sizeof(last));
    }
    assert_listing(s, prefix, delimiter, buf_str(&expected));
}

static void check_all(struct store *s, const struct model *m)
{
    for (size_t k = 0; k < N_KEYS; k++)
        assert_text(s, keys[k], m->text[k]);
    check_listing(s, m, "", false);
}

/* As a new mount: what it knows it was told by the store. */
static void open_anew(struct fixture *f, struct model *m)
{
    struct err e = ERR_INIT;
    fixture_open(f);
    for (size_t k = 0; k < N_KEYS; k++) {
        struct store_object o = {0};
        if (!m->text[k])
            continue;
        if (store_stat(f->s, keys[k], NULL, &o, &e))
            fail_msg("%s", e.msg);
        memcpy(m->etag[k], o.version.etag, STORE_ETAG_SIZE);
        store_object_release(&o);
    }
}

static void one_step(struct fixture *f, struct model *m, unsigned n)
{
    static const char *const prefixes[] = {"", "d/", "e/", "e/f/", "a"};
    size_t k = pick(N_KEYS);
    switch (pick(14)) {
    case 0:
    case 1:
    case 2:
        do_put(f, m, k, n);
        break;
    case 3:
    case 4:
        do_remove(f, m, k);
        break;
    case 5:
    case 6:
        do_copy(f, m, k, pick(N_KEYS), true);
        break;
    case 7:
        do_copy(f, m, k, pick(N_KEYS), false);
        break;
    case 8:
        do_mode(f, m, k);
        break;
    case 9:
        assert_text(f->s, keys[k], m->text[k]);
        break;
    case 10:
    case 11:
        check_listing(f->s, m, prefixes[pick(5)], pick(2));
        break;
    case 12:
        usleep(pick(3000));
        break;
    default:
        mem_store_set_page_size(f->mem, 1 + pick(5));
    }
}

/* A daemon ends as it should, or is killed while the last requests are under way. */
static void end_and_begin(struct fixture *f, struct model *m)
{
    bool killed = pick(2);
    if (killed) {
        atomic_store(&fault_mode, FAULTS_LOSE);
        usleep(pick(5000));
        atomic_store(&fault_mode, FAULTS_OFFLINE);
        journal_save(f);
    }
    fixture_close(f);
    if (killed)
        journal_restore(f);
    atomic_store(&fault_mode, FAULTS_SOME);
    open_anew(f, m);
    check_all(f->s, m);
}

static void run(unsigned with_seed, unsigned steps, unsigned faults)
{
    struct fixture f = {.linger_ms = 1 + with_seed % 3};
    struct model m = {0};
    fixture_make(&f);
    seed = with_seed;
    atomic_store(&fault_rate, faults);
    mem_store_set_hook(f.mem, (struct mem_hook){shaky, NULL});
    for (unsigned n = 0; n < steps; n++) {
        one_step(&f, &m, n);
        if (pick(60) == 0)
            end_and_begin(&f, &m);
    }
    atomic_store(&fault_rate, 0);
    drain_ok(&f);
    check_all(f.s, &m);
    check_all(f.inner, &m);
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    for (size_t k = 0; k < N_KEYS; k++)
        forget(&m, k);
    fixture_remove(&f);
}

/* One seed of the environment, or some. */
static void run_some(unsigned first, unsigned n, unsigned steps, unsigned faults)
{
    const char *only = getenv("AWSFS_SEED");
    if (only)
        run((unsigned)atoi(only), steps, faults);
    for (unsigned k = 0; !only && k < n; k++)
        run(first + k, steps, faults);
}

static void what_is_shown_is_what_was_done(void **state)
{
    run_some(1, 4, 200, 0);
}

static void and_so_it_is_where_requests_fail_and_answers_are_lost(void **state)
{
    run_some(101, 2, 150, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_is_what_was_done),
        cmocka_unit_test(and_so_it_is_where_requests_fail_and_answers_are_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
