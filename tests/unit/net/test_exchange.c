/* What is tried again, when, how often, and how it ends. The server follows a script, one step a request. */
#include "client.h"
#include "net/retry.h"
#include "server.h"

#include "util/cancel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CLOSE = -1, HANG = -2, TRICKLE = -3, CUT = -4 };

/* The last step is repeated. */
struct script {
    int steps[10];
    const char *header; /* of every reply that is not 200, with its line end */
};

/* One exchange, its ends and what it was asked. */
struct trial {
    char url[128];
    enum http_method method;
    const struct http_body *body;
    unsigned first_byte_ms;
    unsigned not_yet; /* so many times prepare says ERR_AGAIN; the last time `refusal`, if set */
    enum err_code refusal;
    bool refuse_data;
    unsigned prepared, judged;

    pthread_mutex_t lock; /* holds the rest */
    pthread_cond_t cond;
    unsigned ended, attempts, unanswered;
    enum err_code code, seen; /* seen: the code of the last transfer */
    char msg[ERR_MSG_SIZE];
    size_t received;
};

static struct script script;
static struct server *server;
static struct http_engine *engine;
static struct retry_budget *budget;

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    unsigned at = 0, n = r->number - 1;
    while (at < n && at < ARRAY_LEN(script.steps) - 1 && script.steps[at + 1] != 0)
        at++;
    int step = script.steps[at];
    switch (step) {
    case CLOSE:
        return false;
    case HANG:
        server_hang(c);
        return false;
    case TRICKLE:
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n");
        for (int i = 0; i < 14 && server_sleep(c, 60); i++)
            server_send(c, "x");
        return true;
    case CUT:
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nx");
        return false;
    default:
        server_send(c, "HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\nok", step, step != 200 ? script.header : "");
        return true;
    }
}

static enum err_code prepare(void *arg, unsigned attempt, struct http_request *out, struct err *e)
{
    struct trial *t = arg;
    t->prepared++;
    if (t->not_yet > 0) {
        t->not_yet--;
        return err_set(e, t->not_yet == 0 && t->refusal ? t->refusal : ERR_AGAIN, "no credentials yet");
    }
    out->method = t->method;
    out->url = t->url;
    out->body = t->body;
    out->first_byte_ms = t->first_byte_ms;
    return ERR_OK;
}

static bool data(void *arg, const struct http_transfer *x, int status, const void *p, size_t len)
{
    struct trial *t = arg;
    t->received += len;
    return !t->refuse_data;
}

static enum verdict judge(void *arg, const struct http_reply_view *r, struct err *e)
{
    struct trial *t = arg;
    t->judged++;
    t->seen = r->code;
    if (r->code == ERR_CANCELED)
        return VERDICT_DONE;
    if (r->code != ERR_OK) {
        err_set(e, r->code, "%s", r->msg);
        return VERDICT_RETRY;
    }
    if (r->status == 503) {
        err_set(e, ERR_IO, "SlowDown");
        return VERDICT_THROTTLED;
    }
    if (r->status == 307)
        return VERDICT_AGAIN;
    if (r->status >= 500) {
        err_set(e, ERR_IO, "InternalError");
        return VERDICT_RETRY;
    }
    if (r->status == 404)
        err_set(e, ERR_NOT_FOUND, "NoSuchKey");
    if (r->status == 412)
        err_set(e, ERR_CONFLICT, "PreconditionFailed");
    return VERDICT_DONE;
}

static void done(void *arg, enum err_code code, unsigned attempts, unsigned unanswered, const struct err *e)
{
    struct trial *t = arg;
    pthread_mutex_lock(&t->lock);
    t->ended++;
    t->code = code;
    t->attempts = attempts;
    t->unanswered = unanswered;
    snprintf(t->msg, sizeof(t->msg), "%s", e->msg);
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

static const struct exchange_ops collecting = {.prepare = prepare, .judge = judge, .done = done};
static const struct exchange_ops streaming = {.prepare = prepare, .judge = judge, .done = done, .data = data};

static void begin(struct script s, struct http_config config)
{
    script = s;
    if (!script.header)
        script.header = "";
    server = server_start(&(struct server_options){.answer = answer});
    engine = test_engine(config);
    budget = retry_budget_new();
}

static void finish(void)
{
    http_engine_free(engine);
    server_stop(server);
    retry_budget_free(budget);
}

static void trial_start(struct trial *t, const struct exchange_ops *ops, struct exchange_limits limits,
                        struct cancel *cancel)
{
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->cond, NULL);
    snprintf(t->url, sizeof(t->url), "%s/x", server_url(server));
    struct err e = ERR_INIT;
    if (exchange_start(engine, budget, ops, t, &limits, cancel, &e) != ERR_OK)
        fail_msg("exchange_start: %s", e.msg);
}

static void trial_wait(struct trial *t)
{
    pthread_mutex_lock(&t->lock);
    while (t->ended == 0)
        pthread_cond_wait(&t->cond, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

/* Returns how long it took. */
static uint64_t trial_run(struct trial *t, const struct exchange_ops *ops, struct exchange_limits limits)
{
    uint64_t start = test_now_ms();
    trial_start(t, ops, limits, NULL);
    trial_wait(t);
    return test_now_ms() - start;
}

static void what_is_transient_is_tried_until_it_works_and_tokens_come_back(void **state)
{
    begin((struct script){{500, CLOSE, 200}, NULL}, (struct http_config){0});
    struct trial t = {.method = HTTP_PUT};
    trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 10000});
    assert_int_equal(t.code, ERR_OK);
    assert_int_equal(t.attempts, 3);
    assert_int_equal(t.judged, 3);
    assert_int_equal(retry_tokens(budget), 495); /* two retries, the last one refunded */
    finish();
}

static void an_answer_is_not_tried_again(void **state)
{
    static const struct {
        int status;
        enum err_code code;
    } cases[] = {{200, ERR_OK}, {404, ERR_NOT_FOUND}, {412, ERR_CONFLICT}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        begin((struct script){{cases[i].status}, NULL}, (struct http_config){0});
        struct trial t = {0};
        trial_run(&t, &collecting, (struct exchange_limits){0});
        assert_int_equal(t.code, cases[i].code);
        assert_int_equal(t.attempts, 1);
        assert_int_equal(t.unanswered, 0);
        assert_int_equal(retry_tokens(budget), 500);
        finish();
    }
}

static void at_the_deadline_the_error_is_of_the_last_failures_kind(void **state)
{
    static const struct {
        int step;
        enum err_code code;
    } cases[] = {{500, ERR_IO}, {503, ERR_THROTTLED}, {HANG, ERR_TIMEOUT}, {CLOSE, ERR_NET}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        begin((struct script){{cases[i].step}, NULL}, (struct http_config){.first_byte_ms = 100});
        struct trial t = {0};
        uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 700});
        if (t.code != cases[i].code)
            fail_msg("step %d: %s: %s", cases[i].step, err_name(t.code), t.msg);
        assert_true(t.attempts >= 2);
        assert_int_equal(t.attempts, server_requests(server));
        assert_in_range(took, 100, 1300);
        assert_int_equal(t.ended, 1);
        finish();
    }
}

static void a_server_that_takes_each_body_and_fails_is_given_up_too(void **state)
{
    begin((struct script){{500}, NULL}, (struct http_config){0});
    struct pattern p;
    pattern_init(&p, 300000);
    struct trial t = {.method = HTTP_PUT, .body = &p.body};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 700});
    assert_int_equal(t.code, ERR_IO);
    assert_in_range(took, 100, 2000);
    assert_int_equal(p.from_start, t.attempts);
    assert_int_equal(t.unanswered, t.attempts);
    finish();
}

static void an_attempt_under_way_ends_at_the_deadline(void **state)
{
    begin((struct script){{HANG}, NULL}, (struct http_config){0});
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 300});
    assert_int_equal(t.code, ERR_TIMEOUT);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(t.unanswered, 1);
    assert_int_equal(t.judged, 0);
    assert_in_range(took, 295, 1000);
    finish();
}

static void bytes_that_move_keep_it_alive(void **state)
{
    const struct exchange_ops *ops[] = {&streaming, &collecting};
    for (int i = 0; i < 2; i++) {
        begin((struct script){{TRICKLE}, NULL}, (struct http_config){0});
        struct trial t = {0};
        uint64_t took = trial_run(&t, ops[i], (struct exchange_limits){.timeout_ms = 400});
        assert_int_equal(t.code, ERR_OK);
        assert_int_equal(t.attempts, 1);
        assert_true(took > 700);
        finish();
    }
}

static void waiting_for_a_turn_counts_only_while_nothing_moves(void **state)
{
    begin((struct script){{TRICKLE, 200, HANG}, NULL}, (struct http_config){.max_parallel = 1});
    struct trial slow = {0}, waiting = {0};
    trial_start(&slow, &streaming, (struct exchange_limits){.timeout_ms = 400}, NULL);
    trial_start(&waiting, &streaming, (struct exchange_limits){.timeout_ms = 400}, NULL);
    trial_wait(&waiting);
    trial_wait(&slow);
    assert_int_equal(slow.code, ERR_OK);
    assert_int_equal(waiting.code, ERR_OK);

    struct trial hung = {0}, behind = {0};
    trial_start(&hung, &streaming, (struct exchange_limits){.timeout_ms = 1000}, NULL);
    uint64_t took = trial_run(&behind, &streaming, (struct exchange_limits){.timeout_ms = 300});
    assert_int_equal(behind.code, ERR_TIMEOUT);
    assert_int_equal(behind.unanswered, 0);
    assert_in_range(took, 295, 900);
    trial_wait(&hung);
    assert_int_equal(hung.code, ERR_TIMEOUT);
    finish();
}

static void what_was_learnt_is_used_at_once_but_not_for_ever(void **state)
{
    begin((struct script){{307, 307, 307, 307, 200}, NULL}, (struct http_config){0});
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){0});
    assert_int_equal(t.code, ERR_OK);
    assert_int_equal(t.attempts, 5);
    assert_in_range(took, 0, 900);
    assert_int_equal(retry_tokens(budget), 500);
    finish();

    begin((struct script){{307}, NULL}, (struct http_config){0});
    struct trial loop = {0};
    trial_run(&loop, &collecting, (struct exchange_limits){.timeout_ms = 10000, .max_attempts = 6});
    assert_int_equal(loop.code, ERR_IO);
    assert_int_equal(loop.attempts, 6);
    assert_int_equal(retry_tokens(budget), 495);
    finish();
}

static void what_cannot_be_prepared_yet_is_asked_for_again(void **state)
{
    begin((struct script){{200}, NULL}, (struct http_config){0});
    struct trial soon = {.not_yet = 3}, never = {.not_yet = 1000}, no = {.not_yet = 2, .refusal = ERR_AUTH};
    uint64_t took = trial_run(&soon, &collecting, (struct exchange_limits){0});
    assert_int_equal(soon.code, ERR_OK);
    assert_int_equal(soon.attempts, 1);
    assert_int_equal(soon.prepared, 4);
    assert_true(took >= 145);
    took = trial_run(&never, &collecting, (struct exchange_limits){.timeout_ms = 300});
    assert_int_equal(never.code, ERR_TIMEOUT);
    assert_string_equal(never.msg, "no credentials yet");
    assert_int_equal(never.attempts, 0);
    assert_in_range(took, 295, 900);
    trial_run(&no, &collecting, (struct exchange_limits){0});
    assert_int_equal(no.code, ERR_AUTH);
    assert_int_equal(no.judged, 0);
    finish();
}

static void limits_on_attempts_hold(void **state)
{
    begin((struct script){{500}, NULL}, (struct http_config){0});
    struct trial two = {0}, once = {0};
    trial_run(&two, &collecting, (struct exchange_limits){.max_attempts = 2});
    assert_int_equal(two.code, ERR_IO);
    assert_int_equal(two.attempts, 2);
    trial_run(&once, &collecting, (struct exchange_limits){.once = true});
    assert_int_equal(once.attempts, 1);
    assert_string_equal(once.msg, "InternalError");
    finish();
}

static void the_servers_time_is_kept_up_to_the_deadline(void **state)
{
    begin((struct script){{500, 200}, "Retry-After: 1\r\n"}, (struct http_config){0});
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 5000});
    assert_int_equal(t.code, ERR_OK);
    assert_in_range(took, 995, 2000);
    finish();

    begin((struct script){{500}, "Retry-After: 3600\r\n"}, (struct http_config){0});
    struct trial late = {0};
    took = trial_run(&late, &collecting, (struct exchange_limits){.timeout_ms = 1000});
    assert_int_equal(late.code, ERR_IO);
    assert_int_equal(late.attempts, 2);
    assert_in_range(took, 490, 1500);
    finish();
}

static void without_tokens_retries_are_slow_and_do_not_end(void **state)
{
    begin((struct script){{500, 200}, NULL}, (struct http_config){0});
    while (retry_take(budget, false) > 0)
        continue;
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 1600});
    assert_int_equal(t.code, ERR_OK);
    assert_int_equal(t.attempts, 2);
    assert_in_range(took, 790, 1600);
    finish();
}

static void attempts_that_may_have_been_executed_are_counted(void **state)
{
    static const struct {
        int step;
        unsigned unanswered;
    } cases[] = {{CLOSE, 1}, {CUT, 1}, {500, 1}, {503, 0}, {307, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        begin((struct script){{cases[i].step, 412}, NULL}, (struct http_config){0});
        struct trial t = {.method = HTTP_PUT};
        trial_run(&t, &collecting, (struct exchange_limits){0});
        assert_int_equal(t.code, ERR_CONFLICT);
        assert_int_equal(t.attempts, 2);
        if (t.unanswered != cases[i].unanswered)
            fail_msg("step %d: %u", cases[i].step, t.unanswered);
        finish();
    }
}

static void a_receiver_that_refuses_ends_it(void **state)
{
    begin((struct script){{200}, NULL}, (struct http_config){0});
    struct trial t = {.refuse_data = true};
    trial_run(&t, &streaming, (struct exchange_limits){0});
    assert_int_equal(t.code, ERR_CANCELED);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(t.seen, ERR_CANCELED);
    finish();
}

static void a_cancel_ends_it_at_once_in_every_state(void **state)
{
    static const int steps[] = {HANG, TRICKLE, 500, 200};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        begin((struct script){{steps[i]}, "Retry-After: 30\r\n"}, (struct http_config){0});
        struct cancel *cancel = cancel_new();
        struct trial t = {.not_yet = steps[i] == 200 ? 10000 : 0}, before = {0};
        trial_start(&t, &collecting, (struct exchange_limits){0}, cancel);
        test_sleep_ms(100);
        uint64_t start = test_now_ms();
        cancel_fire(cancel);
        trial_wait(&t);
        assert_in_range(test_now_ms() - start, 0, 300);
        assert_int_equal(t.code, ERR_CANCELED);
        trial_start(&before, &collecting, (struct exchange_limits){0}, cancel);
        trial_wait(&before);
        assert_int_equal(before.code, ERR_CANCELED);
        assert_int_equal(before.attempts, 0);
        cancel_unref(cancel);
        finish();
        assert_int_equal(t.ended, 1);
        assert_int_equal(before.ended, 1);
    }
}

static void the_end_of_the_engine_ends_every_exchange_once(void **state)
{
    static const int steps[] = {HANG, TRICKLE, 500, 200};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        begin((struct script){{steps[i]}, "Retry-After: 30\r\n"}, (struct http_config){.max_parallel = 2});
        struct trial t[5] = {0};
        for (int j = 0; j < 5; j++) {
            t[j].not_yet = steps[i] == 200 ? 10000 : 0;
            trial_start(&t[j], &streaming, (struct exchange_limits){0}, NULL);
        }
        test_sleep_ms(50);
        finish();
        for (int j = 0; j < 5; j++) {
            assert_int_equal(t[j].ended, 1);
            assert_int_equal(t[j].code, ERR_CANCELED);
        }
    }
}

struct racer {
    pthread_t thread;
    unsigned bad;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < 20; i++) {
        struct cancel *cancel = cancel_new();
        struct trial t = {0};
        trial_start(&t, &streaming, (struct exchange_limits){0}, cancel);
        if (i % 2)
            test_sleep_ms((unsigned)i % 5);
        cancel_fire(cancel);
        trial_wait(&t);
        r->bad += t.ended != 1 || (t.code != ERR_OK && t.code != ERR_CANCELED);
        cancel_unref(cancel);
    }
    return NULL;
}

static void cancels_from_many_threads_race_with_ends(void **state)
{
    begin((struct script){{200}, NULL}, (struct http_config){0});
    struct racer r[4] = {0};
    for (int i = 0; i < 4; i++)
        pthread_create(&r[i].thread, NULL, race, &r[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].bad, 0);
    }
    finish();
}

static void running_it_waits_for_the_end_and_tells_why(void **state)
{
    begin((struct script){{200, 404}, NULL}, (struct http_config){0});
    struct trial t = {0};
    struct err e = ERR_INIT;
    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.cond, NULL);
    snprintf(t.url, sizeof(t.url), "%s/x", server_url(server));
    const struct exchange_limits limits = {0};
    assert_int_equal(exchange_run(engine, NULL, &collecting, &t, &limits, NULL, &e), ERR_OK);
    assert_int_equal(t.ended, 1);
    assert_int_equal(exchange_run(engine, budget, &collecting, &t, &limits, NULL, &e), ERR_NOT_FOUND);
    assert_string_equal(e.msg, "NoSuchKey");
    assert_int_equal(exchange_run(engine, budget, &collecting, &t, &limits, NULL, NULL), ERR_NOT_FOUND);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_transient_is_tried_until_it_works_and_tokens_come_back),
        cmocka_unit_test(an_answer_is_not_tried_again),
        cmocka_unit_test(at_the_deadline_the_error_is_of_the_last_failures_kind),
        cmocka_unit_test(a_server_that_takes_each_body_and_fails_is_given_up_too),
        cmocka_unit_test(an_attempt_under_way_ends_at_the_deadline),
        cmocka_unit_test(bytes_that_move_keep_it_alive),
        cmocka_unit_test(waiting_for_a_turn_counts_only_while_nothing_moves),
        cmocka_unit_test(what_was_learnt_is_used_at_once_but_not_for_ever),
        cmocka_unit_test(what_cannot_be_prepared_yet_is_asked_for_again),
        cmocka_unit_test(limits_on_attempts_hold),
        cmocka_unit_test(the_servers_time_is_kept_up_to_the_deadline),
        cmocka_unit_test(without_tokens_retries_are_slow_and_do_not_end),
        cmocka_unit_test(attempts_that_may_have_been_executed_are_counted),
        cmocka_unit_test(a_receiver_that_refuses_ends_it),
        cmocka_unit_test(a_cancel_ends_it_at_once_in_every_state),
        cmocka_unit_test(the_end_of_the_engine_ends_every_exchange_once),
        cmocka_unit_test(cancels_from_many_threads_race_with_ends),
        cmocka_unit_test(running_it_waits_for_the_end_and_tells_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
