/* What is seen of a reply while it comes. The server sends pieces, and waits where a step says so until a look was taken: what is there
 * at that moment is then no question of time. */
#include "client_fixture.h"

#include "backends/s3/impl.h"
#include "server.h"
#include "util/cancel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { LOOKS_MAX = 64, FIRST = 2048, MOST = 64 << 10, PATIENCE_MS = 60000, BODY_MAX = 400000 };

/* One answer. `at_first` bytes are sent, then all of `bytes` once somebody has looked (0: at once). */
struct step_watched {
    int status; /* 0: the status is 200 and the connection ends before the whole body was sent */
    unsigned at_first, bytes;
    unsigned piece;  /* sent so many at a time; 0: all at once */
    bool hangs;      /* instead of sending the rest */
    char fill;       /* what its body consists of; of '\0' byte i is i % 256 */
};

struct watching {
    const struct step_watched *steps;
    unsigned n_steps;
    struct cancel *fire; /* at the first look */
    unsigned enough_at;  /* that look is enough; 0: none is */
    /* What was seen: the engine's thread's until the call has returned. */
    size_t looks[LOOKS_MAX];
    char fills[LOOKS_MAX]; /* the first byte of each */
    bool wrong;            /* not the beginning of a body, or no NUL behind it */
    atomic_uint n;         /* looks */
    unsigned ended;
    enum err_code code;
    char *body;
    size_t body_len;
};

static char byte_at(char fill, size_t i)
{
    return fill ? fill : (char)(i % 256);
}

static bool looked_right(const char *body, size_t len)
{
    char fill = body[0];
    for (size_t i = 1; i < len; i++)
        if (body[i] != byte_at(fill, i))
            return false;
    return body[len] == '\0';
}

static bool so_far(void *arg, const char *body, size_t len)
{
    struct watching *w = arg;
    unsigned n = atomic_load(&w->n);

    w->wrong = w->wrong || n == LOOKS_MAX || len == 0 || !looked_right(body, len);
    if (n < LOOKS_MAX) {
        w->looks[n] = len;
        w->fills[n] = body[0];
    }
    if (w->fire)
        cancel_fire(w->fire);
    atomic_store(&w->n, n + 1);
    return w->enough_at == n + 1;
}

static void note_end(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct watching *w = arg;
    (void)e;
    w->ended++;
    w->code = code;
    w->body_len = r->body_len;
    w->body = memcpy(test_malloc(r->body_len + 1), r->body, r->body_len);
}

/* ---- The server */

static void send_pieces(struct server_conn *c, const char *p, size_t len, size_t piece)
{
    for (size_t n; len > 0; p += n, len -= n) {
        n = piece && piece < len ? piece : len;
        server_send_bytes(c, p, n);
    }
}

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    struct watching *w = arg;
    const struct step_watched *s = &w->steps[r->number <= w->n_steps ? r->number - 1 : w->n_steps - 1];
    static _Thread_local char body[BODY_MAX];
    unsigned before = atomic_load(&w->n);

    assert_true(s->bytes <= BODY_MAX);
    for (size_t i = 0; i < s->bytes; i++)
        body[i] = byte_at(s->fill, i);
    server_send(c, "HTTP/1.1 %d X\r\nContent-Length: %u\r\n\r\n", s->status ? s->status : 200, s->status ? s->bytes : s->bytes + 1);
    send_pieces(c, body, s->at_first, s->piece);
    while (s->at_first && atomic_load(&w->n) == before)
        if (!server_sleep(c, 1))
            return false;
    if (s->hangs)
        server_hang(c);
    else
        send_pieces(c, body + s->at_first, s->bytes - s->at_first, s->piece);
    return s->status != 0 && !s->hangs;
}

/* ---- The call */

static enum err_code watch(struct watching *w, struct aws_request r, struct cancel *cancel, unsigned *requests)
{
    const struct server_options options = {.answer = answer, .arg = w};
    struct server *server = server_start(&options);
    const struct aws_client_config config = {.service = "s3", .endpoint = server_url(server), .bucket = "bkt", .region = "eu-west-1",
                                             .timeout_ms = r.timeout_ms ? r.timeout_ms : PATIENCE_MS};
    const struct s3_watch watching = {.so_far = so_far, .arg = w};
    struct err e = ERR_INIT;
    CLEANUP(aws_client_free) struct aws_client *c = aws_client_new(engine, creds, &config, &e);

    assert_non_null(c);
    r.what = "ListObjectsV2";
    r.done = note_end;
    r.arg = w;
    enum err_code code = s3_call_watched(c, &r, &watching, cancel, &e);
    assert_int_equal(w->ended, 1);
    assert_int_equal(code, w->code);
    assert_int_equal(code, e.code);
    assert_false(w->wrong);
    if (requests)
        *requests = server_requests(server);
    server_stop(server);
    return code;
}

/* The whole body came, and no look has left a NUL in it. */
static void assert_body(const struct watching *w, size_t len, char fill)
{
    assert_int_equal(w->body_len, len);
    for (size_t i = 0; i < len; i++)
        if (w->body[i] != byte_at(fill, i))
            fail_msg("byte %zu of %zu", i, len);
}

/* Looks from number `from` on: the first at no more than FIRST, each at twice as much as the one before or at MOST. */
static void assert_doubling(const struct watching *w, unsigned from)
{
    unsigned n = atomic_load(&w->n);
    assert_in_range(n, from + 1, LOOKS_MAX);
    assert_in_range(w->looks[from], 1, FIRST);
    for (unsigned i = from + 1; i < n; i++)
        if (w->looks[i] != 2 * w->looks[i - 1] && !(w->looks[i] == MOST && w->looks[i - 1] < MOST))
            fail_msg("a look at %zu bytes after one at %zu", w->looks[i], w->looks[i - 1]);
}

#define ALL(first, whole)    {.status = 200, .at_first = (first), .bytes = (whole)}
#define BROKEN(first, whole) {.at_first = (first), .bytes = (whole)}
#define WATCHING(name, ...)                                                                                            \
    const struct step_watched name##_steps[] = {__VA_ARGS__};                                                          \
    CLEANUP_RELEASE(watching_release) struct watching name = {.steps = name##_steps, .n_steps = ARRAY_LEN(name##_steps)}

static void watching_release(struct watching *w)
{
    test_free(w->body);
}

/* ---- Tests */

static void the_beginning_is_seen_while_the_rest_has_not_come(void **state)
{
    WATCHING(w, ALL(100, 300));

    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
    assert_int_equal(w.looks[0], 100);
    assert_int_equal(w.looks[1], 200);
    assert_int_equal(atomic_load(&w.n), 2);
    assert_body(&w, 300, 0);
}

static void of_much_that_is_there_the_first_look_is_at_the_beginning_only(void **state)
{
    WATCHING(w, ALL(3000, 3000));

    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
    assert_int_equal(w.looks[0], FIRST);
    assert_int_equal(atomic_load(&w.n), 1);
    assert_body(&w, 3000, 0);
}

static void each_look_is_at_twice_as_much_up_to_64_kib(void **state)
{
    static const struct {
        unsigned at_first, bytes, looks;
    } cases[] = {{3000, 4095, 1},  {3000, 4096, 2},    {3000, 65535, 5},   {3000, 65536, 6},
                 {3000, 65537, 6}, {3000, 300000, 6}, {1, 65536, 17}, {100, 300000, 11}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        WATCHING(w, ALL(cases[i].at_first, cases[i].bytes));
        assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
        assert_doubling(&w, 0);
        assert_int_equal(atomic_load(&w.n), cases[i].looks);
        assert_body(&w, cases[i].bytes, 0);
    }
}

static void a_reply_that_comes_in_crumbs_is_looked_at_as_seldom(void **state)
{
    WATCHING(w, {.status = 200, .at_first = 1, .bytes = 5000, .piece = 1});

    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
    assert_doubling(&w, 0);
    assert_int_equal(atomic_load(&w.n), 13); /* 1, 2, 4 ... 4096 */
    assert_body(&w, 5000, 0);
}

static void nothing_is_seen_of_an_empty_reply(void **state)
{
    WATCHING(w, ALL(0, 0));

    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
    assert_int_equal(atomic_load(&w.n), 0);
    assert_body(&w, 0, 0);
}

static void who_has_seen_enough_is_not_asked_again(void **state)
{
    WATCHING(w, ALL(100, 100000));

    w.enough_at = 2;
    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
    assert_int_equal(atomic_load(&w.n), 2);
    assert_body(&w, 100000, 0);
}

static void enough_is_enough_for_the_next_attempt_too(void **state)
{
    WATCHING(w, BROKEN(3000, 3000), ALL(0, 5000));
    unsigned requests;

    w.enough_at = 1;
    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, &requests), ERR_OK);
    assert_int_equal(requests, 2);
    assert_int_equal(atomic_load(&w.n), 1);
    assert_body(&w, 5000, 0);
}

static void another_attempt_is_seen_from_its_beginning(void **state)
{
    WATCHING(w, {.at_first = 3000, .bytes = 20000, .fill = 'a'},
             {.status = 200, .at_first = 3000, .bytes = 10000, .fill = 'b'});
    unsigned requests, second = 0;

    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, &requests), ERR_OK);
    assert_int_equal(requests, 2);
    while (w.fills[second] == 'a')
        second++;
    assert_int_equal(second, 4); /* of 20,000 bytes: at 2, 4, 8 and 16 KiB */
    assert_int_equal(w.looks[second], FIRST);
    assert_doubling(&w, second);
    assert_int_equal(atomic_load(&w.n), 4 + 3);
    assert_body(&w, 10000, 'b');
}

static void refusals_are_not_looked_at(void **state)
{
    WATCHING(w, {.status = 503, .bytes = 3000, .fill = 'x'},
             {.status = 200, .at_first = 3000, .bytes = 3000, .fill = 'b'});
    WATCHING(refused, {.status = 404, .bytes = 3000, .fill = 'x'});

    assert_int_equal(watch(&w, (struct aws_request){0}, NULL, NULL), ERR_OK);
    assert_int_equal(atomic_load(&w.n), 1);
    assert_int_equal(w.fills[0], 'b');
    assert_int_not_equal(watch(&refused, (struct aws_request){.once = true}, NULL, NULL), ERR_OK);
    assert_int_equal(atomic_load(&refused.n), 0);
}

static void of_a_reply_that_is_too_long_no_more_is_seen_than_of_others(void **state)
{
    WATCHING(w, ALL(3000, 300000));
    unsigned requests;

    assert_int_not_equal(watch(&w, (struct aws_request){.reply_max = 100000, .max_attempts = 1}, NULL, &requests), ERR_OK);
    assert_int_equal(requests, 1);
    assert_doubling(&w, 0);
    assert_int_equal(atomic_load(&w.n), 6);
}

static void a_reply_that_breaks_off_was_seen_and_is_no_answer(void **state)
{
    WATCHING(w, BROKEN(3000, 3000));

    assert_int_equal(watch(&w, (struct aws_request){.once = true}, NULL, NULL), ERR_NET);
    assert_int_equal(atomic_load(&w.n), 1);
}

static void a_call_that_is_canceled_ends_though_the_rest_never_comes(void **state)
{
    WATCHING(w, {.status = 200, .at_first = 100, .bytes = 300, .hangs = true});
    unsigned requests;

    w.fire = cancel_new();
    assert_int_equal(watch(&w, (struct aws_request){0}, w.fire, &requests), ERR_CANCELED);
    assert_int_equal(requests, 1);
    assert_int_equal(atomic_load(&w.n), 1);
    cancel_unref(w.fire);
}

static void a_call_that_was_canceled_before_looks_at_nothing(void **state)
{
    WATCHING(w, ALL(100, 300));
    struct cancel *cancel = cancel_new();

    cancel_fire(cancel);
    assert_int_equal(watch(&w, (struct aws_request){0}, cancel, NULL), ERR_CANCELED);
    assert_int_equal(atomic_load(&w.n), 0);
    cancel_unref(cancel);
}

static void the_deadline_ends_a_reply_that_stops_coming(void **state)
{
    WATCHING(w, {.status = 200, .at_first = 100, .bytes = 300, .hangs = true});

    assert_int_equal(watch(&w, (struct aws_request){.timeout_ms = 300}, NULL, NULL), ERR_TIMEOUT);
    assert_in_range(atomic_load(&w.n), 0, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_beginning_is_seen_while_the_rest_has_not_come),
        T(of_much_that_is_there_the_first_look_is_at_the_beginning_only),
        T(each_look_is_at_twice_as_much_up_to_64_kib),
        T(a_reply_that_comes_in_crumbs_is_looked_at_as_seldom),
        T(nothing_is_seen_of_an_empty_reply),
        T(who_has_seen_enough_is_not_asked_again),
        T(enough_is_enough_for_the_next_attempt_too),
        T(another_attempt_is_seen_from_its_beginning),
        T(refusals_are_not_looked_at),
        T(of_a_reply_that_is_too_long_no_more_is_seen_than_of_others),
        T(a_reply_that_breaks_off_was_seen_and_is_no_answer),
        T(a_call_that_is_canceled_ends_though_the_rest_never_comes),
        T(a_call_that_was_canceled_before_looks_at_nothing),
        T(the_deadline_ends_a_reply_that_stops_coming),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
